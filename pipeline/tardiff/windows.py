"""Windows of bytes sampled by content: the same bytes are in the sample, or are not, wherever they stand."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .arrays import ByteArray, Places

Hashes = NDArray[np.uint64]

WINDOW = 16
"""Bytes."""

_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_PIECE = 1 << 16  # of which the hashes stay in a processor's cache


def sampled_pieces(data: ByteArray, one_in: int) -> Iterator[tuple[Places, Hashes]]:
    """Places and hashes of one window in `one_in` (a power of two) on average, ascending by place, piece by piece.

    A window of zeros hashes to zero, and is left out: it says as little as any other filler.
    """
    limit = np.uint64((1 << 64) // one_in)
    for at in range(0, max(0, len(data) - WINDOW + 1), _PIECE):
        piece = np.ascontiguousarray(data[at : at + _PIECE + WINDOW - 1])
        words = np.ndarray((len(piece) - 7,), "<u8", piece.data, strides=(1,))
        hashes: Hashes = words[:-8] * _MULTIPLIERS[0]
        hashes += words[8:] * _MULTIPLIERS[1]
        places = np.flatnonzero((hashes < limit) & (hashes > 0))
        yield places + at, hashes[places]


def sampled(data: ByteArray, one_in: int) -> tuple[Places, Hashes]:
    """All of `sampled_pieces` at once."""
    pieces = list(sampled_pieces(data, one_in))
    places = [np.empty(0, np.int64), *(places for places, _ in pieces)]
    hashes = [np.empty(0, np.uint64), *(hashes for _, hashes in pieces)]
    return np.concatenate(places), np.concatenate(hashes)
