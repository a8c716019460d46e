"""Which of the ways to write a delta is kept, and how hard it is compressed."""

import io
from pathlib import Path

import numpy as np
import pytest

from pipeline.compression import Strength, zstd_frame
from pipeline.tardiff.arrays import ByteArray
from pipeline.tardiff.drafts import Drafts
from pipeline.tardiff.pool import Pool

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
    with Pool(workers=2, memory=1 << 30) as pool, Drafts(GAPS, 1, directory) as drafts:
        drafts.covered(b"f", old, new, [np.array([(0, 0, size)])])
        frame, writer = drafts.finish(out, trial=QUICK, final=STRONG, pool=pool)
    assert frame == len(out.getvalue())
    assert writer.copied + writer.added == size
    return writer.ops, out.getvalue()


@pytest.mark.parametrize("size", [1 << 18, 5 << 20], ids=["at the end", "as soon as it is clear"])
def test_dense_changes_are_not_cut(tmp_path: Path, size: int) -> None:
    ops, _ = written(tmp_path, size, apart=20)
    assert ops <= 2 + size // (1 << 18)


def test_sparse_changes_are_cut(tmp_path: Path) -> None:
    ops, _ = written(tmp_path, 1 << 20, apart=200)
    assert ops >= 2 * (1 << 20) // 200


def test_what_cannot_be_compressed_is_not_tried_hard(tmp_path: Path) -> None:
    content = noise(3 << 20).tobytes()
    frames = {}
    for final in (QUICK, STRONG):
        out = io.BytesIO()
        with Pool(workers=2, memory=1 << 30) as pool, Drafts(GAPS, 1, tmp_path) as drafts:
            drafts.literal(content)
            drafts.finish(out, trial=QUICK, final=final, pool=pool)
        frames[final] = out.getvalue()
    assert frames[QUICK] == frames[STRONG]
    assert b"".join(zstd_frame(io.BytesIO(frames[QUICK]))).endswith(content[-1000:])


def test_what_can_be_compressed_is(tmp_path: Path) -> None:
    _, frame = written(tmp_path, 3 << 20, apart=20)
    assert len(frame) < 10_000
