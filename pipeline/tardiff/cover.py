"""What two files share, found within a memory bound and checked before it is believed.

Rule 1. A cover that leaves here is valid: ranges lie inside both files, ascend in new, and do not overlap there. An
        answer of a matcher that is not so is no cover at all.
Rule 2. What is equal at both ends is found here. It is cheap, and leaves a matcher only what has changed.
Rule 3. Files for which a matcher would need more than the bound are matched block by block, each against the part of
        old that lies at the same place in proportion. Nothing is refused for its size.
"""

import numpy as np
from numpy.typing import NDArray

from .matchers import CoverArray, Matcher

ByteArray = NDArray[np.uint8]

_PIECE = 1 << 18
_SMALLEST = 16  # fewer bytes than this cost less as they are than as operations


def find_cover(matcher: Matcher, old: ByteArray, new: ByteArray, *, memory: int) -> CoverArray:
    """The cover of `new` by `old`, with at most about `memory` bytes allocated by the matcher at a time."""
    prefix = common_prefix(old, new)
    rest = min(len(old), len(new)) - prefix
    suffix = common_prefix(old[len(old) - rest :][::-1], new[len(new) - rest :][::-1])
    old_end, new_end = len(old) - suffix, len(new) - suffix
    parts = [_row(0, 0, prefix)]
    for old_start, old_stop, new_start, new_stop in _blocks(matcher, old_end - prefix, new_end - prefix, memory):
        if min(old_stop - old_start, new_stop - new_start) >= _SMALLEST:
            old_part = old[prefix + old_start : prefix + old_stop]
            new_part = new[prefix + new_start : prefix + new_stop]
            found = checked(matcher.cover(old_part.tobytes(), new_part.tobytes()), len(old_part), len(new_part))
            parts.append(found + np.array((prefix + old_start, prefix + new_start, 0)))
    parts.append(_row(old_end, new_end, suffix))
    cover: CoverArray = np.concatenate(parts)
    return cover


def memory_of(matcher: Matcher, old: int, new: int, *, memory: int) -> int:
    """What `find_cover` may allocate for files of these sizes."""
    return min(memory, matcher.memory(old, new))


def checked(cover: CoverArray, old_size: int, new_size: int) -> CoverArray:
    """`cover` when rule 1 holds for it, else an empty one."""
    none = np.empty((0, 3), np.int64)
    if cover.ndim != 2 or cover.shape[1] != 3 or cover.dtype != np.int64:
        return none
    old, new, length = cover.T
    # compared without sums, which could overflow
    inside = (old >= 0) & (new >= 0) & (length > 0) & (length <= old_size) & (length <= new_size)
    if not inside.all() or (old > old_size - length).any() or (new > new_size - length).any():
        return none
    if (new[1:] < (new + length)[:-1]).any():
        return none
    return cover


def common_prefix(left: ByteArray, right: ByteArray) -> int:
    """How many bytes are equal at the beginning."""
    size = min(len(left), len(right))
    for at in range(0, size, _PIECE):
        differs = left[at : min(at + _PIECE, size)] != right[at : min(at + _PIECE, size)]
        if differs.any():
            return at + int(differs.argmax())
    return size


def _row(old: int, new: int, length: int) -> CoverArray:
    return np.array([(old, new, length)] if length else [], np.int64).reshape(-1, 3)


def _blocks(matcher: Matcher, old: int, new: int, memory: int) -> list[tuple[int, int, int, int]]:
    """Pairs of ranges (old start and stop, new start and stop) that together hold all of new."""
    if matcher.memory(old, new) <= memory:
        return [(0, old, 0, new)]
    window = 1 << 40
    while matcher.memory(window, window // 2) > memory and window > 2 * _SMALLEST:
        window //= 2
    step = window // 2
    blocks = []
    for start in range(0, new, step):
        stop = min(start + step, new)
        centre = (start + stop) // 2 * old // new
        old_start = max(0, min(centre - window // 2, old - window))
        blocks.append((old_start, min(old_start + window, old), start, stop))
    return blocks
