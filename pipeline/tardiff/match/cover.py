"""What two files share, checked before it is believed.

Rule 1. A cover that leaves here is valid: ranges lie inside both files, ascend in new, and do not overlap there. An
        answer of a matcher that is not so is no cover at all.
Rule 2. What is equal at both ends is found here. It is cheap, and leaves a matcher only what has changed, with a little
        of what is around it.
Rule 3. A matcher sees one block of new at a time (`blocks`). Nothing is refused for its size.
"""

from collections.abc import Sequence

import numpy as np

from ..layer.regions import Bytes
from .blocks import CONTEXT, Block, blocks
from .equality import common_prefix, common_suffix
from .matchers import NO_COVER, CoverArray, Matcher

_SMALLEST = 16  # fewer bytes than this cost less as they are than as operations
_WORTH_CONTEXT = 1 << 12  # bytes that have changed: fewer are mostly text, and matched as well without


def divided(old: Bytes, new: Bytes) -> tuple[CoverArray, Sequence[Block]]:
    """What `new` is known to share with `old`, and the blocks of the rest, which are to be matched."""
    prefix = common_prefix(old, new)
    suffix = common_suffix(old[prefix:], new[prefix:])
    if min(len(old), len(new)) - prefix - suffix >= _WORTH_CONTEXT:
        prefix, suffix = max(0, prefix - CONTEXT), max(0, suffix - CONTEXT)
    old_end, new_end = len(old) - suffix, len(new) - suffix
    known, found = blocks(old[prefix:old_end], new[prefix:new_end])
    shift = np.array((prefix, prefix, 0))
    known = np.concatenate((_row(0, 0, prefix), known + shift, _row(old_end, new_end, suffix)))
    return known, [block.shifted(prefix) for block in found]


def match(matcher: Matcher, old: Bytes, new: Bytes, block: Block) -> CoverArray:
    """The cover of `block`, in places of `old` and `new`."""
    if min(block.new.size, block.old.size) < _SMALLEST:
        return NO_COVER
    cover = matcher.cover(block.old.joined(old), block.new.joined(new))
    return block.placed(checked(cover, block.old.size, block.new.size))


def whole(parts: Sequence[CoverArray]) -> CoverArray:
    """Covers of different parts of one file as one; rows that go on in each other are joined."""
    cover = np.concatenate(parts)
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


def _row(old: int, new: int, length: int) -> CoverArray:
    return np.array([(old, new, length)], np.int64) if length else NO_COVER
