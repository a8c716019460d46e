"""Sums of bytes, modulo 256 each.

Rule 1. numpy is fast, but loading it takes longer than to apply a small delta as a whole. It is loaded once the slow
        way has taken about as long.
"""

from typing import Final

WITHOUT_NUMPY: Final = 24 << 20
"""Bytes that are added the slow way first."""


class Adder:
    """Adds pieces of bytes, in the way that pays; `slow_bytes_left` tells how many it adds without numpy yet."""

    def __init__(self) -> None:
        self.slow_bytes_left = WITHOUT_NUMPY
        self._mask_size = 0
        self._low = self._high = 0  # the lower seven bits of so many bytes, and the upper one

    def __call__(self, first: bytearray, second: bytearray) -> bytes | bytearray:
        """Each byte of `first` plus the one of `second`, which is as long; `first` is used up."""
        if self.slow_bytes_left <= 0:
            return _sum_of_arrays(first, second)
        self.slow_bytes_left -= len(first)
        return self._sum_of_numbers(first, second)

    def _sum_of_numbers(self, first: bytearray, second: bytearray) -> bytes:
        """As two large numbers: the lower bits of each byte are added, which carries nothing into the next one."""
        size = len(first)
        if size > self._mask_size:
            self._mask_size = size
            self._low = int.from_bytes(b"\x7f" * size, "little")
            self._high = int.from_bytes(b"\x80" * size, "little")
        one, other = int.from_bytes(first, "little"), int.from_bytes(second, "little")
        total = ((one & self._low) + (other & self._low)) ^ ((one ^ other) & self._high)
        return total.to_bytes(size, "little")


def _sum_of_arrays(first: bytearray, second: bytearray) -> bytearray:
    import numpy as np

    total = np.frombuffer(first, np.uint8)
    total += np.frombuffer(second, np.uint8)
    return first
