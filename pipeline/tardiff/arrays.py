"""The contents of files as arrays of bytes."""

import numpy as np
from numpy.typing import NDArray

ByteArray = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
"""Places in a file, or in a part of one."""

_FIRST_PIECE, _PIECE = 1 << 10, 1 << 18  # what is equal is often short, and what is long is compared in a cache


def common_prefix(left: ByteArray, right: ByteArray) -> int:
    """How many bytes are equal at the beginning."""
    size = min(len(left), len(right))
    at, piece = 0, _FIRST_PIECE
    while at < size:
        stop = min(at + piece, size)
        differs = left[at:stop] != right[at:stop]
        if differs.any():
            return at + int(differs.argmax())
        at, piece = stop, min(2 * piece, _PIECE)
    return size


def common_suffix(left: ByteArray, right: ByteArray) -> int:
    """How many bytes are equal at the end."""
    return common_prefix(left[::-1], right[::-1])


def equal_bytes(left: ByteArray, right: ByteArray) -> int:
    """In how many places two arrays of the same size are equal."""
    return sum(
        int(np.count_nonzero(left[at : at + _PIECE] == right[at : at + _PIECE])) for at in range(0, len(left), _PIECE)
    )
