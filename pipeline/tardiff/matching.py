"""The covers of pairs of files, found in the pool while the operations of those before them are written.

Rule 1. Results come in the order of the pairs, whatever the order in which they were found. What waits are covers, of a
        bounded number of pairs, and never contents.
Rule 2. A large file is divided by one task, and each of its blocks is another.
Rule 3. Tiny pairs are matched where they are written: handing one to a thread and back takes longer than that.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from .arrays import ByteArray
from .blocks import DIVIDING_MEMORY, Block, is_small
from .cover import divided, match, whole
from .matchers import CoverArray, Matcher
from .pairing import NewTar, Pair, bytes_of
from .pool import Pool
from .tree import SourceTree

Covers = Sequence[CoverArray]
"""What each matcher found."""

_AHEAD = 64  # pairs
_TINY = 8 << 10  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The contents of a pair, and the covers of `new` by `old`."""

    old: ByteArray
    new: ByteArray
    covers: Covers


def matched(
    pairs: Iterable[Pair], sources: SourceTree, tar: NewTar, *, matchers: Sequence[Matcher], pool: Pool
) -> Generator[tuple[Pair, Match | None], None, None]:
    """Each pair with its match, None for identical files.

    Not to be run in a task of `pool`. To be closed: then nothing goes on any more.
    """
    matching = _Matching(sources, tar, matchers, pool)
    ahead: deque[_Found] = deque()
    try:
        for pair in pairs:
            ahead.append(matching.begin(pair))
            if len(ahead) > _AHEAD:
                yield ahead[0].pair, ahead[0].match()
                ahead.popleft()
        while ahead:
            yield ahead[0].pair, ahead[0].match()
            ahead.popleft()
    finally:
        # after an error nothing may go on reading files that the caller is about to remove
        for found in ahead:
            found.abandon()


class _Found:
    """The match of a pair, as far as it is known: for identical files there is none."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def match(self) -> Match | None:
        """Wait for it."""
        return None

    def abandon(self) -> None:
        """Return when nothing works on it any more."""


class _Matching:
    """What all pairs share."""

    def __init__(self, sources: SourceTree, tar: NewTar, matchers: Sequence[Matcher], pool: Pool) -> None:
        self._sources = sources
        self._tar = tar
        self._matchers = matchers
        self._pool = pool

    def begin(self, pair: Pair) -> _Found:
        """Begin to match `pair`."""
        old, new = pair.source.size, pair.file.size
        if pair.is_identical:
            return _Found(pair)
        if max(old, new) <= _TINY:
            return _FoundAtOnce(pair, self)
        memory = self._memory(old, new) if is_small(old, new) else DIVIDING_MEMORY
        return _FoundInParts(pair, self, self._pool.submit(memory, self._divide, pair))

    def contents(self, pair: Pair) -> tuple[ByteArray, ByteArray]:
        """Old and new."""
        return bytes_of(self._sources, pair.source), self._tar.bytes_of(pair.file)

    def covers(self, old: ByteArray, new: ByteArray) -> list[Covers]:
        """The parts of the covers of two small files."""
        known, blocks = divided(old, new)
        return [self._known(known), *(self._matched(old, new, block) for block in blocks)]

    def _divide(self, pair: Pair) -> list["Covers | Future[Covers]"]:
        old, new = self.contents(pair)
        if is_small(len(old), len(new)):
            return [*self.covers(old, new)]
        known, blocks = divided(old, new)
        return [
            self._known(known),
            *(
                self._pool.submit(self._memory(block.old.size, block.new.size), self._match, pair, block)
                for block in blocks
            ),
        ]

    def _match(self, pair: Pair, block: Block) -> Covers:
        return self._matched(*self.contents(pair), block)

    def _matched(self, old: ByteArray, new: ByteArray, block: Block) -> Covers:
        return [match(matcher, old, new, block) for matcher in self._matchers]

    def _known(self, cover: CoverArray) -> Covers:
        return [cover] * len(self._matchers)

    def _memory(self, old: int, new: int) -> int:
        return max(matcher.memory(old, new) for matcher in self._matchers)


class _FoundAtOnce(_Found):
    """A tiny pair, matched when it is asked for."""

    def __init__(self, pair: Pair, matching: _Matching) -> None:
        super().__init__(pair)
        self._matching = matching

    def match(self) -> Match:
        old, new = self._matching.contents(self.pair)
        return Match(old=old, new=new, covers=_joined(self._matching.covers(old, new)))


class _FoundInParts(_Found):
    """A pair that a task divides, and perhaps others match."""

    def __init__(self, pair: Pair, matching: _Matching, parts: Future[list[Covers | Future[Covers]]]) -> None:
        super().__init__(pair)
        self._matching = matching
        self._parts = parts

    def match(self) -> Match:
        parts = [part.result() if isinstance(part, Future) else part for part in self._parts.result()]
        old, new = self._matching.contents(self.pair)
        return Match(old=old, new=new, covers=_joined(parts))

    def abandon(self) -> None:
        if not self._parts.cancel():
            wait([self._parts])
            if self._parts.exception() is None:
                wait([part for part in self._parts.result() if isinstance(part, Future) and not part.cancel()])


def _joined(parts: Sequence[Covers]) -> Covers:
    return [whole(covers) for covers in zip(*parts, strict=True)]
