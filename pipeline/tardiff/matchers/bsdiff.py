"""bsdiff4: suffix sorting, then greedy extension of approximate matches. The one door of that package.

It needs 17 bytes of memory for a byte of old, and its scan is slow on long runs of one byte; see `cover` for what is
cut off before it is asked.
"""

import bsdiff4.core
import numpy as np

from . import CoverArray

_SIGN = np.uint64(1 << 63)


class Bsdiff:
    """A `Matcher`."""

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        """The control triples (bytes to add, bytes to insert, bytes to skip in old) as ranges.

        Numbers are little-endian, sign and magnitude in 64 bits; only the skip can be negative.
        """
        control: bytes = bsdiff4.core.diff(old, new)[0]
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
        return 18 * old + 4 * new
