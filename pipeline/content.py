"""Bytes that are somewhere: what a layout gives and a target takes, without holding them in memory."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from .oci.digest import Digest, Hasher

CHUNK: Final = 1 << 20


class Content(Protocol):
    """`size` bytes that can be opened again and again. `open` raises OSError where the file went away."""

    @property
    def size(self) -> int: ...
    def open(self) -> BinaryIO: ...


@dataclass(frozen=True, slots=True)
class BytesContent:
    """A small document that was made or read whole."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.data)


def open_plain(path: Path) -> io.FileIO:
    """A regular file, for reading, unbuffered.

    Raises OSError for anything else, even where it took the file's place a moment ago: a named pipe would keep the
    reader waiting for a writer.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        return io.FileIO(descriptor)
    except BaseException:  # whoever gets no file closes none
        os.close(descriptor)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """`size` bytes of a file from `offset` on: a whole file, or a member of an uncompressed archive. `path` itself is
    no symbolic link."""

    path: Path
    size: int
    offset: int = 0

    def open(self) -> BinaryIO:
        handle = open_plain(self.path)
        handle.seek(self.offset)
        return cast(BinaryIO, io.BufferedReader(_Window(handle, self.size), CHUNK))


class _Window(io.RawIOBase):
    """The next `size` bytes of an open file, which it closes with itself."""

    def __init__(self, handle: io.FileIO, size: int) -> None:
        self._handle, self._left = handle, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        view = memoryview(buffer)
        data = self._handle.read(min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        self._handle.close()
        super().close()


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The rest of `stream` in pieces of at most 1 MiB."""
    while data := stream.read(CHUNK):
        yield data


def hashed(stream: BinaryIO, hasher: Hasher) -> BinaryIO:
    """`stream`, with everything that is read from it shown to `hasher`. Closing it leaves `stream` open."""
    return cast(BinaryIO, io.BufferedReader(_Hashing(stream, hasher), CHUNK))


class _Hashing(io.RawIOBase):
    def __init__(self, stream: BinaryIO, hasher: Hasher) -> None:
        self._stream, self._hasher = stream, hasher

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._hasher.update(data)
        return len(data)


def digest_of(content: Content) -> Digest:
    """The sha256 of all of `content`, streamed."""
    hasher = Digest.of(b"").new_hasher()
    with content.open() as stream:
        for data in chunks(stream):
            hasher.update(data)
    return Digest.of_hasher("sha256", hasher)
