"""Windows of bytes sampled by content: the same bytes are in the sample, or are not, wherever they stand."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..layer.regions import Bytes, array_of

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]
"""Where windows begin in a file."""

_WINDOW = 16
_MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_CHOOSERS = (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77))
_PIECE = 1 << 17  # of which the sums stay in a processor's cache
_ONE_IN = 64  # at least


def sampling(size: int, samples: int) -> int:
    """One in how many windows (a power of two) makes about `samples` of `size` bytes, or fewer."""
    one_in = _ONE_IN
    while one_in * samples < size:
        one_in *= 2
    return one_in


def looked_up(hashes: Hashes, wanted: Hashes) -> tuple[Flags, Places]:
    """Which of `wanted` are in `hashes`, which ascend, and where the first of each of those is."""
    found = np.searchsorted(hashes, wanted)
    is_there = np.append(hashes, np.uint64(0))[found] == wanted
    return is_there, found[is_there]


def sampled_pieces(data: Bytes, one_in: int) -> Iterator[tuple[Places, Hashes]]:
    """Places and hashes of one window in `one_in` (a power of two) on average, ascending by place, piece by piece.

    A window of zeros is left out: it says as little as any other filler.
    """
    limit = np.uint32((1 << 32) // one_in)
    for at in range(0, max(0, len(data) - _WINDOW + 1), _PIECE):
        piece = np.ascontiguousarray(array_of(data[at : at + _PIECE + _WINDOW - 1]))
        # half of a window chooses it, for its hash takes longer: there processors multiply one number at a time
        quarters = np.ndarray((len(piece) - 3,), "<u4", piece.data, strides=(1,)).copy()
        sums = quarters[:-12] * _CHOOSERS[0]
        sums += quarters[8:-4] * _CHOOSERS[1]
        places = np.flatnonzero(sums - np.uint32(1) < limit)  # zero is out of the question: it is the sum of zeros
        halves: Hashes = np.ndarray((len(piece) - 7,), "<u8", piece.data, strides=(1,))
        hashes = halves[places] * _MULTIPLIERS[0] + halves[places + 8] * _MULTIPLIERS[1]
        is_some = hashes > 0  # what looks a hash up takes zero for none
        yield places[is_some] + at, hashes[is_some]


def sampled(data: Bytes, one_in: int) -> tuple[Places, Hashes]:
    """All of `sampled_pieces` at once."""
    pieces = list(sampled_pieces(data, one_in))
    places = [np.empty(0, np.int64), *(places for places, _ in pieces)]
    hashes = [np.empty(0, np.uint64), *(hashes for _, hashes in pieces)]
    return np.concatenate(places), np.concatenate(hashes)
