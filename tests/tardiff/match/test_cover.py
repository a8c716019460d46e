"""Covers: found block by block, and believed only after a check."""

import tracemalloc

import numpy as np
import pytest

from pipeline.tardiff.match.blocks import BLOCK, CONTEXT, MOST_OLD
from pipeline.tardiff.match.cover import checked, divided, match, whole
from pipeline.tardiff.match.equality import common_prefix, equal_bytes
from pipeline.tardiff.match.matchers import CoverArray, Matcher


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


@pytest.mark.parametrize(
    "rows",
    [
        [(-1, 0, 5)],
        [(0, -1, 5)],
        [(0, 0, 0)],
        [(0, 0, -5)],
        [(96, 0, 5)],
        [(0, 96, 5)],
        [(0, 0, 101)],
        [(0, 10, 5), (0, 14, 5)],
        [(0, 10, 5), (0, 0, 5)],
        [(1 << 62, 0, 1 << 62)],
        [(0, 0, (1 << 63) - 1)],
        [((1 << 63) - 1, 0, 5)],
        [(-(1 << 63), 0, 5)],
    ],
    ids=str,
)
def test_a_false_cover_is_no_cover(rows: list[tuple[int, int, int]]) -> None:
    assert len(checked(np.array(rows, np.int64), 100, 100)) == 0
    old, new = b"o" * 100, b"n" * 100
    assert found(Fixed(*rows), old, new) == []


def test_covers_of_a_wrong_shape_or_type_are_none() -> None:
    assert len(checked(np.zeros(6, np.int64), 100, 100)) == 0
    assert len(checked(np.zeros((2, 2), np.int64), 100, 100)) == 0
    assert len(checked(np.array([[0.0, 0.0, 5.5]]), 100, 100)) == 0


def test_a_true_cover_is_kept() -> None:
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


def test_rows_that_go_on_in_each_other_are_joined() -> None:
    parts = [np.array(rows, np.int64) for rows in ([(10, 0, 5), (20, 30, 5)], [(15, 5, 5), (25, 35, 1), (7, 50, 3)])]
    assert whole(parts).tolist() == [[10, 0, 10], [20, 30, 6], [7, 50, 3]]


def test_comparing_long_arrays_takes_no_memory_by_their_size() -> None:
    left = np.zeros(16 << 20, np.uint8)
    right = left.copy()
    right[::1000] = 1
    tracemalloc.start()
    assert equal_bytes(left, right) == len(left) - len(right[::1000])
    assert common_prefix(left[1:], right[1:]) == 999
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_common_prefix_may_be_longer_than_one_piece() -> None:
    left = np.zeros(1_000_000, np.uint8)
    right = left.copy()
    right[900_000] = 1
    assert common_prefix(left, right) == 900_000
    assert common_prefix(left, left[:5]) == 5
