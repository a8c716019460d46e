"""How far two contents are equal, compared piece by piece."""

import numpy as np

from ..layer.regions import Bytes, array_of

_FIRST_PIECE, _PIECE = 1 << 10, 1 << 18  # what is equal is often short, and what is long is compared in a cache


def common_prefix(left: Bytes, right: Bytes) -> int:
    """How many bytes are equal at the beginning."""
    size = min(len(left), len(right))
    at, piece = 0, _FIRST_PIECE
    while at < size:
        stop = min(at + piece, size)
        differs = array_of(left[at:stop]) != array_of(right[at:stop])
        if differs.any():
            return at + int(differs.argmax())
        at, piece = stop, min(2 * piece, _PIECE)
    return size


def common_suffix(left: Bytes, right: Bytes) -> int:
    """How many bytes are equal at the end."""
    size = min(len(left), len(right))
    left, right = left[len(left) - size :], right[len(right) - size :]
    stop, piece = size, _FIRST_PIECE
    while stop:
        at = max(0, stop - piece)
        differs = array_of(left[at:stop]) != array_of(right[at:stop])
        if differs.any():
            return size - stop + int(differs[::-1].argmax())
        stop, piece = at, min(2 * piece, _PIECE)
    return size


def equal_bytes(left: Bytes, right: Bytes) -> int:
    """In how many places two contents of the same size are equal."""
    return sum(
        int(np.count_nonzero(array_of(left[at : at + _PIECE]) == array_of(right[at : at + _PIECE])))
        for at in range(0, len(left), _PIECE)
    )
