"""hdiffpatch's answers, and what is made of others."""

import random

import hdiffpatch
import numpy as np
import pytest

from pipeline.tardiff.match.cover import checked
from pipeline.tardiff.match.matchers.hdiff import Hdiff, parse_cover


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


OLD = noise(1, 30_000)
NEW = OLD[20_000:] + b"between" + OLD[:9000] + b"?" + OLD[9001:20_000] + OLD[:300]


def output() -> bytes:
    return hdiffpatch.diff(OLD, NEW, validate=False)


@pytest.mark.parametrize("old", [OLD, b"", b"x", bytes(5000)], ids=len)
@pytest.mark.parametrize("new", [NEW, b"", b"y", bytes(70_000), OLD], ids=len)
def test_any_pair_gives_a_valid_cover(old: bytes, new: bytes) -> None:
    cover = Hdiff().cover(old, new)
    assert len(checked(cover, len(old), len(new))) == len(cover)


def test_moved_and_changed_parts_are_found() -> None:
    old, new = np.frombuffer(OLD, np.uint8), np.frombuffer(NEW, np.uint8)
    cover = Hdiff().cover(OLD, NEW)
    equal = sum(int((old[o : o + size] == new[n : n + size]).sum()) for o, n, size in cover.tolist())
    assert equal >= len(NEW) - 8


def test_a_large_offset_and_its_sign_are_read() -> None:
    assert [row[:2] for row in Hdiff().cover(OLD, NEW).tolist()] == [[20_000, 0], [0, 10_007], [0, 30_007]]


@pytest.mark.parametrize("sizes", [(len(OLD) + 1, len(NEW)), (len(OLD), len(NEW) - 1)])
def test_an_answer_for_other_files_is_none(sizes: tuple[int, int]) -> None:
    assert len(parse_cover(output(), len(OLD), len(NEW))) == 3
    assert len(parse_cover(output(), *sizes)) == 0


def test_a_cut_or_damaged_answer_is_none_or_a_cover() -> None:
    whole = output()
    source = random.Random(3)
    for size in range(len(whole)):
        assert parse_cover(whole[:size], len(OLD), len(NEW)).shape[1] == 3
    for _ in range(2000):
        damaged = bytearray(whole)
        damaged[source.randrange(len(whole))] = source.randrange(256)
        covers = parse_cover(bytes(damaged), len(OLD), len(NEW))
        assert covers.shape[1] == 3
        checked(covers, len(OLD), len(NEW))


@pytest.mark.parametrize("answer", [b"", b"HDIFF13&", b"HDIFF12&\0" + bytes(20), b"HDIFF13&\0" + b"\xff" * 300])
def test_what_is_no_such_answer_is_none(answer: bytes) -> None:
    assert len(parse_cover(answer, 0, 0)) == 0
