"""Streams in and out of compression: the one door of zstandard and isal, and of the standard library's bzip2 and xz.

reading   gzip, zstd, bzip2, xz -> the bytes in them, within bounds
writing   bytes -> one zstd frame
window    how far back both may look
"""

from .reading import (
    CompressionError,
    Decompressed,
    OutputTooLargeError,
    WindowTooLargeError,
    decoder_memory,
    decompressed,
    zstd_frame,
    zstd_window,
)
from .writing import MAX_WINDOW_LOG, Strength, Writable, ZstdFrameWriter, zstd_memory

__all__ = [
    "MAX_WINDOW_LOG",
    "CompressionError",
    "Decompressed",
    "OutputTooLargeError",
    "Strength",
    "WindowTooLargeError",
    "Writable",
    "ZstdFrameWriter",
    "decoder_memory",
    "decompressed",
    "zstd_frame",
    "zstd_memory",
    "zstd_window",
]
