"""A large file in blocks, each with the ranges of old that it resembles.

A matcher that sorts all of a large old file needs memory by its size and more time for each byte of it, and finds
look-alikes far off that cost a seek each. Blocks of a few megabytes against their own ranges of old give smaller deltas
sooner, and several processors can share one file.

Rule 1. Blocks hold, in order, all of new but the inside of known stretches (`anchors`), each as ranges that are joined
        for the matcher. Where little is known nothing is left out: deltas would be larger for next to no time.
Rule 2. No block has more than `BLOCK` bytes of new nor `MOST_OLD` bytes of old: what matching needs does not depend on
        the size of a file. What windows alone vote for is no more than twice as long as new, so that a small file is
        not matched with all of a large source.
Rule 3. Which ranges of old: what lies as far off as the anchors in a chunk of new say, or those before it and behind
        it, for tables of addresses can change in every window; then the chunks of old in which most anchors stand, with
        the neighbours of each, in which boundaries may lie.
Rule 4. A window that stands in several places tells nothing about where a range comes from. It has a vote only where
        nearly all are such, as in a file that holds things twice.
Rule 5. A file without anchors is new, and its blocks have none of old.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..layer.regions import Bytes
from ..pair.windows import Flags, Places
from .anchors import Anchors
from .cover import NO_COVER, CoverArray
from .ranges import Range, Ranges

BLOCK = 4 << 20
MOST_OLD = 2 * BLOCK
"""In no block is more, bytes."""
CONTEXT = 256
"""Bytes of what is known that a matcher sees: from there it goes on into a table in which every entry has changed."""

_SMALL = 1 << 19  # bytes: dividing less takes as long as matching
_DIVIDING_MEMORY = 80 << 20  # a few arrays of as many numbers as there are samples
_CELLS_IN_CHUNK = 16
_SAMPLES_IN_CHUNK = 1024
_MIN_VOTES = 8  # in a chunk, unless none has so many
_MIN_UNIQUE = 1 / 8  # of all votes
_WORTH_LEAVING_OUT = 1 / 4  # of new
_LEAST = 32  # a shorter range costs less as it is than as operations


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What of new is to be matched with what of old."""

    new: Ranges
    old: Ranges

    def shifted(self, by: int) -> "Block":
        """The same block where `by` bytes stand before both files."""
        return Block(new=self.new.shifted(by), old=self.old.shifted(by))

    def placed(self, cover: CoverArray) -> CoverArray:
        """`cover` of the joined contents, in places of the files."""
        return self.old.placed(self.new.placed(cover, 1), 0)


def is_small(old: int, new: int) -> bool:
    """Whether files of these sizes are one block, whatever they hold."""
    return new <= _SMALL and old <= _most_old(new)


def dividing_memory(old: int, new: int) -> int:
    """What `blocks` allocates at most for files of these sizes, bytes."""
    return min(_DIVIDING_MEMORY, (4 << 20) + old + new)


def blocks(old: Bytes, new: Bytes) -> tuple[CoverArray, Sequence[Block]]:
    """The known stretches of `new`, and the blocks of the rest; one with everything where both are small."""
    if is_small(len(old), len(new)):
        everything = Block(new=Ranges(((0, len(new)),)), old=Ranges(((0, len(old)),)))
        return NO_COVER, [everything]
    anchors = Anchors.of(old, new)
    known = anchors.stretches(old, new)
    if known[:, 2].sum() < _WORTH_LEAVING_OUT * len(new):
        known = known[:0]
    known = known + np.array((CONTEXT, CONTEXT, -2 * CONTEXT))
    resembled = _Resembled(anchors, len(old), len(new))
    return known, [Block(new=Ranges(ranges), old=resembled.by(ranges)) for ranges in _divided(known, len(new))]


def _most_old(new: int) -> int:
    """How many bytes of old are matched with so many of new, unless more are expected."""
    return 2 * max(new, _SMALL)


