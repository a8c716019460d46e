"""Covers, believed only after a check."""

import numpy as np
import pytest

from pipeline.tardiff.match.cover import checked, whole


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


def test_covers_of_a_wrong_shape_or_type_are_none() -> None:
    assert len(checked(np.zeros(6, np.int64), 100, 100)) == 0
    assert len(checked(np.zeros((2, 2), np.int64), 100, 100)) == 0
    assert len(checked(np.array([[0.0, 0.0, 5.5]]), 100, 100)) == 0


def test_a_true_cover_is_kept() -> None:
    rows = [(50, 0, 10), (0, 10, 5), (95, 20, 5)]
    assert checked(np.array(rows, np.int64), 100, 100).tolist() == [list(row) for row in rows]


def test_rows_that_go_on_in_each_other_are_joined() -> None:
    covers = [np.array(rows, np.int64) for rows in ([(10, 0, 5), (20, 30, 5)], [(15, 5, 5), (25, 35, 1), (7, 50, 3)])]
    assert whole(covers).tolist() == [[10, 0, 10], [20, 30, 6], [7, 50, 3]]
