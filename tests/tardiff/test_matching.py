"""Matching ahead of the writer: in order, and nothing goes on behind the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np

from pipeline.tardiff.blocks import BLOCK
from pipeline.tardiff.matchers import CoverArray
from pipeline.tardiff.matching import matched
from pipeline.tardiff.pairing import NewFile, NewTar, Pair
from pipeline.tardiff.pool import Pool
from pipeline.tardiff.tree import SourceTree
from tests.tars import file, tar

from .lab import Lab

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


def noise(seed: int, size: int) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def rebuilt(data: bytes) -> bytes:
    """`data` with so many changes that all of it has to be matched."""
    changed = np.frombuffer(data, np.uint8).copy()
    changed[::24] += 1
    return changed.tobytes()


@contextmanager
def pairs_in(lab: Lab) -> Iterator[tuple[list[Pair], SourceTree, NewTar]]:
    """Pairs of files of all sizes, of which the third and the fifth are matched in blocks."""
    tree = lab.tree(tar(*(file(f"f{number}", noise(number, size)) for number, size in enumerate(SIZES))))
    path = lab.directory / "new"
    path.write_bytes(b"".join(rebuilt(noise(number, size)) for number, size in enumerate(SIZES)))
    pairs = [
        Pair(
            file=NewFile(path=source.path, start=sum(SIZES[:number]), size=size),
            source=source,
            is_identical=number == 3,
        )
        for number, (size, source) in enumerate(zip(SIZES, tree.sources, strict=True))
    ]
    with path.open("rb") as stream:
        yield pairs, tree, NewTar(stream)


def test_matches_come_in_order_with_their_contents(lab: Lab) -> None:
    with pairs_in(lab) as (pairs, tree, new), Pool(workers=2, memory=1 << 30) as pool:
        found = list(matched(pairs, tree, new, matchers=[Slow(), Slow()], pool=pool))
    assert [pair for pair, _ in found] == pairs
    assert [match is None for _, match in found] == [pair.is_identical for pair in pairs]
    for pair, match in found:
        if match is not None:
            assert (len(match.old), len(match.new)) == (pair.source.size, pair.file.size)
            assert len(match.covers) == 2


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
