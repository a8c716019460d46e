"""New files paired with the old ones that they are made from: the questions of `sources`, asked in the pool.

Rule 1. Every new file is hashed; only those without an identical source are sampled, and old files only when a pair
        must be confirmed, or all of them when some new file is still without a source.
Rule 2. Pairs come in the order of the tar, whatever the order in which the pool answered.
"""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import numpy as np

from .cover import ByteArray
from .pool import Pool
from .sources import ContentIndex, Sketch, SourceIndex, is_related, sketch
from .tree import Source, SourceTree

_WORTH_OPENING = 64  # a shorter file costs less as it is than a path and three operations
_BATCH = 8 << 20  # bytes of small files that are hashed or sampled as one task
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    """A regular file of the new tar: its normalised path, and where its data lies."""

    path: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A new file, the source that it is made from, and whether they are identical."""

    file: NewFile
    source: Source
    is_identical: bool


class NewTar:
    """The new tar, of which only what is asked for is mapped or held. Usable from any thread while `stream` is open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._descriptor = stream.fileno()
        self.size = os.fstat(self._descriptor).st_size

    def bytes_of(self, file: NewFile) -> ByteArray:
        """The content of `file`, mapped."""
        before = file.start % mmap.ALLOCATIONGRANULARITY
        start = file.start - before
        content = mmap.mmap(self._descriptor, before + file.size, access=mmap.ACCESS_READ, offset=start)
        return np.frombuffer(content, np.uint8, offset=before)

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes of the range."""
        while start < stop and (piece := os.pread(self._descriptor, min(stop - start, _PIECE), start)):
            start += len(piece)
            yield piece


T = TypeVar("T", NewFile, Source)
R = TypeVar("R")


def bytes_of(tree: SourceTree, source: Source) -> ByteArray:
    """The content of `source`, mapped."""
    return np.frombuffer(tree.map(source), np.uint8)


class Pairing:
    """Pairs files of `new` with sources of `tree`."""

    def __init__(self, tree: SourceTree, new: NewTar, pool: Pool) -> None:
        self._tree = tree
        self._new = new
        self._pool = pool
        self._sources = [source for source in tree.sources if source.size >= _WORTH_OPENING]
        self._index = SourceIndex(self._sources)

    def pairs(self, files: Sequence[NewFile]) -> list[Pair]:
        """The pairs that were found. A file in none of them has no source."""
        if not self._sources:
            return []
        worthy = [file for file in files if file.size >= _WORTH_OPENING]
        identical = self._identical(worthy)
        done = {pair.file.start for pair in identical}
        changed = [file for file in worthy if file.start not in done]
        sketches = dict(zip(changed, self._each(changed, lambda file: sketch(self._new.bytes_of(file))), strict=True))
        named = self._named(sketches)
        for pair in named:
            del sketches[pair.file]
        return sorted([*identical, *named, *self._similar(sketches)], key=lambda pair: pair.file.start)

    def _identical(self, files: Sequence[NewFile]) -> list[Pair]:
        digests = self._each(files, self._digest)
        found = ((file, self._index.identical(file.path, digest)) for file, digest in zip(files, digests, strict=True))
        return [Pair(file=file, source=source, is_identical=True) for file, source in found if source is not None]

    def _named(self, new: dict[NewFile, Sketch]) -> list[Pair]:
        found = [(file, self._index.named(file.path, file.size)) for file in new]
        pairs = [Pair(file=file, source=source, is_identical=False) for file, source in found if source is not None]
        sources = list(dict.fromkeys(pair.source for pair in pairs))
        old = dict(zip(sources, self._sketches(sources), strict=True))
        return [
            pair
            for pair in pairs
            if is_related(old[pair.source], new[pair.file], min(pair.source.size, pair.file.size))
        ]

    def _similar(self, new: dict[NewFile, Sketch]) -> list[Pair]:
        if not any(len(hashes) for hashes in new.values()):
            return []
        index = ContentIndex(self._sources, self._sketches(self._sources))
        found = ((file, index.similar(hashes)) for file, hashes in new.items())
        return [Pair(file=file, source=source, is_identical=False) for file, source in found if source is not None]

    def _sketches(self, sources: Sequence[Source]) -> list[Sketch]:
        return self._each(sources, lambda source: sketch(bytes_of(self._tree, source)))

    def _each(self, items: Sequence[T], function: Callable[[T], R]) -> list[R]:
        """`function` of each item, small ones together in one task."""
        futures = [
            self._pool.submit(_BATCH, lambda batch: [function(item) for item in batch], batch)
            for batch in _batches(items)
        ]
        wait(futures)
        return [result for future in futures for result in future.result()]

    def _digest(self, file: NewFile) -> bytes:
        hasher = hashlib.sha256()
        for piece in self._new.pieces(file.start, file.start + file.size):
            hasher.update(piece)
        return hasher.digest()


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    start = total = 0
    for at, item in enumerate(items):
        total += item.size
        if total >= _BATCH:
            yield items[start : at + 1]
            start, total = at + 1, 0
    if start < len(items):
        yield items[start:]
