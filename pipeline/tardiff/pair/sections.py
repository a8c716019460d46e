"""Files that are made from several sources, such as two old ones that were merged.

Rule 1. A section is long: each source costs a path, and some clients copy a source whenever it is opened.
Rule 2. Windows of bytes that stand in one source alone vote for it. A section takes the source with most votes, and two
        sections meet where most votes on both sides are right.
Rule 3. The file has a source already, by its name or by all that it holds. Another one gets a section only with a clear
        lead: where most windows have changed, chance decides about the few that are left.
Rule 4. What samples take does not grow with the sources: with more bytes fewer of the windows are sampled, and sections
        get longer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..layer.tree import Source
from .windows import Hashes, Places, looked_up

SAMPLES = 1 << 21
"""Of all sources together, or of a file that is to be divided: at most about so many."""

_SAMPLES_IN_SECTION = 2048
_MIN_VOTES = 16  # of a section's samples: anybody's fewer are chance
_MIN_LEAD = 1 / 32  # of a section's samples, to take it from the file's own source
_NOBODY = -1


def section_size(one_in: int) -> int:
    """The least bytes of a section."""
    return one_in * _SAMPLES_IN_SECTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The range of a new file from `start` to `stop`, and the source that it is made from."""

    start: int
    stop: int
    source: Source


class SectionIndex:
    """Finds the sections of a file. `hashes` are those of the windows of each source, one in `one_in`."""

    def __init__(self, sources: Sequence[Source], hashes: Sequence[Hashes], one_in: int) -> None:
        self._sources = sources
        self._numbers: dict[Source | None, int] = {source: number for number, source in enumerate(sources)}
        self._size = section_size(one_in)
        together = np.concatenate([*hashes, np.empty(0, np.uint64)])
        owners = np.repeat(np.arange(len(hashes)), [len(own) for own in hashes])
        order = np.argsort(together, kind="stable")
        together, owners = together[order], owners[order]
        is_first = np.append(True, together[1:] != together[:-1])[: len(together)]
        firsts = np.flatnonzero(is_first)
        ends = np.append(firsts[1:], len(together)) - 1
        # of equal hashes the owners ascend, for the sort is stable
        is_telling = owners[firsts] == owners[ends]
        self._hashes = together[firsts][is_telling]
        self._owners = owners[firsts][is_telling]

    def sections(self, places: Places, hashes: Hashes, size: int, *, own: Source | None) -> list[Section]:
        """The sections of a file of `size` bytes with these sampled windows, which together are the file; none where
        nobody votes. `own` is the source that the file has already, if there is one."""
        is_there, found = looked_up(self._hashes, hashes)
        voted = np.full(len(places), _NOBODY, np.int64)
        voted[is_there] = self._owners[found]
        winners = dict(self._winners(places, voted, size, self._numbers.get(own, _NOBODY)))
        return [
            Section(start=start, stop=stop, source=self._sources[winners[start]])
            for start, stop in pairwise([*sorted(winners), size])
        ]

    def _winners(self, places: Places, voted: Places, size: int, own: int) -> Iterator[tuple[int, int]]:
        """Where each section starts, and the number of its source."""
        count = max(1, size // self._size)
        edges = np.searchsorted(places, [size * number // count for number in range(count + 1)])
        last, opened = _NOBODY, 0
        for first, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            owner = _winner(voted[first:stop], own)
            if owner in (last, _NOBODY):
                continue
            if last == _NOBODY:
                yield 0, owner
            else:
                around = slice(opened, stop)
                yield _seam(places[around], voted[around], last, owner), owner
            last, opened = owner, first


def _winner(voted: Places, own: int) -> int:
    """Who gets a section with these votes."""
    votes = np.bincount(voted[voted != _NOBODY], minlength=own + 1)
    if not len(votes):
        return _NOBODY
    winner = int(votes.argmax())
    least = _MIN_VOTES if own == _NOBODY else int(votes[own]) + max(_MIN_VOTES, int(_MIN_LEAD * len(voted)))
    return winner if votes[winner] >= least else own


def _seam(places: Places, voted: Places, left: int, right: int) -> int:
    """The place with most votes for `left` before it and for `right` behind it."""
    gain = np.cumsum(np.where(voted == left, 1, np.where(voted == right, -1, 0)))
    best = int(gain.argmax())
    return int(places[best]) + 1
