"""What is asked about files, and how often: deltas that share a tar or a tree share the answers."""

import hashlib
import io
import random
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import pytest

from pipeline.tardiff.encoder import encode
from pipeline.tardiff.knowledge import Knowledge
from pipeline.tardiff.layer.new_tar import NewTar
from pipeline.tardiff.layer.regions import Bytes, Region, array_of
from pipeline.tardiff.layer.tree import SourceTree
from pipeline.tardiff.pair import pairing
from pipeline.tardiff.pair.fingerprints import Known
from pipeline.tardiff.pair.sources import Sketch, sketch
from pipeline.tardiff.pool import Pool
from tests.tars import file, tar

from ..lab import FAST, Lab

SIZE = 20_000


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def edited(content: bytes) -> bytes:
    """The same size, and other bytes in the middle."""
    half = len(content) // 2
    return content[:half] + b"edited" + content[half + 6 :]


# of these sizes there are old files, so all are hashed; then all but the unchanged one are sampled
NEW_FILES = {"same": noise(0), "named": edited(noise(1)), "moved/x": edited(noise(2)), "strange": noise(99)}


def new_files(**more: bytes) -> bytes:
    return tar(*(file(path, content) for path, content in (NEW_FILES | more).items()))


NEW = new_files()


def old(version: int) -> bytes:
    """What the new files were made from, and one that only this version has."""
    return tar(
        file("same", noise(0)),
        file("named", noise(1)),
        file("at first/x", noise(2)),
        file("own", noise(1000 + version)),
    )


