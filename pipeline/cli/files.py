"""Files that the command line names: what is read, and what is written whole or not at all."""

import io
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..compression import Writable
from ..errors import DeltapressError
from ..text import one_line
from .console import Console, OutputError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE = 1 << 20
_WAIT = 500  # milliseconds
_UNSENT = 2 << 20  # bytes that are written before the disk is told to begin with them


class InputFileError(DeltapressError):
    """What was named cannot be used. `path` is as it was named."""

    def __init__(self, path: str, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {one_line(problem)}")  # a delta names files as it likes


def open_input(path: Path) -> BinaryIO:
    """The file at `path`. Raises InputFileError."""
    try:
        return io.BufferedReader(_Pipe(path)) if stat.S_ISFIFO(path.stat().st_mode) else path.open("rb")
    except OSError as error:
        raise InputFileError(str(path), f"cannot be read ({error.strerror})") from error


class _Pipe(io.FileIO):
    """A pipe that can be interrupted at any time.

    A signal wakes a read that waits, but one that comes just before it is seen only behind it; between two short waits
    it is seen too.
    """

    def readinto(self, buffer: "WriteableBuffer", /) -> int | None:
        waiting = select.poll()
        waiting.register(self, select.POLLIN)
        while not waiting.poll(_WAIT):
            pass
        return super().readinto(buffer)


@contextmanager
def whole_output(path: str, console: Console, *, mode: int | None = None) -> Iterator[Writable]:
    """What is written appears at `path`, or on standard output for `-`, when the context ends well; nothing otherwise.
    A new file has the `mode`, or that of all new files.

    Raises:
        OutputError: it cannot be written, or not be moved there.
        BrokenPipeError: the reader of standard output has left.
    """
    destination = None if path == "-" else _replaceable(path)
    if destination is None:
        from tempfile import TemporaryFile  # here, since it takes a third of the time that a small `patch` needs

        with TemporaryFile() as spool:
            yield _Output(spool, path)
            _send(spool, path, console)
        return
    # a name of our own and the usual mode: tempfile's 0600 would stay with the file
    part = destination.with_name(f".{os.urandom(8).hex()}.part")
    with _translated(path):
        file = part.open("xb")
    try:
        with file:
            if mode is not None:
                with _translated(path):
                    part.chmod(mode)
            yield _Output(file, path, is_kept=True)
            with _translated(path):
                file.flush()
                os.fsync(file.fileno())
        with _translated(path):
            part.replace(destination)
    finally:
        part.unlink(missing_ok=True)


class _Output:
    """`is_kept` tells that what is written must reach the disk: that begins at once, not with the fsync at the end."""

    def __init__(self, file: BinaryIO, path: str, *, is_kept: bool = False) -> None:
        self._file, self._path, self._is_kept = file, path, is_kept
        self._size = self._sent = 0

    def write(self, data: bytes, /) -> None:
        with _translated(self._path):
            self._file.write(data)
            self._size += len(data)
            if self._is_kept and self._size - self._sent >= _UNSENT:
                # Linux starts to write such a range, and keeps in memory what is still under way
                os.posix_fadvise(self._file.fileno(), self._sent, self._size - self._sent, os.POSIX_FADV_DONTNEED)
                self._sent = self._size


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(path, error) from error


def _replaceable(path: str) -> Path | None:
    """The regular file, there or not, that `path` means; None for a device or a pipe, which no file may replace."""
    with _translated(path):
        resolved = Path(path).resolve()
        if resolved.is_dir():
            raise IsADirectoryError(None, "is a directory")
        return resolved if not resolved.exists() or stat.S_ISREG(resolved.stat().st_mode) else None


def _send(spool: BinaryIO, path: str, console: Console) -> None:
    spool.seek(0)
    if path != "-":
        with _translated(path), Path(path).open("wb") as file:
            file.writelines(_pieces(spool))
        return
    try:
        with _translated("standard output"):
            console.output.writelines(_pieces(spool))
            console.output.flush()
    except OutputError:
        console.abandon_output()
        raise


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
