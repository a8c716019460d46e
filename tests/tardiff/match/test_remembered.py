"""Covers are found once for all deltas that make one tar, and are the same as if they were not remembered."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pipeline.tardiff import encoder
from pipeline.tardiff.encoder import encode
from pipeline.tardiff.knowledge import Knowledge
from pipeline.tardiff.layer.new_tar import NewTar
from pipeline.tardiff.match import remembered
from pipeline.tardiff.match.cover import CoverArray
from pipeline.tardiff.match.matchers.hdiff import Hdiff
from pipeline.tardiff.match.remembered import CoverMemory, Remembering
from pipeline.tardiff.pool import Pool
from tests.tardiff.lab import FAST, Lab
from tests.tars import file, tar

Asked = Counter[tuple[bytes, bytes]]


def noise(seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, 40_000, np.uint8).tobytes()


def edited(data: bytes) -> bytes:
    """With something else near both ends, for what is between them needs a matcher."""
    return data[:5_000] + b"other" + data[5_000:35_000] + b"other" + data[35_000:]


def old(version: int) -> bytes:
    """`same` never changed before the newest version, `own` did each time."""
    return tar(file("same", noise(1)), file("own", noise(100 + version)))


NEW = tar(file("same", edited(noise(1))), file("own", edited(noise(102))))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """How often a matcher was shown two contents."""
    count: Asked = Counter()

    class Counting(Hdiff):
        def cover(self, old: bytes, new: bytes) -> CoverArray:
            count[old, new] += 1
            return super().cover(old, new)

    fast = replace(encoder._EFFORTS["fast"], matchers=(Counting,))
    monkeypatch.setitem(encoder._EFFORTS, "fast", fast)
    return count


def deltas(lab: Lab) -> list[bytes]:
    """Those of three old versions, one after the other."""
    path = lab.directory / "new.tar"
    path.write_bytes(NEW)
    new, knowledge = NewTar.at(path), Knowledge()
    made = []
    with Pool(workers=2, memory=1 << 30) as pool:
        for version in range(3):
            out = lab.directory / f"{version}.delta"
            with out.open("wb") as stream:
                encode(lab.tree(old(version)), new, stream, options=FAST, pool=pool, knowledge=knowledge)
            made.append(out.read_bytes())
    return made


def test_what_old_versions_have_in_common_is_matched_once(lab: Lab, asked: Asked) -> None:
    deltas(lab)
    # `same`, and `own`, of which only the last one resembles the new one
    assert list(asked.values()) == [1, 1]


def test_what_is_remembered_does_not_change_a_delta(lab: Lab) -> None:
    for version, made in enumerate(deltas(lab)):
        alone, _ = lab.encode(lab.tree(old(version)), NEW)
        assert made == alone


def test_what_has_no_room_is_found_again(lab: Lab, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "_MOST_KEPT", 300)
    deltas(lab)
    assert sorted(asked.values()) == [1, 3]


def test_matchers_do_not_share_what_they_find() -> None:
    class Whole:
        def cover(self, old: bytes, new: bytes) -> CoverArray:
            return np.array([(0, 0, len(new))])

        def memory(self, old: int, new: int) -> int:
            return old + new

    class Half(Whole):
        def cover(self, old: bytes, new: bytes) -> CoverArray:
            return np.array([(0, 0, len(new) // 2)])

    memory = CoverMemory()
    for _ in range(2):
        assert Remembering(Whole(), memory).cover(b"same", b"same").tolist() == [[0, 0, 4]]
        assert Remembering(Half(), memory).cover(b"same", b"same").tolist() == [[0, 0, 2]]
    assert Remembering(Whole(), memory).memory(2, 3) == 5
