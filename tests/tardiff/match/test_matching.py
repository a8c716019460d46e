"""Matching ahead of the writer: in order, and nothing goes on behind the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np

from pipeline.tardiff.layer.new_tar import NewFile, NewTar
from pipeline.tardiff.layer.tree import SourceTree
from pipeline.tardiff.match.blocks import BLOCK
from pipeline.tardiff.match.cover import CoverArray
from pipeline.tardiff.match.matching import matched
from pipeline.tardiff.pair.pairing import Pair
from pipeline.tardiff.pool import Pool
from tests.tars import file, tar

from ..lab import Lab

SIZES = (100, 20_000, 3 * BLOCK, 50_000, 2 * BLOCK, 100)


class Slow:
    """A matcher that takes its time, and counts what it has begun and ended."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self._lock = threading.Lock()

    def cover(self, _old: bytes, new: bytes) -> CoverArray:
        with self._lock:
            self.begun += 1
        time.sleep(0.05)
        with self._lock:
            self.ended += 1
        return np.array([(0, 0, min(len(new), 50))], np.int64)

    def memory(self, old: int, new: int) -> int:
        return old + new


class Held:
    """A matcher that answers once, and then only when it is told to."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.timed_out = self._asked = 0

    def cover(self, _old: bytes, _new: bytes) -> CoverArray:
        self._asked += 1
        if self._asked > 1 and not self.goes_on.wait(20):
            self.timed_out += 1
        return np.array([(0, 0, 50)], np.int64)

    def memory(self, old: int, new: int) -> int:
        return old + new


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def rebuilt(data: bytes) -> bytes:
    """`data` with so many changes that all of it has to be matched."""
    changed = np.frombuffer(data, np.uint8).copy()
    changed[::24] += 1
    return changed.tobytes()


def contents() -> list[bytes]:
    return [rebuilt(noise(number, size)) for number, size in enumerate(SIZES)]


@contextmanager
def pairs_in(lab: Lab) -> Iterator[tuple[list[Pair], SourceTree, NewTar]]:
    """Pairs of files of all sizes, of which the third and the fifth are matched in blocks."""
    tree = lab.tree(tar(*(file(f"f{number}", noise(number, size)) for number, size in enumerate(SIZES))))
    path = lab.directory / "new"
    path.write_bytes(b"".join(contents()))
    pairs = [
        Pair(
            file=NewFile(path=source.path, start=sum(SIZES[:number]), size=size),
            source=source,
            is_identical=number == 3,
        )
        for number, (size, source) in enumerate(zip(SIZES, tree.sources, strict=True))
    ]
    yield pairs, tree, NewTar.at(path)


def test_matches_come_in_order_with_their_contents(lab: Lab) -> None:
    with pairs_in(lab) as (pairs, tree, new), Pool(workers=2, memory=1 << 30) as pool:
        found = [
            (pair, None if matches is None else list(matches))
            for pair, matches in matched(pairs, tree, new, matchers=[Slow(), Slow()], pool=pool)
        ]
    assert [pair for pair, _ in found] == pairs
    assert [matches is None for _, matches in found] == [pair.is_identical for pair in pairs]
    for (pair, matches), content in zip(found, contents(), strict=True):
        if matches is not None:
            assert b"".join(match.new.tobytes() for match in matches) == content
            assert len(matches) == max(1, -(-pair.file.size // BLOCK))
            for match in matches:
                assert len(match.old) == pair.source.size
                assert len(match.covers) == 2
                for cover in match.covers:
                    assert len(cover)
                    assert (cover[:, 1] + cover[:, 2] <= len(match.new)).all()


def test_a_large_file_is_known_in_part_before_all_of_it_is(lab: Lab) -> None:
    matcher = Held()
    with (
        pairs_in(lab) as (pairs, tree, new),
        Pool(workers=1, memory=1 << 30) as pool,
        closing(matched(pairs[2:3], tree, new, matchers=[matcher], pool=pool)) as found,
    ):
        _, matches = next(found)
        assert matches is not None
        pieces = iter(matches)
        next(pieces)
        matcher.goes_on.set()
        assert len(list(pieces)) == 2
    assert matcher.timed_out == 0


def test_a_large_file_that_has_only_grown_is_known_without_a_matcher(lab: Lab) -> None:
    content = noise(1, 3 * BLOCK)
    tree = lab.tree(tar(file("f", content)))
    path = lab.directory / "new"
    path.write_bytes(content + b"more")
    grown = Pair(file=NewFile(path=b"f", start=0, size=len(content) + 4), source=tree.sources[0], is_identical=False)
    with (
        Pool(workers=1, memory=1 << 30) as pool,
        closing(matched([grown], tree, NewTar.at(path), matchers=[Slow()], pool=pool)) as found,
    ):
        _, matches = next(found)
        assert matches is not None
        at = 0
        for match in matches:
            for old, start, size in match.covers[0].tolist():
                assert (old, start) == (at, 0)
                at += size
        assert at == len(content)


def test_who_leaves_early_leaves_nothing_behind(lab: Lab) -> None:
    matcher = Slow()
    with pairs_in(lab) as (pairs, tree, new), Pool(workers=1, memory=1 << 30) as pool:
        with closing(matched(pairs, tree, new, matchers=[matcher], pool=pool)) as found:
            next(found)
        begun = matcher.begun
        assert begun == matcher.ended
        # behind what divides files, and behind the blocks that come of it
        for _ in range(2):
            pool.submit(1, lambda: None).result()
        assert matcher.begun == begun
