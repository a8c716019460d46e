"""Equal bytes, counted in pieces."""

import tracemalloc

import numpy as np

from pipeline.tardiff.match.equality import common_prefix, equal_bytes


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
