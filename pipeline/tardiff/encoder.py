"""Making a delta: the new layer as operations on the files of an old tree.

For each regular file of the new tar: one with the same content is copied; else a source is chosen (`sources`), what
they share is found (`cover`), and the rest is literal. Headers, padding, trailers and whatever does not parse are
literal.

Files are matched in the pool, ahead of the writer and in any order; operations are written in the order of the tar.
What is held between the two are covers, never contents.
"""

import hashlib
import mmap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..compression import Writable, ZstdFrameWriter
from .cover import ByteArray, find_cover, memory_of
from .format import MAGIC, OpWriter
from .matchers import CoverArray, Matcher
from .matchers.bsdiff import Bsdiff
from .pool import Pool
from .sources import ContentIndex, Sketch, SourceIndex, is_related, sketch
from .tar import Kind, TarError, TarReader
from .tree import Source, SourceTree

GENERATOR = "tardiff-1"
"""Changes whenever the bytes made from the same input and options may change."""

_LEVELS = {"fast": 12, "default": 19, "max": 22}
_WORTH_OPENING = 64  # a shorter file costs less as it is than a path and three operations
_SHORTEST_COPY = 256  # a run of equal bytes inside a cover that is worth an operation of its own
_PIECE = 1 << 20
_BATCH = 8 << 20  # bytes of small files that are hashed or sampled as one task
_AHEAD = 64  # covers that are held for the writer at most

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """How hard to try.

    `effort` is fast, default or max; `match_memory` what matching one pair of files may allocate, bytes.
    """

    effort: str = "default"
    match_memory: int = 512 << 20

    def __post_init__(self) -> None:
        if self.effort not in _LEVELS:
            raise ValueError(f"effort {self.effort!r} is none of {', '.join(_LEVELS)}")

    @property
    def key(self) -> str:
        """A short text that differs whenever the bytes may: for caches."""
        return f"{self.effort}-{self.match_memory >> 20}m"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A written delta: its size in bytes, its operations, and the bytes of output by how they are made."""

    size: int
    ops: int
    copied: int
    added: int
    literal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A regular file of the new tar: where its data lies."""

    path: bytes
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A file, the source that it is made from, and how: None is a whole copy."""

    file: _File
    source: Source
    cover: Future[CoverArray] | None


def encode(sources: SourceTree, to: Path, out: Writable, *, options: EncoderOptions, pool: Pool) -> Encoded:
    """Write the delta that makes the uncompressed tar `to` from `sources`.

    The bytes depend on the content of both and on `options`, not on the pool. Not to be called in a task of `pool`.
    """
    with to.open("rb") as stream:
        files = _files(TarReader(stream))
        size = stream.seek(0, 2)
        tar = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    new = np.frombuffer(tar, np.uint8)
    out.write(MAGIC)
    frame = ZstdFrameWriter(out, level=_LEVELS[options.effort], size_bound=size)
    writer = OpWriter(frame)
    encoding = _Encoding(sources, new, options, pool)
    at = 0
    for made in encoding.made(files):
        _write_literal(writer, new[at : made.file.start])
        at = made.file.start + made.file.size
        if made.cover is None:
            writer.copy(made.source.path, 0, made.file.size)
        else:
            old = _bytes_of(sources, made.source)
            _write_covered(writer, made.source.path, old, new[made.file.start : at], made.cover.result())
    _write_literal(writer, new[at:])
    writer.finish()
    frame.finish()
    return Encoded(
        size=len(MAGIC) + frame.size,
        ops=writer.ops,
        copied=writer.copied,
        added=writer.added,
        literal=writer.literal,
    )


class _Encoding:
    """Chooses sources and has covers found."""

    def __init__(self, tree: SourceTree, new: ByteArray, options: EncoderOptions, pool: Pool) -> None:
        self._tree = tree
        self._new = new
        self._options = options
        self._pool = pool
        self._matcher: Matcher = Bsdiff()
        self._sources = [source for source in tree.sources if source.size >= _WORTH_OPENING]
        self._index = SourceIndex(self._sources)

    def made(self, files: Sequence[_File]) -> Iterator[_Made]:
        """The files that are made from a source, in order, with their covers under way."""
        choices = self._choices([file for file in files if file.size >= _WORTH_OPENING])
        ahead: deque[_Made] = deque()
        try:
            for file, source, is_copy in choices:
                cover = None if is_copy else self._submit(file, source)
                ahead.append(_Made(file=file, source=source, cover=cover))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()
        finally:
            # after an error tasks still read the tar: nobody may remove it under them
            wait([made.cover for made in ahead if made.cover is not None])

    def _submit(self, file: _File, source: Source) -> Future[CoverArray]:
        memory = self._options.match_memory
        estimate = memory_of(self._matcher, source.size, file.size, memory=memory)
        return self._pool.submit(estimate, self._cover, file, source)

    def _cover(self, file: _File, source: Source) -> CoverArray:
        old, new = _bytes_of(self._tree, source), self._bytes(file)
        return find_cover(self._matcher, old, new, memory=self._options.match_memory)

    def _choices(self, files: Sequence[_File]) -> list[tuple[_File, Source, bool]]:
        """Each file that has a source, with it, and whether they are identical."""
        choices: dict[int, tuple[_File, Source, bool]] = {}
        open_files = []
        for file, digest in zip(files, self._each(files, _size_of_file, self._digest), strict=True):
            if (source := self._index.identical(file.path, digest)) is not None:
                choices[file.start] = file, source, True
            else:
                open_files.append(file)
        if not open_files or not self._sources:
            return list(choices.values())
        sketches = self._each(open_files, _size_of_file, lambda file: sketch(self._bytes(file)))
        named = [self._index.named(file.path, file.size) for file in open_files]
        unmatched = []
        partners = list({source.path: source for source in named if source is not None}.values())
        partner_sketches = dict(
            zip((source.path for source in partners), self._each_source(partners), strict=True),
        )
        for file, source, new_sketch in zip(open_files, named, sketches, strict=True):
            if source is not None and is_related(
                partner_sketches[source.path], new_sketch, min(source.size, file.size)
            ):
                choices[file.start] = file, source, False
            else:
                unmatched.append((file, new_sketch))
        if any(len(new_sketch) for _, new_sketch in unmatched):
            contents = ContentIndex(self._sources, self._each_source(self._sources))
            found = ((file, contents.similar(new_sketch)) for file, new_sketch in unmatched)
            choices |= {file.start: (file, source, False) for file, source in found if source is not None}
        return [choices[start] for start in sorted(choices)]

    def _each_source(self, sources: Sequence[Source]) -> list[Sketch]:
        return self._each(sources, lambda source: source.size, lambda source: sketch(_bytes_of(self._tree, source)))

    def _each(self, items: Sequence[T], size_of: Callable[[T], int], function: Callable[[T], R]) -> list[R]:
        """`function` of each item, small ones together in one task of the pool."""
        futures = [
            self._pool.submit(_BATCH, lambda batch: [function(item) for item in batch], batch)
            for batch in _batches(items, size_of)
        ]
        wait(futures)
        return [result for future in futures for result in future.result()]

    def _digest(self, file: _File) -> bytes:
        return hashlib.sha256(self._bytes(file).data).digest()

    def _bytes(self, file: _File) -> ByteArray:
        return self._new[file.start : file.start + file.size]


def _files(reader: TarReader) -> list[_File]:
    """The regular files up to the first entry that cannot be read."""
    files = []
    try:
        for entry in reader:
            if entry.kind is Kind.FILE and not entry.is_sparse and entry.size:
                file = _File(path=entry.path.removeprefix(b"./"), start=entry.data, size=entry.size)
                files.append(file)
    except TarError as error:
        # the layer is made bit for bit whatever it is; a file that the end of the stream cut off is none
        while files and files[-1].start + files[-1].size > error.offset:
            files.pop()
    return files


def _batches(items: Sequence[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    batch: list[T] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size_of(item)
        if total >= _BATCH:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _size_of_file(file: _File) -> int:
    return file.size


def _bytes_of(tree: SourceTree, source: Source) -> ByteArray:
    return np.frombuffer(tree.map(source), np.uint8)


def _write_literal(writer: OpWriter, data: ByteArray) -> None:
    for at in range(0, len(data), _PIECE):
        writer.data(data[at : at + _PIECE].tobytes())


def _write_covered(writer: OpWriter, path: bytes, old: ByteArray, new: ByteArray, cover: CoverArray) -> None:
    """Write `new`: what `cover` covers as copies and sums, what it leaves as literals."""
    at = 0
    for old_start, new_start, length in cover.tolist():
        _write_literal(writer, new[at:new_start])
        at = new_start + length
        for start in range(0, length, _PIECE):
            size = min(_PIECE, length - start)
            before = old[old_start + start : old_start + start + size]
            _write_pair(writer, path, old_start + start, new[new_start + start : new_start + start + size] - before)
    _write_literal(writer, new[at:])


def _write_pair(writer: OpWriter, path: bytes, offset: int, difference: ByteArray) -> None:
    """Write one covered piece: long runs of zeros in `difference` as copies, the rest as sums."""
    changed = np.flatnonzero(difference)
    if not len(changed):
        writer.copy(path, offset, len(difference))
        return
    breaks = np.flatnonzero(np.diff(changed) > _SHORTEST_COPY)
    starts = [int(changed[0]), *changed[breaks + 1].tolist()]
    stops = [*(changed[breaks] + 1).tolist(), int(changed[-1]) + 1]
    if starts[0] < _SHORTEST_COPY:
        starts[0] = 0
    if len(difference) - stops[-1] < _SHORTEST_COPY:
        stops[-1] = len(difference)
    at = 0
    for start, stop in zip(starts, stops, strict=True):
        writer.copy(path, offset + at, start - at)
        writer.add(path, offset + start, difference[start:stop].tobytes())
        at = stop
    writer.copy(path, offset + at, len(difference) - at)
