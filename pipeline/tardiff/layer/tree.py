"""Old layers, extracted as clients do: the tree that a delta may read from.

Its sources are exactly the files that every client finds under that very path, with those bytes, after unpacking the
layers. What that is, and what is no source, are the rules of `replay`.

Rule 1. The tree is one file, of all contents after each other, and an index of names. A disk is not trusted with names
        that a layer brings, and making and removing thousands of small files takes longer than everything else.
Rule 2. Whoever proves a delta reads its sources from here by their paths, as a client does from its disk.
"""

import os
import weakref
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

from .regions import Bytes, Region, content_of
from .replay import MAX_NODES, ExtractError, Replay, Source
from .tar import TarReader

__all__ = ["MAX_NODES", "ExtractError", "Source", "SourceTree", "extract"]

_CONTENTS: Final = "contents"
_BUFFER: Final = 1 << 20
_by_path = attrgetter("path")


@dataclass(frozen=True, slots=True, weakref_slot=True, kw_only=True, eq=False)
class SourceTree:
    """The sources, ordered by path. Their contents lie in a file below `directory`, which is open as `descriptor` for
    as long as this object lives. Usable from any thread.

    `doubts` says how many entries gave no source because readers take their form differently, by construct.
    """

    directory: Path
    sources: tuple[Source, ...]
    doubts: Mapping[str, int]
    descriptor: int

    def find(self, path: bytes) -> Source | None:
        """The source at `path`."""
        at = bisect_left(self.sources, path, key=_by_path)
        return self.sources[at] if at < len(self.sources) and self.sources[at].path == path else None

    def region(self, source: Source) -> Region:
        """Where the content of `source` lies."""
        return Region(self.descriptor, source.offset, source.size)

    def content(self, source: Source) -> Bytes:
        """The content of `source`."""
        return content_of(self.region(source))


def extract(layers: Sequence[BinaryIO], directory: Path, *, max_bytes: int) -> SourceTree:
    """Replay `layers` (uncompressed tar streams, lowest first, each read to its end) into the empty `directory`.

    Raises:
        TarError: a layer is no tar, or a truncated one, or holds what readers take so differently that no path of it
            is certain.
        ExtractError: more than `max_bytes` of files or `MAX_NODES` names, a directory that is not empty, a full disk.
    """
    try:
        if any(directory.iterdir()):
            raise ExtractError(directory, "it is not empty")
        path = directory / _CONTENTS
        with path.open("xb", buffering=_BUFFER) as contents:
            replay = Replay(contents, directory, max_bytes)
            for number, layer in enumerate(layers):
                reader = TarReader(layer)
                for entry in reader:
                    replay.entry(entry, reader, number)
                replay.end_layer(number)
                reader.drain()
        tree = SourceTree(
            directory=directory,
            sources=tuple(replay.finish()),
            doubts=dict(replay.doubts),
            descriptor=os.open(path, os.O_RDONLY | os.O_CLOEXEC),
        )
        weakref.finalize(tree, os.close, tree.descriptor)
        return tree
    except OSError as error:
        raise ExtractError(directory, str(error)) from error
