"""hdiffpatch: suffix sorting and a cost-aware choice of matches. The one door of that package.

Its uncompressed output (its format HDIFF13) begins with the rows of a cover, and nothing else of it is used. Numbers
are big-endian in groups of seven bits; the first number of a row has its sign in the bit above.

    "HDIFF13&" checksum-name "\\0"   new size, old size, number of rows, size of the rows, 0 (not compressed), ...
    row: old offset from the end of the row before, what is skipped in new behind it, length
"""

import numpy as np

from ..cover import NO_COVER, CoverArray

_MAGIC = b"HDIFF13&"
_NUMBERS = 11  # in the head; of those behind the fifth only the place matters


class Hdiff:
    """A `Matcher`."""

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        """The cover that hdiffpatch found; none where its output is not as expected.

        Raises MemoryError: without the cover it would be another delta, and that must not depend on the machine.
        """
        import hdiffpatch  # slow to load, and a layer of which nothing has changed does not need it

        try:
            return parse_cover(hdiffpatch.diff(old, new, validate=False, big_cache_match=True), len(old), len(new))
        except hdiffpatch.HDiffPatchError:
            return NO_COVER

    def memory(self, old: int, new: int) -> int:
        """A suffix array of 32-bit integers (of 64 beyond 2 GiB), a filter, the inputs, and results as long as new."""
        return (8 if old < 1 << 31 else 13) * old + 4 * new


def parse_cover(output: bytes, old_size: int, new_size: int) -> CoverArray:
    """The cover in `output`, which must be for files of these sizes; none when anything is not as it should be."""
    end = output.find(b"\0")
    if not output.startswith(_MAGIC) or end < 0:
        return NO_COVER
    try:
        head, at = _numbers(output, end + 1, _NUMBERS)
        new_total, old_total, count, size, packed = head[:5]
        if (new_total, old_total, packed) != (new_size, old_size, 0) or 3 * count > size or at + size > len(output):
            return NO_COVER
        cover = np.array(_rows(output[at : at + size], count), np.int64).reshape(-1, 3)
    except (IndexError, OverflowError):
        return NO_COVER
    return cover


def _numbers(data: bytes, at: int, count: int) -> tuple[list[int], int]:
    """`count` numbers from `at`, and where they end."""
    found = []
    for _ in range(count):
        value = 0
        while (byte := data[at]) > 0x7F:
            value = value << 7 | byte & 0x7F
            at += 1
        found.append(value << 7 | byte)
        at += 1
    return found, at


def _rows(data: bytes, count: int) -> list[tuple[int, int, int]]:
    rows = []
    at = old_end = new_end = 0
    for _ in range(count):
        byte = data[at]
        at += 1
        is_negative = byte & 0x80
        value, more = byte & 0x3F, byte & 0x40
        while more:
            byte = data[at]
            at += 1
            value, more = value << 7 | byte & 0x7F, byte & 0x80
        skipped = 0
        while (byte := data[at]) > 0x7F:
            skipped = skipped << 7 | byte & 0x7F
            at += 1
        skipped = skipped << 7 | byte
        at += 1
        length = 0
        while (byte := data[at]) > 0x7F:
            length = length << 7 | byte & 0x7F
            at += 1
        length = length << 7 | byte
        at += 1
        old_start = old_end - value if is_negative else old_end + value
        new_start = new_end + skipped
        if length:
            rows.append((old_start, new_start, length))
        old_end, new_end = old_start + length, new_start + length
    if at != len(data):
        raise IndexError("rows end before their size")
    return rows
