"""Covers: what a new file can make from an old one, range by range.

Rule. A cover that has been checked is valid: its rows lie inside both files, ascend in new, and do not overlap there.
      An answer of a matcher that is not so is no cover at all.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

CoverArray = NDArray[np.int64]
"""Shape (n, 3), a row for each range: old offset, new offset, length in bytes. New ranges ascend and do not overlap;
bytes inside may differ."""

NO_COVER: CoverArray = np.empty((0, 3), np.int64)


def whole(covers: Sequence[CoverArray]) -> CoverArray:
    """Covers of different ranges of one file as one; rows that go on in each other are joined."""
    cover = np.concatenate(covers)
    cover = cover[np.argsort(cover[:, 1], kind="stable")]
    goes_on = (cover[1:, :2] == cover[:-1, :2] + cover[:-1, 2:]).all(axis=1)
    if not goes_on.any():
        return cover
    firsts = np.flatnonzero(np.append(True, ~goes_on))
    joined = cover[firsts]
    joined[:, 2] = np.add.reduceat(cover[:, 2], firsts)
    return joined


def clipped(cover: CoverArray, start: int, stop: int) -> CoverArray:
    """What of `cover` lies in the range of new, relative to its start."""
    first = int(np.searchsorted(cover[:, 1] + cover[:, 2], start, "right"))
    last = int(np.searchsorted(cover[:, 1], stop, "left"))
    cover = cover[first:last]
    begins = np.maximum(cover[:, 1], start)
    ends = np.minimum(cover[:, 1] + cover[:, 2], stop)
    return np.stack((cover[:, 0] + begins - cover[:, 1], begins - start, ends - begins), axis=1)


def checked(cover: CoverArray, old_size: int, new_size: int) -> CoverArray:
    """`cover` when rule 1 holds for it, else an empty one."""
    if cover.ndim != 2 or cover.shape[1] != 3 or cover.dtype != np.int64:
        return NO_COVER
    old, new, length = cover.T
    # compared without sums, which could overflow
    inside = (old >= 0) & (new >= 0) & (length > 0) & (length <= old_size) & (length <= new_size)
    if not inside.all() or (old > old_size - length).any() or (new > new_size - length).any():
        return NO_COVER
    if (new[1:] < (new + length)[:-1]).any():
        return NO_COVER
    return cover
