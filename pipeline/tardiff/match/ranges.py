"""Ranges of a file that are joined for a matcher, and the way of what it found back into the file."""

from dataclasses import dataclass

import numpy as np

from ..layer.regions import Bytes, array_of
from .cover import CoverArray

Range = tuple[int, int]
"""Where it starts and where it stops."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Ranges (start, stop) of a file, ascending and apart."""

    ranges: tuple[Range, ...]

    @property
    def start(self) -> int:
        """Where the first of them starts."""
        return self.ranges[0][0]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(stop - start for start, stop in self.ranges)

    def shifted(self, by: int) -> "Ranges":
        """The same where `by` bytes stand before the file."""
        return Ranges(tuple((start + by, stop + by) for start, stop in self.ranges))

    def joined(self, data: Bytes) -> bytes:
        """Their content in `data`."""
        return b"".join(array_of(data[start:stop]).data for start, stop in self.ranges)

    def placed(self, cover: CoverArray, column: int) -> CoverArray:
        """`cover`, of which `column` (0: old, 1: new) counts in the joined content, with its places in the file: a row
        over several ranges is several."""
        if not len(cover):
            return cover
        starts = np.array([start for start, _ in self.ranges], np.int64)
        sizes = np.array([stop for _, stop in self.ranges], np.int64) - starts
        seams = np.cumsum(sizes) - sizes
        begins, length = cover[:, column], cover[:, 2]
        first = np.searchsorted(seams, begins, "right") - 1
        counts = np.searchsorted(seams, begins + length - 1, "right") - first
        rows = np.repeat(np.arange(len(cover)), counts)
        ranges = first[rows] + np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
        placed = cover[rows]
        cut = np.maximum(begins[rows], seams[ranges])
        placed[:, 2] = np.minimum((begins + length)[rows], (seams + sizes)[ranges]) - cut
        placed[:, :2] += (cut - begins[rows])[:, None]
        placed[:, column] += (starts - seams)[ranges]
        return placed
