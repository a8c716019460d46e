"""Applying a delta.

The delta is untrusted, and so is every path in it.

Rule 1. Whatever the delta holds, the answer is the output or a `DeltaError`.
Rule 2. Sources are regular files below a directory, reached without following a symlink at any step; or those of an
        extracted tree, and then nothing else can be named at all.
Rule 3. Memory is bounded by zstd's window (at most 128 MiB) and a few pieces; output by `expected_size`; time by the
        output, because a few kilobytes of zstd can hold billions of operations that make nothing.
Rule 4. What a delta costs is what its operations make one do: they are gathered, and a piece of the output is one
        addition and one write, however many of them it is made of.

The format has no checksum: whoever calls compares the digest of what came out.
"""

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..compression import Writable, zstd_frame, zstd_window
from .format import MAGIC, MAX_PIECE, DeltaError, MalformedDeltaError, Op, normalised, operations
from .sums import sum_of

if TYPE_CHECKING:
    from .layer.tree import SourceTree

__all__ = ["DeltaError", "MalformedDeltaError", "OutputSizeError", "SourceError", "apply", "applying_memory"]

_PIECE = 1 << 18
assert _PIECE >= MAX_PIECE
_SMALL = 1 << 10
_PAGE_BITS = 13
_PAGE = 1 << _PAGE_BITS
_GAP = 1 << 12  # that is rather left out of a sum than added to
_ZEROS = bytes(_GAP)
_MAX_PAGES = 1 << 12  # 32 MiB
_FRAME_HEADER = 18  # bytes at most (RFC 8878, 3.1.1)
_PIECES = 8 << 20  # of the output, of their sums, and those that wait to be hashed
_MAX_POSITION = (1 << 63) - 1
_IDLE = 4 << 20  # bytes of operations that may come before any output
_DEAREST = 64  # bytes of operations for one of output: tiny files with long paths need less than ten


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


def apply(delta: BinaryIO, sources: "Path | SourceTree", out: Writable, *, expected_size: int | None) -> int:
    """Write what `delta` makes of `sources` to `out`; return the number of bytes.

    `sources` are the files below a directory, or those of a tree. `expected_size` bounds the output, which must have
    exactly that size; None trusts the delta.

    Raises:
        DeltaError: the delta is malformed, a source is missing or too short, the size differs. What was written before
            is worthless.
    """
    magic = delta.read(len(MAGIC))
    if magic != MAGIC:
        raise MalformedDeltaError("does not begin with the magic of tar-diff version 1")
    data, _, copy, add_data, seek = map(int, Op)  # plain numbers, for they compare faster
    with closing(_Files(sources) if isinstance(sources, Path) else _TreeFiles(sources)) as source:
        output = _Output(source, out, expected_size)
        for code, size, payload in operations(_working(zstd_frame(delta), output)):
            if code == copy:
                output.copy(size)
            elif code == add_data:
                output.add(size, payload)
            elif code == data:
                output.data(size, payload)
            elif code == seek:
                output.read_source()
                source.seek(size)
            else:
                output.read_source()
                source.open(payload)
        output.finish()
    return output.size


def applying_memory(delta: BinaryIO) -> int:
    """What `apply` takes at most for `delta`, in bytes: the window of its frame, blocks of sources, and pieces.

    Raises DeltaError for what is no delta, whose beginning is read.
    """
    magic = delta.read(len(MAGIC))
    if magic != MAGIC:
        raise MalformedDeltaError("does not begin with the magic of tar-diff version 1")
    return zstd_window(delta.read(_FRAME_HEADER)) + (_MAX_PAGES << _PAGE_BITS) + _PIECES


def _working(pieces: Iterator[bytes], output: "_Output") -> Iterator[bytes]:
    """`pieces` of operations, refused once they are out of all proportion to what they have made."""
    taken = 0
    for piece in pieces:
        taken += len(piece)
        if taken > _IDLE + _DEAREST * output.size:
            raise MalformedDeltaError(f"its operations make almost nothing, {output.size:,} bytes", offset=taken)
        yield piece