def _divided(known: CoverArray, size: int) -> Iterator[tuple[Range, ...]]:
    """What of a file of `size` bytes is not `known`: ranges for one block after the other, of about the same size."""
    edges = [0, *(edge for start, length in known[:, 1:].tolist() for edge in (start, start + length)), size]
    ranges = [(start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop - start >= _LEAST]
    total = sum(stop - start for start, stop in ranges)
    count = -(-total // BLOCK)
    ends = [total * number // count for number in range(1, count + 1)]
    block: list[Range] = []
    done = 0
    for start, stop in ranges:
        while done + stop - start > ends[0]:
            cut = start + ends[0] - done
            yield (*block, (start, cut)) if cut > start else tuple(block)
            block, start, done = [], cut, ends.pop(0)
        block.append((start, stop))
        done += stop - start
    if block:
        yield tuple(block)


class _Resembled:
    """Which ranges of old go with ranges of new."""

    def __init__(self, anchors: Anchors, old_size: int, new_size: int) -> None:
        self._anchors = anchors
        self._old_size = old_size
        self._chunk = anchors.one_in * _SAMPLES_IN_CHUNK
        self._cell = self._chunk // _CELLS_IN_CHUNK
        self._before, self._behind = self._aligned(-(-new_size // self._chunk))

    def by(self, ranges: Sequence[Range]) -> Ranges:
        """The ranges of old for `ranges` of new."""
        taken: Flags = np.zeros(-(-self._old_size // self._cell), np.bool_)
        self._take(taken, self._expected(ranges), MOST_OLD)
        self._take(taken, self._voted(ranges), _most_old(sum(stop - start for start, stop in ranges)))
        edges = np.flatnonzero(np.diff(taken, prepend=False, append=False)) * self._cell
        return Ranges(tuple((start, min(stop, self._old_size)) for start, stop in edges.reshape(-1, 2).tolist()))

    def _take(self, taken: Flags, slices: Iterator[slice], most: int) -> None:
        """Add `slices` of cells to those `taken` until there would be more than `most` bytes."""
        for cells in slices:
            before = taken[cells].copy()
            taken[cells] = True
            if np.count_nonzero(taken) * self._cell > most:
                taken[cells] = before
                return

    def _aligned(self, count: int) -> tuple[list[int | None], list[int | None]]:
        """For each of `count` chunks of new how far before or behind it old is: by the chunk itself or the last one
        before it that tells, and by itself or the next one."""
        found: list[int | None] = [None] * count
        edges = np.searchsorted(self._anchors.new, np.arange(count + 1) * self._chunk).tolist()
        for number, (first, last) in enumerate(pairwise(edges)):
            is_unique = self._anchors.is_unique[first:last]
            places = self._anchors.old[first:last][is_unique]
            if len(places) >= _MIN_VOTES:
                distances = places - self._anchors.new[first:last][is_unique]
                found[number] = int(np.partition(distances, len(distances) // 2)[len(distances) // 2])
        return _filled(found), _filled(found[::-1])[::-1]

    def _expected(self, ranges: Sequence[Range]) -> Iterator[slice]:
        """Where the ranges lie in old if they lie there as what is around them does."""
        for start, stop in ranges:
            for chunk in range(start // self._chunk, -(-stop // self._chunk)):
                begin, end = max(start, chunk * self._chunk), min(stop, (chunk + 1) * self._chunk)
                for distance in {self._before[chunk], self._behind[chunk]}:
                    if distance is not None:
                        yield self._around(begin + distance, end + distance)

    def _around(self, start: int, stop: int) -> slice:
        """The cells of a range of old, and one more on either side."""
        return slice(max(0, start // self._cell - 1), max(0, -(-stop // self._cell) + 1))

    def _voted(self, ranges: Sequence[Range]) -> Iterator[slice]:
        """The chunks that have votes enough, the most first, and the neighbours of each."""
        places = self._votes(ranges)
        if not len(places):
            return
        votes = np.bincount(places // self._chunk)
        ranking = np.argsort(-votes, kind="stable")
        for chunk in ranking[votes[ranking] >= min(_MIN_VOTES, votes.max())].tolist():
            yield slice(max(0, chunk - 1) * _CELLS_IN_CHUNK, (chunk + 2) * _CELLS_IN_CHUNK)

    def _votes(self, ranges: Sequence[Range]) -> Places:
        """The places in old of the anchors in `ranges` that have a vote."""
        edges = np.searchsorted(self._anchors.new, np.array(ranges)).tolist()
        chosen = np.concatenate([np.arange(first, last) for first, last in edges])
        is_unique = self._anchors.is_unique[chosen]
        if np.count_nonzero(is_unique) >= _MIN_UNIQUE * len(chosen):
            chosen = chosen[is_unique]
        places: Places = self._anchors.old[chosen]
        return places


def _filled(values: Sequence[int | None]) -> list[int | None]:
    """`values` with the last one before it in place of each None."""
    filled: list[int | None] = []
    last = None
    for value in values:
        last = last if value is None else value
        filled.append(last)
    return filled
