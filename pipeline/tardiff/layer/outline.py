"""A few numbers that tell related layers, so that a plan can choose without reading any of them again."""

import hashlib
from dataclasses import dataclass
from heapq import heappush, heappushpop
from typing import BinaryIO

from ...errors import DeltapressError
from .tar import Kind, TarError, TarReader

_KEPT = 64
_HASH = 4


class OutlineError(DeltapressError):
    """Stored JSON that is no outline."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class OutlinedFile:
    """A regular file: its size in bytes, and four bytes each of the hashes of its last name and of its content
    (hex)."""

    size: int
    name: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The largest regular files of a layer, largest first."""

    files: tuple[OutlinedFile, ...]

    def to_json(self) -> list[list[int | str]]:
        """A list of [size, name, content]."""
        return [[file.size, file.name, file.content] for file in self.files]

    @classmethod
    def from_json(cls, value: object) -> "Outline":
        """Read what `to_json` made.

        Raises:
            OutlineError: for anything else.
        """
        if not isinstance(value, list) or len(value) > _KEPT:
            raise OutlineError(f"an outline is a list of at most {_KEPT} files")
        files = []
        for number, row in enumerate(value):
            match row:
                case [int(size), str(name), str(content)] if size >= 0 and len(name) == len(content) == 2 * _HASH:
                    files.append(OutlinedFile(size=size, name=name, content=content))
                case _:
                    raise OutlineError(f"an outline's [{number}] is not [size, name hash, content hash]")
        return cls(files=tuple(files))


def outline(stream: BinaryIO) -> Outline:
    """Read one uncompressed tar stream to its end and keep its largest regular files.

    A tar that does not parse gives the outline of what was read.
    """
    reader = TarReader(stream)
    largest: list[OutlinedFile] = []
    try:
        for entry in reader:
            if entry.kind is not Kind.FILE or not entry.size:
                continue
            if len(largest) == _KEPT and entry.size < largest[0].size:
                continue
            digest = hashlib.sha256()
            for piece in reader.data():
                digest.update(piece)
            name = hashlib.sha256(entry.path.rpartition(b"/")[2]).hexdigest()[: 2 * _HASH]
            file = OutlinedFile(size=entry.size, name=name, content=digest.hexdigest()[: 2 * _HASH])
            if len(largest) < _KEPT:
                heappush(largest, file)
            else:
                heappushpop(largest, file)
    except TarError:
        pass
    reader.drain()
    return Outline(files=tuple(sorted(largest, reverse=True)))
