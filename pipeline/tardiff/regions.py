"""Regions of an open file, for any number of threads: nobody moves its position."""

import mmap
import os
from collections.abc import Iterator
from typing import Final

_PIECE: Final = 1 << 20
_WORTH_MAPPING: Final = 1 << 17  # bytes: mapping less takes longer than reading it


def content(descriptor: int, start: int, size: int) -> memoryview:
    """The `size` bytes from `start`, read-only: read if they are few, mapped otherwise."""
    if size < _WORTH_MAPPING:
        return memoryview(os.pread(descriptor, size, start))
    before = start % mmap.ALLOCATIONGRANULARITY
    return memoryview(mmap.mmap(descriptor, before + size, access=mmap.ACCESS_READ, offset=start - before))[before:]


def pieces(descriptor: int, start: int, size: int) -> Iterator[bytes]:
    """The same in pieces of at most 1 MiB."""
    stop = start + size
    while start < stop and (piece := os.pread(descriptor, min(stop - start, _PIECE), start)):
        start += len(piece)
        yield piece
