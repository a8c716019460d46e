"""The covers of pairs of files, found in the pool while the operations of those before them are written.

Rule 1. Results come in the order of the pairs, whatever the order in which they were found. What waits are covers, of a
        bounded number of pairs, and never contents.
Rule 2. A large file is divided by one task, and each of its blocks is another. It is written as far as its blocks are
        known, while those behind them are matched.
Rule 3. Tiny pairs are matched where they are written: handing one to a thread and back takes longer than that.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from itertools import pairwise

from ..layer.new_tar import NewTar
from ..layer.regions import ByteArray, Bytes, array_of
from ..layer.tree import SourceTree
from ..pair.pairing import Pair
from ..pool import Pool
from .blocks import Block, dividing_memory, is_small
from .cover import NO_COVER, CoverArray, clipped, whole
from .division import divided, match
from .matchers import Matcher
from .ranges import Range

Covers = Sequence[CoverArray]
"""What each matcher found."""

_AHEAD = 64  # pairs
_TINY = 8 << 10  # bytes
_PIECE = 4 << 20  # bytes of a new file, and what they are made from, that are mapped at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An old file, a piece of the new one, and the covers of that piece by the old file."""

    old: ByteArray
    new: ByteArray
    covers: Covers


Matches = Iterable[Match]
"""The pieces of a new file, in order."""


def matched(
    pairs: Iterable[Pair], sources: SourceTree, tar: NewTar, *, matchers: Sequence[Matcher], pool: Pool
) -> Generator[tuple[Pair, Matches | None], None, None]:
    """Each pair with its matches, None for identical files. They are to be taken before the next pair.

    Not to be run in a task of `pool`. To be closed: then nothing goes on any more.
    """
    matching = _Matching(sources, tar, matchers, pool)
    ahead: deque[_Found] = deque()
    try:
        for pair in pairs:
            ahead.append(matching.begin(pair))
            if len(ahead) > _AHEAD:
                yield ahead[0].pair, ahead[0].matches()
                ahead.popleft()
        while ahead:
            yield ahead[0].pair, ahead[0].matches()
            ahead.popleft()
    finally:
        # after an error nothing may go on reading files that the caller is about to remove
        for found in ahead:
            found.abandon()


class _Found:
    """The matches of a pair, as far as they are known: for identical files there are none."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair

    def matches(self) -> Matches | None:
        """Wait for them, one after the other."""
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
        memory = self._memory(old, new) if is_small(old, new) else dividing_memory(old, new)
        return _FoundInParts(pair, self, self._pool.submit(memory, self._divide, pair))

    def contents(self, pair: Pair) -> tuple[Bytes, Bytes]:
        """Old and new."""
        return self._sources.content(pair.source), self._tar.content(pair.file)

    def covers(self, old: Bytes, new: Bytes) -> Covers:
        """The covers of two small files."""
        known, blocks = divided(old, new)
        (block,) = blocks
        return [whole((known, cover)) for cover in self._matched(old, new, block)]

    def _divide(self, pair: Pair) -> "_Division":
        """The parts of `pair`; those of a large file are matched by other tasks."""
        old, new = self.contents(pair)
        if is_small(len(old), len(new)):
            return _Division(known=NO_COVER, parts=[(0, len(new))], found=[self.covers(old, new)])
        known, blocks = divided(old, new)
        # what is known before a block belongs to the part before
        edges = [0, *(block.new.start for block in blocks[1:]), len(new)]
        found: list[Covers | Future[Covers]] = [
            self._pool.submit(self._memory(block.old.size, block.new.size), self._match, pair, block)
            for block in blocks
        ]
        return _Division(known=known, parts=list(pairwise(edges)), found=found or [[NO_COVER] * len(self._matchers)])

    def matches(self, pair: Pair, division: "_Division") -> Iterator[Match]:
        """The pieces of `pair`, each as soon as its part is known."""
        old, new = self.contents(pair)
        for number, (start, stop) in enumerate(division.parts):
            covers = division.covers(number)
            for at in range(start, stop, _PIECE):
                end = min(at + _PIECE, stop)
                yield Match(
                    old=array_of(old), new=array_of(new[at:end]), covers=[clipped(cover, at, end) for cover in covers]
                )

    def _match(self, pair: Pair, block: Block) -> Covers:
        return self._matched(*self.contents(pair), block)

    def _matched(self, old: Bytes, new: Bytes, block: Block) -> Covers:
        return [match(matcher, old, new, block) for matcher in self._matchers]

    def _memory(self, old: int, new: int) -> int:
        return max(matcher.memory(old, new) for matcher in self._matchers)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Division:
    """A new file in parts, one for each block. `known` covers some of it, whatever is `found` of each part."""

    known: CoverArray
    parts: Sequence[Range]
    found: Sequence[Covers | Future[Covers]]

    def covers(self, number: int) -> Covers:
        """The covers of a part, in places of the files; waits for its block."""
        found = self.found[number]
        start, stop = self.parts[number]
        known = self.known[(self.known[:, 1] >= start) & (self.known[:, 1] < stop)]
        return [whole((known, cover)) for cover in (found.result() if isinstance(found, Future) else found)]


class _FoundAtOnce(_Found):
    """A tiny pair, matched when it is asked for."""

    def __init__(self, pair: Pair, matching: _Matching) -> None:
        super().__init__(pair)
        self._matching = matching

    def matches(self) -> Matches:
        old, new = self._matching.contents(self.pair)
        return [Match(old=array_of(old), new=array_of(new), covers=self._matching.covers(old, new))]


class _FoundInParts(_Found):
    """A pair that a task divides, and perhaps others match."""

    def __init__(self, pair: Pair, matching: _Matching, division: Future[_Division]) -> None:
        super().__init__(pair)
        self._matching = matching
        self._division = division

    def matches(self) -> Matches:
        return self._matching.matches(self.pair, self._division.result())

    def abandon(self) -> None:
        if not self._division.cancel():
            wait([self._division])
            if self._division.exception() is None:
                found = self._division.result().found
                wait([covers for covers in found if isinstance(covers, Future) and not covers.cancel()])
