"""Two files divided: what they are known to share, and blocks of the rest for a matcher.

Rule 1. What is equal at both ends is found here. It is cheap, and leaves a matcher only what has changed, with a little
        of what is around it.
Rule 2. A matcher sees one block of new at a time (`blocks`). Nothing is refused for its size.
"""

from collections.abc import Sequence

import numpy as np

from ..layer.regions import Bytes
from .blocks import CONTEXT, Block, blocks
from .cover import NO_COVER, CoverArray, checked
from .equality import common_prefix, common_suffix
from .matchers import Matcher

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


def _row(old: int, new: int, length: int) -> CoverArray:
    return np.array([(old, new, length)], np.int64) if length else NO_COVER
