"""Applying a delta.

The delta is untrusted, and so is every path in it.

Rule 1. Whatever the delta holds, the answer is the output or a `DeltaError`.
Rule 2. Sources are regular files below the directory, reached without following a symlink at any step.
Rule 3. Memory is bounded by zstd's window (at most 128 MiB) and one piece; output by `expected_size`.

The format has no checksum: whoever calls compares the digest of what came out.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..compression import Writable, zstd_frame
from .format import MAGIC, MAX_ADD_DATA, MAX_PATH, DeltaError, MalformedDeltaError, Op, OpReader, normalised

__all__ = ["DeltaError", "MalformedDeltaError", "OutputSizeError", "SourceError", "apply"]

_PIECE = 1 << 18
_SMALL = 64  # below this many bytes a loop adds faster than numpy starts
_MAX_POSITION = (1 << 63) - 1


class SourceError(DeltaError):
    """The delta reads a file that is not there as it should be; `path` is shortened to 200 characters."""

    def __init__(self, path: bytes, reason: str) -> None:
        text = path[:200].decode(errors="backslashreplace")
        super().__init__(f"source {text}: {reason}")
        self.path = text


class OutputSizeError(DeltaError):
    """The result is not as long as it must be."""

    def __init__(self, expected: int, size: int) -> None:
        more = "more than" if size > expected else f"{size:,} bytes instead of"
        super().__init__(f"makes {more} the expected {expected:,} bytes")
        self.expected = expected
        self.size = size


def apply(delta: BinaryIO, directory: Path, out: Writable, *, expected_size: int | None) -> int:
    """Write what `delta` makes of the files below `directory` to `out`; return the number of bytes.

    `expected_size` bounds the output, which must have exactly that size; None trusts the delta.

    Raises:
        DeltaError: the delta is malformed, a source is missing or too short, the size differs. What was written before
            is worthless.
    """
    magic = delta.read(len(MAGIC))
    if magic != MAGIC:
        raise MalformedDeltaError("does not begin with the magic of tar-diff version 1")
    reader = OpReader(zstd_frame(delta))
    output = _Output(out, expected_size)
    source = _Source(directory)
    try:
        while (operation := reader.next()) is not None:
            code, size = operation
            if code == Op.DATA:
                while size:
                    piece = reader.read(min(size, _PIECE))
                    output.write(piece)
                    size -= len(piece)
            elif code == Op.COPY:
                output.claim(size)
                while size:
                    piece = source.read(min(size, _PIECE))
                    output.write(piece)
                    size -= len(piece)
            elif code == Op.ADD_DATA:
                if size > MAX_ADD_DATA:
                    raise MalformedDeltaError(f"an AddData of {size:,} bytes is refused", offset=reader.offset)
                while size:
                    piece = reader.read(min(size, _PIECE))
                    output.write(_sum(piece, source.read_all(len(piece))))
                    size -= len(piece)
            elif code == Op.SEEK:
                source.seek(size)
            else:
                if size > MAX_PATH:
                    raise MalformedDeltaError(f"a path of {size:,} bytes is refused", offset=reader.offset)
                source.open(reader.read(size))
        output.finish()
    finally:
        source.close()
    return output.size


def _sum(difference: bytes, old: bytes) -> bytes:
    if len(old) < _SMALL:
        return bytes([(a + b) & 0xFF for a, b in zip(difference, old, strict=True)])
    return (np.frombuffer(difference, np.uint8) + np.frombuffer(old, np.uint8)).tobytes()


class _Output:
    """Counts what is written, and stops it at the limit; gathers small writes."""

    def __init__(self, out: Writable, expected: int | None) -> None:
        self._out = out
        self._expected = expected
        self._held: list[bytes] = []
        self._held_size = 0
        self.size = 0

    def claim(self, size: int) -> None:
        """Refuse at once what would exceed the limit."""
        if self._expected is not None and self.size + size > self._expected:
            raise OutputSizeError(self._expected, self.size + size)

    def write(self, data: bytes) -> None:
        self.claim(len(data))
        self.size += len(data)
        self._held.append(data)
        self._held_size += len(data)
        if self._held_size >= _PIECE:
            self._flush()

    def finish(self) -> None:
        self._flush()
        if self._expected is not None and self.size != self._expected:
            raise OutputSizeError(self._expected, self.size)

    def _flush(self) -> None:
        if self._held:
            self._out.write(b"".join(self._held))
            self._held = []
            self._held_size = 0


class _Source:
    """The open source and the position in it."""

    def __init__(self, directory: Path) -> None:
        self._root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._file = -1
        self._path = b""
        self._position = 0

    def open(self, path: bytes) -> None:
        if normalised(path) is None:
            raise SourceError(path, "is not a relative, normalised UTF-8 path")
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._path, self._position = path, 0
        *above, name = path.split(b"/")
        directory = self._root
        try:
            for part in above:
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
                if directory != self._root:
                    os.close(directory)
                directory = inner
            # non-blocking: opening a FIFO would wait for a writer
            self._file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise SourceError(path, "is reached through something that is no directory, or is a symlink") from error
            raise SourceError(path, os.strerror(error.errno or 0).lower()) from error
        finally:
            if directory != self._root:
                os.close(directory)
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise SourceError(path, "is no regular file")

    def seek(self, position: int) -> None:
        self._demand_open()
        if position > _MAX_POSITION:
            raise SourceError(self._path, f"position {position:,} is beyond any file")
        self._position = position

    def read(self, size: int) -> bytes:
        """One to `size` bytes from the position."""
        self._demand_open()
        try:
            data = os.pread(self._file, size, self._position)
        except OSError as error:
            raise SourceError(self._path, os.strerror(error.errno or 0).lower()) from error
        if not data:
            raise SourceError(self._path, f"ends at or before byte {self._position:,}, the delta reads on")
        self._position += len(data)
        return data

    def read_all(self, size: int) -> bytes:
        """Exactly `size` bytes from the position."""
        data = self.read(size)
        while len(data) < size:
            data += self.read(size - len(data))
        return data

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        os.close(self._root)

    def _demand_open(self) -> None:
        if self._file < 0:
            raise MalformedDeltaError("reads a source before one is open")
