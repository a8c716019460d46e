"""Which of the ways to write a delta is kept, and how hard it is compressed."""

import io
from pathlib import Path

import numpy as np
import pytest

from pipeline.compression import Strength, ZstdFrameWriter, zstd_frame
from pipeline.tardiff.layer.regions import ByteArray
from pipeline.tardiff.pool import Pool
from pipeline.tardiff.write import drafts
from pipeline.tardiff.write.differences import PIECE, Differences, write_differences
from pipeline.tardiff.write.drafts import Drafts
from pipeline.tardiff.write.writer import OpWriter

QUICK, STRONG = Strength(1), Strength(19, one_pass=True)
GAPS = (2, 1024)


def noise(size: int) -> ByteArray:
    return np.random.default_rng(1).integers(0, 256, size, np.uint8)


def written(directory: Path, size: int, *, apart: int) -> tuple[int, bytes]:
    """How many operations make a file of `size` bytes in which one byte in `apart` has changed, and its frame."""
    old = noise(size)
    new = old.copy()
    new[::apart] += 1
    out = io.BytesIO()
    with Pool(workers=2, memory=1 << 30) as pool, Drafts(GAPS, 1, directory) as ways:
        ways.covered(b"f", old, new, [np.array([(0, 0, size)])])
        frame, writer = ways.finish(out, trial=QUICK, final=STRONG, pool=pool)
    assert frame == len(out.getvalue())
    assert writer.copied + writer.added == size
    return writer.ops, out.getvalue()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is written at which gap, and what is tried, as it happens."""
    happened: list[object] = []

    def write(writer: OpWriter, path: bytes, piece: Differences, *, gap: int) -> None:
        happened.append(gap)
        write_differences(writer, path, piece, gap=gap)

    def tried(draft: drafts._Draft, strength: Strength) -> float:
        happened.append(strength)
        return original(draft, strength)

    original = drafts._tried
    monkeypatch.setattr(drafts, "write_differences", write)
    monkeypatch.setattr(drafts, "_tried", tried)
    return happened


@pytest.mark.parametrize(("size", "cut"), [(PIECE, 1), (8 * PIECE, 4)], ids=["at the end", "as soon as it is clear"])
def test_dense_changes_are_not_cut(tmp_path: Path, asked: list[object], size: int, cut: int) -> None:
    ops, _ = written(tmp_path, size, apart=16)
    assert ops <= 2 + size // PIECE
    assert asked.count(1024) == size // PIECE
    assert asked.count(2) == cut
    assert QUICK not in asked


def test_sparse_changes_are_tried_both_ways(tmp_path: Path, asked: list[object]) -> None:
    ops, _ = written(tmp_path, 4 * PIECE, apart=200)
    assert ops >= 2 * 4 * PIECE // 200
    assert asked.count(QUICK) == len(GAPS)


def test_what_is_nearly_the_same_is_not_tried_twice(tmp_path: Path, asked: list[object]) -> None:
    old = noise(10_000)
    new = old.copy()
    new[::200] += 1
    with Pool(workers=2, memory=1 << 30) as pool, Drafts(GAPS, 1, tmp_path) as ways:
        ways.literal(noise(1 << 20).tobytes())
        ways.covered(b"f", old, new, [np.array([(0, 0, len(new))])])
        _, writer = ways.finish(io.BytesIO(), trial=QUICK, final=STRONG, pool=pool)
    assert (writer.added, writer.copied) == (10_000, 0)
    assert QUICK not in asked


def test_what_cannot_be_compressed_is_not_tried_hard(tmp_path: Path) -> None:
    content = (noise(3 << 20) % 216).tobytes()
    strong = ZstdFrameWriter(io.BytesIO(), strength=STRONG, size_bound=len(content))
    strong.write(content)
    strong.finish()
    frames = {}
    for final in (QUICK, STRONG):
        out = io.BytesIO()
        with Pool(workers=2, memory=1 << 30) as pool, Drafts(GAPS, 1, tmp_path) as ways:
            ways.literal(content)
            ways.finish(out, trial=QUICK, final=final, pool=pool)
        frames[final] = out.getvalue()
    assert frames[QUICK] == frames[STRONG]
    assert len(frames[QUICK]) not in (strong.size, len(content))
    assert b"".join(zstd_frame(io.BytesIO(frames[QUICK]))).endswith(content[-1000:])


def test_what_can_be_compressed_is(tmp_path: Path) -> None:
    _, frame = written(tmp_path, 3 << 20, apart=20)
    assert len(frame) < 10_000
