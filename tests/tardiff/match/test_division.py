"""Covers of two files, found block by block."""

import numpy as np
import pytest

from pipeline.tardiff.match.blocks import BLOCK, CONTEXT, MOST_OLD
from pipeline.tardiff.match.cover import CoverArray, checked, whole
from pipeline.tardiff.match.division import divided, match
from pipeline.tardiff.match.matchers import Matcher


class Fixed:
    """A matcher that always answers the same, and notes what it was asked."""

    def __init__(self, *rows: tuple[int, int, int]) -> None:
        self.answer = np.array(rows, np.int64).reshape(-1, 3)
        self.asked: list[tuple[bytes, bytes]] = []

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        self.asked.append((old, new))
        return self.answer

    def memory(self, old: int, new: int) -> int:
        return old + new


def found(matcher: Matcher, old: bytes, new: bytes) -> list[tuple[int, int, int]]:
    left, right = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    known, blocks = divided(left, right)
    cover = whole([known, *(match(matcher, left, right, block) for block in blocks)])
    assert len(checked(cover, len(old), len(new))) == len(cover)
    return [(int(a), int(b), int(c)) for a, b, c in cover]


def test_equal_ends_are_not_given_to_a_matcher() -> None:
    matcher = Fixed()
    middle_old, middle_new = b"<" + b"o" * 30 + b">", b"[" + b"n" * 40 + b"]"
    assert found(matcher, b"head" + middle_old + b"tail", b"head" + middle_new + b"tail") == [(0, 0, 4), (36, 46, 4)]
    assert matcher.asked == [(middle_old, middle_new)]


def test_a_matcher_sees_a_little_of_what_is_around_a_long_change() -> None:
    matcher = Fixed((0, 0, CONTEXT))
    head, tail = b"h" * 1000, b"t" * 100
    old, new = head + b"o" * 5000 + tail, head + b"n" * 6000 + tail
    assert found(matcher, old, new) == [(0, 0, 1000)]
    assert matcher.asked == [(old[1000 - CONTEXT :], new[1000 - CONTEXT :])]


def test_ends_of_repetitive_data_do_not_overlap() -> None:
    assert found(Fixed(), b"a" * 10, b"a" * 7) == [(0, 0, 7)]
    assert found(Fixed(), b"a" * 7, b"a" * 10) == [(0, 0, 7)]
    assert found(Fixed(), b"", b"abc") == []


@pytest.mark.parametrize("rows", [[(0, 96, 5)], [(0, 10, 5), (0, 14, 5)], [(-(1 << 63), 0, 5)]], ids=str)
def test_a_false_answer_is_no_cover(rows: list[tuple[int, int, int]]) -> None:
    assert found(Fixed(*rows), b"o" * 100, b"n" * 100) == []


def test_a_true_answer_is_kept() -> None:
    rows = [(50, 0, 10), (0, 10, 5), (95, 20, 5)]
    assert found(Fixed(*rows), b"o" * 100, b"n" * 100) == rows


def test_what_a_matcher_is_asked_does_not_grow_with_the_file() -> None:
    matcher = Fixed()
    old = np.random.default_rng(1).bytes(3 * MOST_OLD)
    changed = np.frombuffer(old, np.uint8).copy()
    changed[::24] += 1
    new = b"<" + changed[: 2 * BLOCK].tobytes() + b"-" + changed[5 * BLOCK :].tobytes() + b">"
    found(matcher, old, new)
    assert b"".join(asked for _, asked in matcher.asked) == new
    assert max(len(asked) for asked, _ in matcher.asked) <= MOST_OLD
    assert max(len(asked) for _, asked in matcher.asked) <= BLOCK
