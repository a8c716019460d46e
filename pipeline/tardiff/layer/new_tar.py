"""The tar that a delta makes: where its regular files lie, and its bytes."""

import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..format import MAX_PATH
from .regions import Bytes, Region, content_of
from .tar import Kind, TarError, TarReader, names_of

MAX_FILES = 1_000_000
"""Files that are looked at: as many as a tree of old ones can have. What comes behind is written as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A regular file of the new tar: its normalised path, and where its data lies."""

    path: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class NewTar:
    """The tar in the file `path`, of `size` bytes, with its regular `files` in order. Only what is asked for is mapped
    or held. The file is open as `descriptor` for as long as this object lives, whatever becomes of its name. Usable
    from any thread."""

    path: Path
    size: int
    files: tuple[NewFile, ...]
    descriptor: int

    @classmethod
    def at(cls, path: Path) -> "NewTar":
        """The tar in the file `path`, which is read once."""
        with path.open("rb") as stream:
            files = tuple(_regular_files(TarReader(stream)))
            size = os.fstat(stream.fileno()).st_size
            tar = cls(path=path, size=size, files=files, descriptor=os.dup(stream.fileno()))
        weakref.finalize(tar, os.close, tar.descriptor)
        return tar

    def region(self, file: NewFile) -> Region:
        """Where the content of `file` lies."""
        return Region(self.descriptor, file.start, file.size)

    def content(self, file: NewFile) -> Bytes:
        """The content of `file`."""
        return content_of(self.region(file))

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` to `stop`."""
        return Region(self.descriptor, start, stop - start).pieces()


def _regular_files(reader: TarReader) -> list[NewFile]:
    """The regular files up to the first entry that cannot be read, `MAX_FILES` of them; without those whose path is so
    long that no client can have it."""
    files: list[NewFile] = []
    try:
        for entry in reader:
            if entry.kind is Kind.FILE and entry.size and len(entry.path) <= MAX_PATH:
                if len(files) == MAX_FILES:
                    break
                file = NewFile(path=b"/".join(names_of(entry.path)), start=entry.data, size=entry.size)
                files.append(file)
    except TarError as error:
        # the layer is made bit for bit whatever it is; a file that the end of the stream cut off is none
        while files and files[-1].start + files[-1].size > error.offset:
            files.pop()
    return files
