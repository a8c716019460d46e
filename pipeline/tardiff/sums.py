"""Sums of bytes, modulo 256 each.

Rule 1. bsdiff4 adds, for that is what its own patches are made of. Numbers of Python are far slower; numpy, which
        adds faster still, takes longer to load than most deltas to apply.
Rule 2. Even so little is loaded only for a delta that adds something.
"""


def sum_of(first: bytes, second: bytes) -> bytes:
    """Each byte of `first` plus the one of `second`, which is as long; both have less than 2 GiB."""
    import bsdiff4.core

    size = len(first)
    # the control of a patch that has one step: bytes to add, to insert, and to skip in the old file, 64 bits each
    total: bytes = bsdiff4.core.patch(first, size, size.to_bytes(24, "little"), second, b"")
    return total
