"""A large file in blocks, each with the parts of old that it resembles.

A matcher that sorts all of a large old file needs memory by its size and more time for each byte of it, and finds
look-alikes far off that cost a seek each. Blocks of a few megabytes against their own parts of old give smaller deltas
sooner, and several processors can share one file.

Rule 1. Blocks hold all of new, in order. None has more than `BLOCK` bytes of new nor `MOST_OLD` bytes of old: what
        matching needs does not depend on the size of a file.
Rule 2. Windows of bytes, sampled by content, vote for the chunk of old in which they stand. A block takes the chunks
        with most votes, and the neighbours of each, in which its boundaries may lie.
Rule 3. A window that stands in several places tells nothing about where a block comes from. It votes only where nearly
        all are such, as in a file that holds things twice.
Rule 4. A block for which nobody votes is new, and has no part of old.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .matchers import CoverArray
from .windows import ByteArray, sampled

BLOCK = 4 << 20
MOST_OLD = 2 * BLOCK

DIVIDING_MEMORY = 64 << 20
"""What `blocks` allocates at most, bytes: a few arrays of as many numbers as there are samples."""

_SAMPLES = 1 << 20  # of each file at most, about
_ONE_IN = 64
_SAMPLES_IN_CHUNK = 1024
_MIN_VOTES = 8  # in a chunk, unless none has so many
_MIN_UNIQUE = 1 / 8  # of all votes


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The range of new from `start` to `stop`, and ranges (start, stop) of old, ascending and apart."""

    start: int
    stop: int
    parts: tuple[tuple[int, int], ...]

    @property
    def size(self) -> int:
        """Bytes of new."""
        return self.stop - self.start

    @property
    def old_size(self) -> int:
        """Bytes of old."""
        return sum(stop - start for start, stop in self.parts)

    def shifted(self, by: int) -> "Block":
        """The same block where `by` bytes stand before both files."""
        parts = tuple((start + by, stop + by) for start, stop in self.parts)
        return Block(start=self.start + by, stop=self.stop + by, parts=parts)

    def content(self, old: ByteArray) -> bytes:
        """The parts of `old`, joined."""
        return b"".join(old[start:stop].tobytes() for start, stop in self.parts)

    def placed(self, cover: CoverArray) -> CoverArray:
        """`cover` of the block by `content`, as one of new by old: a range over several parts is several."""
        starts = np.array([start for start, _ in self.parts], np.int64)
        sizes = np.array([stop for _, stop in self.parts], np.int64) - starts
        seams = np.cumsum(sizes) - sizes
        old, new, length = cover.T
        first = np.searchsorted(seams, old, "right") - 1
        last = np.searchsorted(seams, old + length - 1, "right") - 1
        rows = np.repeat(np.arange(len(cover)), last - first + 1)
        before = np.cumsum(last - first + 1) - (last - first + 1)
        parts = first[rows] + np.arange(len(rows)) - before[rows]
        begins = np.maximum(old[rows], seams[parts])
        ends = np.minimum((old + length)[rows], (seams + sizes)[parts])
        return np.stack(
            (begins + (starts - seams)[parts], begins + (new - old)[rows] + self.start, ends - begins), axis=1
        )


def is_small(old: int, new: int) -> bool:
    """Whether files of these sizes are one block, whatever they hold."""
    return new <= BLOCK and old <= MOST_OLD


def blocks(old: ByteArray, new: ByteArray) -> Iterator[Block]:
    """The blocks of `new`; one with all of `old` where both are small."""
    if is_small(len(old), len(new)):
        yield Block(start=0, stop=len(new), parts=((0, len(old)),))
        return
    one_in = _ONE_IN
    while one_in * _SAMPLES < max(len(old), len(new)):
        one_in *= 2
    votes = _Votes(old, new, one_in)
    count = -(-len(new) // BLOCK)
    for number in range(count):
        start, stop = len(new) * number // count, len(new) * (number + 1) // count
        yield Block(start=start, stop=stop, parts=votes.parts(start, stop))


class _Votes:
    """Where the sampled windows of new stand in old."""

    def __init__(self, old: ByteArray, new: ByteArray, one_in: int) -> None:
        places, hashes = sampled(old, one_in)
        order = np.argsort(hashes, kind="stable")
        places, hashes = places[order], hashes[order]
        is_first = np.append(True, hashes[1:] != hashes[:-1])
        is_last = np.append(is_first[1:], True)
        voters, voted = sampled(new, one_in)
        found = np.searchsorted(hashes, voted)
        is_there = (
            hashes[np.minimum(found, len(hashes) - 1)] == voted if len(hashes) else np.zeros(len(voted), np.bool_)
        )
        found = found[is_there]
        self._voters = voters[is_there]
        self._places = places[found]
        self._is_unique = (is_first & is_last)[found]
        self._old_size = len(old)
        self._chunk = one_in * _SAMPLES_IN_CHUNK

    def parts(self, start: int, stop: int) -> tuple[tuple[int, int], ...]:
        """The ranges of old for the range of new from `start` to `stop`."""
        first, last = np.searchsorted(self._voters, (start, stop))
        places, is_unique = self._places[first:last], self._is_unique[first:last]
        if is_unique.sum() >= _MIN_UNIQUE * len(places):
            places = places[is_unique]
        if not len(places):
            return ()
        votes = np.bincount(places // self._chunk, minlength=-(-self._old_size // self._chunk))
        ranking = np.argsort(-votes, kind="stable")
        ranking = ranking[votes[ranking] >= min(_MIN_VOTES, votes.max())]
        is_taken = np.zeros(len(votes), np.bool_)
        for chunk in ranking.tolist():
            around = slice(max(0, chunk - 1), chunk + 2)
            before = is_taken[around].copy()
            is_taken[around] = True
            if is_taken.sum() * self._chunk > MOST_OLD:
                is_taken[around] = before
                break
        edges = np.flatnonzero(np.diff(is_taken, prepend=False, append=False)) * self._chunk
        return tuple((begin, min(end, self._old_size)) for begin, end in edges.reshape(-1, 2).tolist())