class Asked:
    """How often the content of a file was hashed, and how often sampled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashed: Counter[bytes] = Counter()
        self.sampled: Counter[bytes] = Counter()
        digest = pairing._digest

        def counting_digest(region: Region) -> bytes:
            self.hashed[region.array().tobytes()] += 1
            return digest(region)

        def counting_sketch(data: Bytes) -> Sketch:
            self.sampled[array_of(data).tobytes()] += 1
            return sketch(data)

        monkeypatch.setattr(pairing, "_digest", counting_digest)
        monkeypatch.setattr(pairing, "sketch", counting_sketch)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


def new_tar(lab: Lab, content: bytes = NEW) -> NewTar:
    path = lab.directory / hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    return NewTar.at(path)


def delta(tree: SourceTree, new: NewTar, pool: Pool, knowledge: Knowledge | None = None) -> bytes:
    out = io.BytesIO()
    encode(tree, new, out, options=FAST, pool=pool, knowledge=knowledge)
    return out.getvalue()


def test_the_files_of_one_tar_are_hashed_and_sampled_once(lab: Lab, asked: Asked) -> None:
    new, knowledge = new_tar(lab), Knowledge()
    with Pool(workers=2, memory=1 << 30) as pool:
        for version in range(3):
            delta(lab.tree(old(version)), new, pool, knowledge)
    # the one that is the same is a source of all three trees, too
    assert {path: asked.hashed[content] for path, content in NEW_FILES.items()} == dict.fromkeys(NEW_FILES, 1)
    assert {path: asked.sampled[content] for path, content in NEW_FILES.items()} == dict.fromkeys(NEW_FILES, 1)
    assert [asked.hashed[noise(1000 + version)] for version in range(3)] == [1, 1, 1]
    assert asked.hashed[noise(1)] == 3


def test_the_files_of_one_tree_are_hashed_and_sampled_once(lab: Lab, asked: Asked) -> None:
    tree, knowledge = lab.tree(old(0)), Knowledge()
    with Pool(workers=2, memory=1 << 30) as pool:
        for number in range(3):
            delta(tree, new_tar(lab, new_files(more=noise(100 + number))), pool, knowledge)
    assert [asked.hashed[noise(seed)] for seed in (1, 2, 1000)] == [1, 1, 1]
    assert [asked.sampled[noise(seed)] for seed in (1, 2, 1000)] == [1, 1, 1]


def test_deltas_made_at_the_same_time_ask_no_more(lab: Lab, asked: Asked) -> None:
    new, trees, knowledge = new_tar(lab), [lab.tree(old(version)) for version in range(6)], Knowledge()
    with Pool(workers=2, memory=1 << 30) as pool, ThreadPoolExecutor(6) as coordinators:
        list(coordinators.map(lambda tree: delta(tree, new, pool, knowledge), trees))
    assert {path: asked.hashed[content] for path, content in NEW_FILES.items()} == dict.fromkeys(NEW_FILES, 1)
    assert {path: asked.sampled[content] for path, content in NEW_FILES.items()} == dict.fromkeys(NEW_FILES, 1)


def test_nothing_is_asked_that_no_question_needs(lab: Lab, asked: Asked) -> None:
    tree, new = lab.tree(old(0)), new_tar(lab, old(0))
    with Pool(workers=2, memory=1 << 30) as pool:
        delta(tree, new, pool)
        delta(tree, new, pool)
    assert not asked.hashed
    assert not asked.sampled


def test_what_was_known_before_does_not_change_a_delta(lab: Lab) -> None:
    trees = [lab.tree(old(version)) for version in range(3)]
    tars = [NEW, new_files(more=noise(7), own=edited(noise(1000))), new_files(mine=noise(1001), own=noise(1002))]
    pairs = [(number, at) for number in range(3) for at in range(3)]
    with Pool(workers=2, memory=1 << 30) as pool:
        alone = [delta(lab.tree(old(number)), new_tar(lab, tars[at]), pool) for number, at in pairs]
        shared, knowledge = [new_tar(lab, content) for content in tars], Knowledge()
        assert [delta(trees[number], shared[at], pool, knowledge) for number, at in pairs] == alone


def test_trees_and_tars_keep_nothing_themselves(lab: Lab, asked: Asked) -> None:
    tree, new = lab.tree(old(0)), new_tar(lab)
    with Pool(workers=2, memory=1 << 30) as pool:
        for knowledge in (None, None, Knowledge(), Knowledge()):
            delta(tree, new, pool, knowledge)
    assert asked.hashed[noise(1)] == asked.sampled[noise(1)] == 4
    assert asked.hashed[NEW_FILES["strange"]] == asked.sampled[NEW_FILES["strange"]] == 4


def test_a_tar_that_is_shared_outlives_its_name(lab: Lab) -> None:
    tree, new = lab.tree(old(0)), new_tar(lab)
    with Pool(workers=2, memory=1 << 30) as pool:
        expected = delta(tree, new, pool)
        new.path.unlink()
        assert delta(tree, new, pool) == expected
    assert lab.apply(expected, tree, size=len(NEW)) == NEW


Begun = list[tuple[Sequence[int], Future[list[int]]]]


def test_what_another_has_begun_is_waited_for() -> None:
    known: Known[int, int] = Known()
    goes_on = threading.Event()
    begun: list[int] = []

    def double(files: Sequence[int]) -> list[int]:
        assert goes_on.wait(60)
        return [2 * file for file in files]

    with Pool(workers=1, memory=1) as pool, ThreadPoolExecutor(2) as coordinators:

        def find(files: Sequence[int]) -> Begun:
            begun.extend(files)
            return [([file], pool.submit(1, double, [file])) for file in files]

        answers = [coordinators.submit(known.of, files, find) for files in ([1, 2, 3], [3, 4, 1])]
        goes_on.set()
        assert [answer.result() for answer in answers] == [[2, 4, 6], [6, 8, 2]]
    assert sorted(begun) == [1, 2, 3, 4]


def test_what_could_not_be_read_is_asked_again() -> None:
    known: Known[str, str] = Known()
    broken: Future[list[str]] = Future()
    broken.set_exception(OSError("cannot be read"))
    with pytest.raises(OSError, match="cannot be read"):
        known.of(["a", "b"], lambda files: [(files, broken)])
    good: Future[list[str]] = Future()
    good.set_result(["A", "B"])
    assert known.of(["a", "b"], lambda files: [(files, good)]) == ["A", "B"]


def test_what_was_cancelled_is_asked_again() -> None:
    known: Known[int, int] = Known()

    def ask(pool: Pool) -> list[int]:
        return known.of([1, 2], lambda files: [(files, pool.submit(1, list, files))] if files else [])

    with Pool(workers=1, memory=1) as pool:
        pool.stop()
        with pytest.raises(CancelledError):
            ask(pool)
    with Pool(workers=1, memory=1) as pool:
        assert ask(pool) == [1, 2]
        pool.stop()
        assert ask(pool) == [1, 2]
