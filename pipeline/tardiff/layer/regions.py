"""Regions of an open file, for any number of threads: nobody moves its position.

Rule. What has been read of a mapped file counts as memory of the process for as long as it is mapped. So whoever goes
      through a large file maps it piece by piece.
"""

import mmap
import os
from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]

_PIECE: Final = 1 << 20
_WORTH_MAPPING: Final = 1 << 17  # bytes: mapping less takes longer than reading it


class Region:
    """A range of a file, which holds nothing of it: whoever needs some bytes slices it, and asks the slice for them."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: slice) -> "Region":
        start, stop, _ = where.indices(self._size)
        return Region(self._descriptor, self._start + start, max(0, stop - start))

    def array(self) -> ByteArray:
        """Its bytes, read-only: read if they are few, mapped for as long as the array lives otherwise."""
        if self._size < _WORTH_MAPPING:
            return np.frombuffer(os.pread(self._descriptor, self._size, self._start), np.uint8)
        before = self._start % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(self._descriptor, before + self._size, access=mmap.ACCESS_READ, offset=self._start - before)
        return np.frombuffer(mapped, np.uint8)[before:]

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, in pieces of at most 1 MiB."""
        at, stop = self._start, self._start + self._size
        while at < stop and (piece := os.pread(self._descriptor, min(stop - at, _PIECE), at)):
            at += len(piece)
            yield piece


Bytes: TypeAlias = ByteArray | Region
"""A file, or a range of one, in memory or not. Slices of both are as cheap."""


def content_of(region: Region) -> Bytes:
    """`region`, or its bytes where they are few."""
    return region.array() if len(region) < _WORTH_MAPPING else region


def array_of(content: Bytes) -> ByteArray:
    """The bytes of `content`."""
    return content.array() if isinstance(content, Region) else content
