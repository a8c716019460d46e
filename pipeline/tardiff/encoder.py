"""Making a delta: the new layer as operations on the files of an old tree.

For each regular file of the new tar: one with the same content is copied; else a source is chosen (`sources`), what
they share is found (`cover`), and the rest is literal. Headers, padding, trailers and whatever does not parse are
literal.

Files are matched in the pool, ahead of the writer and in any order; operations are written in the order of the tar.
What is held between the two are covers, never contents.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ..compression import Writable
from .cover import find_cover, memory_of
from .drafts import Drafts, Levels
from .format import MAGIC
from .matchers import CoverArray, Matcher
from .matchers.bsdiff import Bsdiff
from .matchers.hdiff import Hdiff
from .pairing import NewFile, NewTar, Pair, Pairing, bytes_of
from .pool import Pool
from .tar import Kind, TarError, TarReader, names_of
from .tree import SourceTree

Covers = Sequence[CoverArray]
"""What each matcher of an effort found."""

GENERATOR = "tardiff-3"
"""Changes whenever the bytes made from the same input and options may change."""

_AHEAD = 64  # covers that are held for the writer at most


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effort:
    """`gaps` are the ways in which operations are cut (see `runs`)."""

    matchers: tuple[type[Matcher], ...]
    gaps: tuple[int, ...]
    levels: Levels


_EFFORTS = {
    "fast": _Effort(matchers=(Hdiff,), gaps=(32,), levels=Levels(trial=12, few=12, many=12)),
    "default": _Effort(matchers=(Hdiff,), gaps=(2, 256), levels=Levels(trial=12, few=22, many=19)),
    "max": _Effort(matchers=(Hdiff, Bsdiff), gaps=(2, 64, 256), levels=Levels(trial=19, few=22, many=22)),
}
EFFORTS = tuple(_EFFORTS)
"""fast, default and max."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """How hard to try.

    `effort` is one of `EFFORTS`; `match_memory` what matching one pair of files may allocate, bytes.
    """

    effort: str = "default"
    match_memory: int = 512 << 20

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise ValueError(f"effort {self.effort!r} is none of {', '.join(EFFORTS)}")

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
    Temporary files are made beside `to`; they are as large as what is not copied.
    """
    effort = _EFFORTS[options.effort]
    with to.open("rb") as stream, Drafts(effort.gaps, len(effort.matchers), to.parent) as drafts:
        files = _files(TarReader(stream))
        tar = NewTar(stream)
        pairs = Pairing(sources, tar, pool).pairs(files)
        at = 0
        with closing(_covers(sources, tar, pairs, options, pool)) as covers:
            for pair, found in covers:
                file, path = pair.file, pair.source.path
                for piece in tar.pieces(at, file.start):
                    drafts.literal(piece)
                at = file.start + file.size
                if found is None:
                    drafts.copy(path, file.size)
                else:
                    drafts.covered(path, bytes_of(sources, pair.source), tar.bytes_of(file), found)
        for piece in tar.pieces(at, tar.size):
            drafts.literal(piece)
        out.write(MAGIC)
        size, writer = drafts.finish(out, levels=effort.levels, pool=pool)
    return Encoded(
        size=len(MAGIC) + size,
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
    sources: SourceTree, tar: NewTar, pairs: Iterable[Pair], options: EncoderOptions, pool: Pool
) -> Generator[tuple[Pair, Covers | None], None, None]:
    """Each pair with a cover by each matcher, None for identical files.

    Matching goes on in the pool while the caller writes.
    """
    matchers = [matcher() for matcher in _EFFORTS[options.effort].matchers]

    def find(pair: Pair) -> Covers:
        old, new = bytes_of(sources, pair.source), tar.bytes_of(pair.file)
        return [find_cover(matcher, old, new, memory=options.match_memory) for matcher in matchers]

    ahead: deque[tuple[Pair, Future[Covers] | None]] = deque()
    try:
        for pair in pairs:
            future = None
            if not pair.is_identical:
                sizes = pair.source.size, pair.file.size
                memory = max(memory_of(matcher, *sizes, memory=options.match_memory) for matcher in matchers)
                future = pool.submit(memory, find, pair)
            ahead.append((pair, future))
            if len(ahead) > _AHEAD:
                yield _first(ahead)
        while ahead:
            yield _first(ahead)
    finally:
        # after an error nothing may go on reading files that the caller is about to remove
        wait([future for _, future in ahead if future is not None and not future.cancel()])


def _first(ahead: deque[tuple[Pair, Future[Covers] | None]]) -> tuple[Pair, Covers | None]:
    pair, future = ahead[0]
    found = None if future is None else future.result()
    ahead.popleft()
    return pair, found
