"""Old layers, extracted as clients do: the tree that a delta may read from.

What remains on the disk is exactly the set of sources: files that every client finds under that very path, with those
bytes, after unpacking the layers. What that is, and what is no source, are the rules of `replay`.
"""

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .replay import MAX_NODES, ExtractError, Replay, Source
from .tar import TarReader

__all__ = ["MAX_NODES", "ExtractError", "Source", "SourceTree", "extract"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """The sources below `directory`, ordered by path. There is no other file there."""

    directory: Path
    sources: tuple[Source, ...]

    def map(self, source: Source) -> mmap.mmap:
        """The content of `source`, read-only."""
        descriptor = os.open(os.fsencode(self.directory) + b"/" + source.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)


def extract(layers: Sequence[BinaryIO], directory: Path, *, max_bytes: int) -> SourceTree:
    """Replay `layers` (uncompressed tar streams, lowest first, each read to its end) into the empty `directory`.

    Raises:
        TarError: a layer is no tar, or a truncated one.
        ExtractError: more than `max_bytes` of files or `MAX_NODES` names, a directory that is not empty, a full disk.
    """
    replay = Replay(directory, max_bytes)
    try:
        if any(directory.iterdir()):
            raise ExtractError(directory, "it is not empty")
        for number, layer in enumerate(layers):
            reader = TarReader(layer)
            for entry in reader:
                replay.entry(entry, reader, number)
            reader.drain()
        return SourceTree(directory=directory, sources=tuple(replay.finish()))
    except OSError as error:
        raise ExtractError(directory, str(error)) from error