class _Output:
    """Puts the output together, piece by piece.

    `_plain` holds the piece before the addition, and `_added` what is added to the end of it: Data and what comes from
    the source become the one, AddData becomes the other, with zeros for what lies in between. Copy and AddData both go
    on in the source where the last one stopped, so that it is read only when something else comes in between.
    """

    def __init__(self, source: "_Sources", out: Writable, expected: int | None) -> None:
        self._source = source
        self._out = out
        self._expected = expected
        self._plain: list[bytes] = []
        self._added: list[bytes] = []
        self._filled = 0  # bytes of the piece that are decided
        self._read = 0  # those of them that are in `_plain`; the others are yet to come from the source
        self._first_summed = 0  # the number in `_plain` of what `_added` begins with
        self._last_added = 0  # where it ends in the piece
        self.size = 0

    def copy(self, size: int) -> None:
        """The next `size` bytes of the source."""
        if self._filled + size > _PIECE:
            self._flush()
            if size > _PIECE:
                self._claim(size)
                self._copy(size)
                return
        self._filled += size

    def add(self, size: int, difference: bytes) -> None:
        """The next `size` bytes of the source plus `difference`, at most one piece."""
        if not size:  # however often that comes, it takes no memory
            return
        if self._filled + size > _PIECE:
            self._flush()
        if self._added:
            gap = self._filled - self._last_added
            if gap > _GAP:
                self._sum()
            elif gap:
                self._added.append(_ZEROS[:gap])
        if not self._added:
            self.read_source()
            self._first_summed = len(self._plain)
        self._added.append(difference)
        self._filled = self._last_added = self._filled + size

    def data(self, size: int, data: bytes) -> None:
        """`size` bytes as they are, at most one piece."""
        if self._filled + size > _PIECE:
            self._flush()
        elif self._read < self._filled:
            self.read_source()
        if size:  # as above
            self._plain.append(data)
            self._filled = self._read = self._filled + size

    def read_source(self) -> None:
        """Read what is outstanding: the source or its position is about to change."""
        size = self._filled - self._read
        if size:
            self._plain.append(self._source.read_small(size) if size <= _SMALL else self._source.read_all(size))
            self._read = self._filled

    def finish(self) -> None:
        self._flush()
        if self._expected is not None and self.size != self._expected:
            raise OutputSizeError(self._expected, self.size)

    def _flush(self) -> None:
        self._claim(self._filled)
        self._sum()
        if self._filled:
            self._write(b"".join(self._plain))
        self._plain.clear()
        self._filled = self._read = 0

    def _sum(self) -> None:
        self.read_source()
        if self._added:
            difference, old = b"".join(self._added), b"".join(self._plain[self._first_summed :])
            size = len(difference)
            self._plain[self._first_summed :] = [sum_of(old[:size], difference), old[size:]]
            self._added.clear()

    def _copy(self, size: int) -> None:
        while size:
            piece = self._source.read(min(size, _PIECE))
            self._write(piece)
            size -= len(piece)

    def _claim(self, size: int) -> None:
        """Refuse at once what would exceed the limit."""
        if self._expected is not None and self.size + size > self._expected:
            raise OutputSizeError(self._expected, self.size + size)

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)


