"""Making a delta: the new layer as operations on the files of an old tree.

For each regular file of the new tar: one with the same content is copied; else a source is chosen (`sources`), what
they share is found (`cover`), and the rest is literal. Headers, padding, trailers and whatever does not parse are
literal.

Files are matched in the pool, ahead of the writer and in any order; operations are written in the order of the tar.
What is held between the two are covers, never contents.
"""

import mmap
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..compression import Writable, ZstdFrameWriter
from .cover import ByteArray, find_cover, memory_of
from .format import MAGIC, OpWriter
from .matchers import CoverArray, Matcher
from .matchers.bsdiff import Bsdiff
from .pairing import NewFile, Pair, Pairing, bytes_of
from .pool import Pool
from .tar import Kind, TarError, TarReader, names_of
from .tree import SourceTree

GENERATOR = "tardiff-1"
"""Changes whenever the bytes made from the same input and options may change."""

_LEVELS = {"fast": 12, "default": 19, "max": 22}
_SHORTEST_COPY = 256  # a run of equal bytes inside a cover that is worth an operation of its own
_PIECE = 1 << 20
_AHEAD = 64  # covers that are held for the writer at most


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


def encode(sources: SourceTree, to: Path, out: Writable, *, options: EncoderOptions, pool: Pool) -> Encoded:
    """Write the delta that makes the uncompressed tar `to` from `sources`.

    The bytes depend on the content of both and on `options`, not on the pool. Not to be called in a task of `pool`.
    """
    with to.open("rb") as stream:
        files = _files(TarReader(stream))
        size = stream.seek(0, 2)
        tar = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    new = np.frombuffer(tar, np.uint8)
    pairs = Pairing(sources, new, pool).pairs(files)
    out.write(MAGIC)
    frame = ZstdFrameWriter(out, level=_LEVELS[options.effort], size_bound=size)
    writer = OpWriter(frame)
    at = 0
    with closing(_covers(sources, new, pairs, options, pool)) as covers:
        for pair, cover in covers:
            file, path = pair.file, pair.source.path
            _write_literal(writer, new[at : file.start])
            at = file.start + file.size
            if cover is None:
                writer.copy(path, 0, file.size)
            else:
                _write_covered(writer, path, bytes_of(sources, pair.source), new[file.start : at], cover)
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


def _files(reader: TarReader) -> list[NewFile]:
    """The regular files up to the first entry that cannot be read."""
    files = []
    try:
        for entry in reader:
            if entry.kind is Kind.FILE and entry.size:
                file = NewFile(path=b"/".join(names_of(entry.path)), start=entry.data, size=entry.size)
                files.append(file)
    except TarError as error:
        # the layer is made bit for bit whatever it is; a file that the end of the stream cut off is none
        while files and files[-1].start + files[-1].size > error.offset:
            files.pop()
    return files


def _covers(
    sources: SourceTree, new: ByteArray, pairs: Iterable[Pair], options: EncoderOptions, pool: Pool
) -> Generator[tuple[Pair, CoverArray | None], None, None]:
    """Each pair with its cover, None for identical files; matching goes on in the pool while the caller writes."""
    matcher: Matcher = Bsdiff()

    def find(pair: Pair) -> CoverArray:
        part = new[pair.file.start : pair.file.start + pair.file.size]
        return find_cover(matcher, bytes_of(sources, pair.source), part, memory=options.match_memory)

    ahead: deque[tuple[Pair, Future[CoverArray] | None]] = deque()
    try:
        for pair in pairs:
            future = None
            if not pair.is_identical:
                memory = memory_of(matcher, pair.source.size, pair.file.size, memory=options.match_memory)
                future = pool.submit(memory, find, pair)
            ahead.append((pair, future))
            if len(ahead) > _AHEAD:
                yield _first(ahead)
        while ahead:
            yield _first(ahead)
    finally:
        # after an error nothing may go on reading files that the caller is about to remove
        wait([future for _, future in ahead if future is not None and not future.cancel()])


def _first(ahead: deque[tuple[Pair, Future[CoverArray] | None]]) -> tuple[Pair, CoverArray | None]:
    pair, future = ahead[0]
    cover = None if future is None else future.result()
    ahead.popleft()
    return pair, cover


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
