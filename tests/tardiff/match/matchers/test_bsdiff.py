"""bsdiff's answers, and what it is not shown."""

import random
from itertools import pairwise

import numpy as np
import pytest

from pipeline.tardiff.match.cover import checked
from pipeline.tardiff.match.matchers.bsdiff import Bsdiff, masked


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def equal_bytes(old: bytes, new: bytes) -> int:
    """How many bytes of `new` the cover gives without a change."""
    cover = Bsdiff().cover(old, new)
    assert len(checked(cover, len(old), len(new))) == len(cover)
    a, b = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    return sum(int((a[o : o + size] == b[n : n + size]).sum()) for o, n, size in cover.tolist())


def test_moved_and_changed_parts_are_found() -> None:
    old = noise(4, 3000)
    changed = old[:1500] + b"?" + old[1501:]
    assert equal_bytes(old, changed[1000:] + b"between" + changed[:1000]) > 2900


@pytest.mark.parametrize("size", [1024, 5000, 100_000])
def test_runs_match_runs_wherever_they_begin(size: int) -> None:
    old = noise(1, 3333) + bytes(size) + noise(2, 2000)
    new = noise(1, 3200) + bytes(size) + noise(2, 2000) + b"x" * size + noise(3, 10)
    assert equal_bytes(old, new) > 5000 + size


@pytest.mark.parametrize("data", [b"", b"a", noise(1, 5000), bytes(511), noise(1, 600) + bytes(511) + noise(2, 600)])
def test_without_long_runs_nothing_is_masked(data: bytes) -> None:
    assert masked(data) is data


@pytest.mark.parametrize("offset", [0, 1, 511, 512, 700])
@pytest.mark.parametrize("size", [1024, 1300, 4096])
def test_all_of_a_run_is_masked_and_nothing_else(offset: int, size: int) -> None:
    before, after = b"\1" * min(offset, 1) + noise(1, offset), b"\1" + noise(2, 999)
    before = (before + b"\1")[-offset:] if offset else b""
    result = masked(before + bytes(size) + after)
    assert result[:offset] == before
    assert result[offset + size :] == after
    run = result[offset : offset + size]
    assert max(sum(a == b for a, b in pairwise(run[at : at + 64])) for at in range(0, size, 64)) < 10


def test_neighbouring_runs_of_different_bytes_differ() -> None:
    result = masked(bytes(2048) + b"x" * 2048 + bytes(2048))
    assert result[:2048] == result[4096:] != result[2048:4096]


def test_the_mask_is_the_same_on_every_machine() -> None:
    assert masked(b"a" * 1024)[:8].hex() == masked(b"a" * 4096)[:8].hex() == "08ae4f3308ae271b"
