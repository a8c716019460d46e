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

import numpy as np

from ..compression import Strength, Writable
from .blocks import DIVIDING_MEMORY, Block, is_small
from .cover import divided, match
from .drafts import Drafts
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

GENERATOR = "tardiff-4"
"""Changes whenever the bytes made from the same input and options may change."""

_AHEAD = 64  # covers that are held for the writer at most


@dataclass(frozen=True, slots=True, kw_only=True)
class _Effort:
    """`gaps` are the ways in which operations are cut (see `runs`); for the two strengths see `Drafts.finish`."""

    matchers: tuple[type[Matcher], ...]
    gaps: tuple[int, ...]
    trial: Strength
    final: Strength


_QUICK = Strength(9)
_GOOD = Strength(19, one_pass=True)

_EFFORTS = {
    "fast": _Effort(matchers=(Hdiff,), gaps=(1024,), trial=_QUICK, final=_QUICK),
    "default": _Effort(matchers=(Hdiff,), gaps=(2, 1024), trial=_QUICK, final=_GOOD),
    "max": _Effort(matchers=(Hdiff, Bsdiff), gaps=(2, 64, 1024), trial=_GOOD, final=Strength(22)),
}
EFFORTS = tuple(_EFFORTS)
"""fast, default and max."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderOptions:
    """How hard to try: one of `EFFORTS`."""

    effort: str = "default"

    def __post_init__(self) -> None:
        if self.effort not in EFFORTS:
            raise ValueError(f"effort {self.effort!r} is none of {', '.join(EFFORTS)}")

    @property
    def key(self) -> str:
        """A short text that differs whenever the bytes may: for caches."""
        return self.effort


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
    matchers = [matcher() for matcher in effort.matchers]
    with to.open("rb") as stream, Drafts(effort.gaps, len(matchers), to.parent) as drafts:
        files = _files(TarReader(stream))
        tar = NewTar(stream)
        pairs = Pairing(sources, tar, pool).pairs(files)
        at = 0
        with closing(_covers(sources, tar, pairs, matchers, pool)) as covers:
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
        size, writer = drafts.finish(out, trial=effort.trial, final=effort.final, pool=pool)
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
    sources: SourceTree, tar: NewTar, pairs: Iterable[Pair], matchers: Sequence[Matcher], pool: Pool
) -> Generator[tuple[Pair, Covers | None], None, None]:
    """Each pair with a cover by each matcher, None for identical files.

    Matching goes on in the pool while the caller writes.
    """

    def divide(pair: Pair) -> Sequence[Covers | Future[Covers]]:
        old, new = bytes_of(sources, pair.source), tar.bytes_of(pair.file)
        is_whole = is_small(len(old), len(new))
        parts: list[Covers | Future[Covers]] = []
        for part in divided(old, new):
            if not isinstance(part, Block):
                parts.append([part] * len(matchers))
            elif is_whole:
                parts.append([match(matcher, old, new, part) for matcher in matchers])
            else:
                parts.append(pool.submit(needed(part.old_size, part.size), find, pair, part))
        return parts

    def find(pair: Pair, block: Block) -> Covers:
        old, new = bytes_of(sources, pair.source), tar.bytes_of(pair.file)
        return [match(matcher, old, new, block) for matcher in matchers]

    def needed(old: int, new: int) -> int:
        return max(matcher.memory(old, new) for matcher in matchers)

    ahead: deque[tuple[Pair, _Found | None]] = deque()
    try:
        for pair in pairs:
            found = None
            if not pair.is_identical:
                sizes = pair.source.size, pair.file.size
                memory = needed(*sizes) if is_small(*sizes) else DIVIDING_MEMORY
                found = _Found(pool.submit(memory, divide, pair))
            ahead.append((pair, found))
            if len(ahead) > _AHEAD:
                yield _first(ahead)
        while ahead:
            yield _first(ahead)
    finally:
        # after an error nothing may go on reading files that the caller is about to remove
        for _, found in ahead:
            if found is not None:
                found.abandon()


def _first(ahead: deque[tuple[Pair, "_Found | None"]]) -> tuple[Pair, Covers | None]:
    pair, found = ahead[0]
    covers = None if found is None else found.covers()
    ahead.popleft()
    return pair, covers


class _Found:
    """The covers of a pair, which are found block by block."""

    def __init__(self, parts: Future[Sequence[Covers | Future[Covers]]]) -> None:
        self._parts = parts

    def covers(self) -> Covers:
        """Wait for them."""
        parts = [part.result() if isinstance(part, Future) else part for part in self._parts.result()]
        return [np.concatenate(covers) for covers in zip(*parts, strict=True)]

    def abandon(self) -> None:
        """Return when nothing works on them any more."""
        if not self._parts.cancel():
            wait([self._parts])
            if self._parts.exception() is None:
                wait([part for part in self._parts.result() if isinstance(part, Future) and not part.cancel()])