class _Sources(ABC):
    """The open source and the position in it. A subclass knows how to open one.

    It is a range of an open file: positions here are those in the file.
    """

    def __init__(self) -> None:
        self._file = -1
        self._path = b""
        self._start = 0
        self._end = 0
        self._position = 0
        self._pages: dict[int, bytes] = {}  # of the file, by their number

    @abstractmethod
    def open(self, path: bytes) -> None:
        """Make `path` the open source."""

    def seek(self, position: int) -> None:
        if self._file < 0:
            raise MalformedDeltaError("seeks in a source before one is open")
        if position > _MAX_POSITION:
            raise SourceError(self._path, f"position {position:,} is beyond any file")
        self._position = self._start + position

    def read(self, size: int) -> bytes:
        """One to `size` bytes from the position."""
        left = self._end - self._position
        data = self._pread(min(size, left), self._position) if left > 0 else b""
        if not data:
            position = self._position - self._start
            raise SourceError(self._path, f"ends at or before byte {position:,}, the delta reads on")
        self._position += len(data)
        return data

    def read_all(self, size: int) -> bytes:
        """Exactly `size` bytes from the position, which are held."""
        data = self.read(size)
        while len(data) < size:
            data += self.read(size - len(data))
        return data

    def read_small(self, size: int) -> bytes:
        """Exactly `size` bytes from the position, of which there are few.

        Whole pages are read and kept: deltas that are made of small pieces come back to the same places.
        """
        position = self._position
        if position + size > self._end:
            return self.read_all(size)
        number, at = position >> _PAGE_BITS, position & _PAGE - 1
        page = self._pages.get(number)
        if page is None:
            page = self._read_page(number)
        data = page[at : at + size]
        if len(data) < size:  # the rest lies in the next page, or nowhere
            return self.read_all(size)
        self._position = position + size
        return data

    @abstractmethod
    def close(self) -> None:
        """Close what was opened here."""

    def _read_page(self, number: int) -> bytes:
        if len(self._pages) >= _MAX_PAGES:
            self._pages.clear()
        page = self._pages[number] = self._pread(_PAGE, number * _PAGE)
        return page

    def _pread(self, size: int, position: int) -> bytes:
        if self._file < 0:
            raise MalformedDeltaError("reads a source before one is open")
        try:
            return os.pread(self._file, size, position)
        except OSError as error:
            raise SourceError(self._path, os.strerror(error.errno or 0).lower()) from error


class _TreeFiles(_Sources):
    """Those of an extracted tree, which lie in one file."""

    def __init__(self, tree: "SourceTree") -> None:
        super().__init__()
        self._tree = tree

    def open(self, path: bytes) -> None:
        source = self._tree.find(path)
        if source is None:
            raise SourceError(path, os.strerror(errno.ENOENT).lower())
        self._file, self._path = self._tree.descriptor, path
        self._start = self._position = source.offset
        self._end = source.offset + source.size

    def close(self) -> None:
        """Nothing: the file is the tree's."""


class _Files(_Sources):
    """Those below a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        # from the root down to where the last source lies: the next one is likely to be near
        self._folders = [(b"", os.open(directory, os.O_RDONLY | os.O_DIRECTORY))]
        self._end = _MAX_POSITION + 1  # the system tells where the file really ends

    def open(self, path: bytes) -> None:
        if normalised(path) is None:
            raise SourceError(path, "is not a relative, normalised UTF-8 path")
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._path, self._position = path, 0
        self._pages.clear()
        try:
            folder = self._folder_of(path)
            # non-blocking: opening a FIFO would wait for a writer
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            self._file = os.open(path[path.rfind(b"/") + 1 :], flags, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise SourceError(
                    path, "is reached through a symlink, or through something that is not a directory"
                ) from error
            raise SourceError(path, os.strerror(error.errno or 0).lower()) from error
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise SourceError(path, "is not a regular file")

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        for _, folder in self._folders:
            os.close(folder)

    def _folder_of(self, path: bytes) -> int:
        """The descriptor of the folder that holds `path`; it stays open as long as others below it are asked for."""
        while not path.startswith(self._folders[-1][0]):
            os.close(self._folders.pop()[1])
        prefix, folder = self._folders[-1]
        for name in path[len(prefix) :].split(b"/")[:-1]:
            prefix += name + b"/"
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            self._folders.append((prefix, folder))
        return folder
