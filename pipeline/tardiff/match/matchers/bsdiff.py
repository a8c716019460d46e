"""bsdiff4: suffix sorting, then greedy extension of approximate matches. The one door of that package.

It needs 17 bytes of memory for a byte of old. Its scan takes quadratic time inside a long run of one byte, so it is not
shown any: see `masked`.
"""

import bsdiff4.core
import numpy as np
from numpy.typing import NDArray

from ..cover import CoverArray

_SIGN = np.uint64(1 << 63)
_GROUP = 512  # bytes: a run of twice as many always holds an aligned group
_MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


class Bsdiff:
    """A `Matcher`."""

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        """The control triples (bytes to add, bytes to insert, bytes to skip in old) as rows.

        Numbers are little-endian, sign and magnitude in 64 bits; only the skip can be negative.
        """
        control: bytes = bsdiff4.core.diff(masked(old), masked(new))[0]
        triples = np.frombuffer(control, "<u8").reshape(-1, 3)
        magnitudes = (triples & ~_SIGN).astype(np.int64)
        added, inserted, skipped = magnitudes.T
        skipped = np.where(triples[:, 2] & _SIGN, -skipped, skipped)
        cover = np.empty((len(added), 3), np.int64)
        cover[:, 0] = np.cumsum(added + skipped) - added - skipped
        cover[:, 1] = np.cumsum(added + inserted) - added - inserted
        cover[:, 2] = added
        kept: CoverArray = cover[added > 0]
        return kept

    def memory(self, old: int, new: int) -> int:
        """Two arrays of 64-bit integers over old, the inputs, and the results, which are as long as new."""
        return 18 * old + 5 * new


def masked(data: bytes) -> bytes:
    """`data` with noise in place of every run of about a thousand equal bytes or more.

    The noise depends on the byte and on the place within the run, so that runs still match runs from their beginning
    on; operations are made from the true bytes, whatever a cover was found in.
    """
    array = np.frombuffer(data, np.uint8)
    groups = array[: len(array) // _GROUP * _GROUP].reshape(-1, _GROUP)
    constant = (groups == groups[:, :1]).all(axis=1)
    if not constant.any():
        return data
    result = array.copy()
    # a run ends where a group is not constant, or is so with another byte
    values = np.where(constant, groups[:, 0].astype(np.int16), -1)
    edges = np.flatnonzero(np.diff(values, prepend=-2, append=-2))
    for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if constant[first]:
            value = array[first * _GROUP]
            before = array[max(0, (first - 1) * _GROUP) : first * _GROUP]
            after = array[stop * _GROUP : (stop + 1) * _GROUP]
            start = first * _GROUP - _leading(before[::-1], value)
            end = stop * _GROUP + _leading(after, value)
            result[start:end] = _noise(int(value), end - start)
    return result.tobytes()


def _leading(data: NDArray[np.uint8], value: np.uint8) -> int:
    """How many bytes at the beginning are `value`."""
    other = data != value
    return int(other.argmax()) if other.any() else len(data)


def _noise(value: int, size: int) -> NDArray[np.uint8]:
    """Bytes without repetitions that are a function of the value and the place."""
    words = (np.arange(-(-size // 8), dtype=np.uint64) + np.uint64(value << 48)) * _MIX[0]
    words ^= words >> np.uint64(29)
    words *= _MIX[1]
    words ^= words >> np.uint64(32)
    return words.astype("<u8").view(np.uint8)[:size]
