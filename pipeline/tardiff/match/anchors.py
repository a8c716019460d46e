"""Windows that two large files share, and the stretches that follow from them.

Rule 1. Windows are sampled by content (`windows`), and the samples do not grow with the files.
Rule 2. Where neighbouring anchors lie at one distance in both files and nearly all bytes between them are equal, no
        matcher would find anything better: such a stretch is known, and goes on at both ends as far as bytes are equal.
        It is most of a large file that has changed little.
"""

from dataclasses import dataclass

import numpy as np

from ..layer.regions import Bytes
from ..pair.windows import Flags, Places, looked_up, sampled, sampling
from .cover import NO_COVER, CoverArray
from .equality import common_prefix, common_suffix, equal_bytes

_SAMPLES = 1 << 20  # of each file at most, about
_MIN_ANCHORS = 8
_LEAST = 4096  # bytes of a stretch
_APART = 256  # samples' worth of bytes without an anchor end a stretch
_EQUAL = 0.97  # with less, a matcher finds better in rebuilt programs


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Places of equal windows in old and new, ascending in new; one window in `one_in` was sampled.

    A window that stands in old several times has the first of its places, and is not unique.
    """

    old: Places
    new: Places
    is_unique: Flags
    one_in: int

    @classmethod
    def of(cls, old: Bytes, new: Bytes) -> "Anchors":
        """The anchors of two files."""
        one_in = sampling(max(len(old), len(new)), _SAMPLES)
        places, hashes = sampled(old, one_in)
        order = np.argsort(hashes, kind="stable")
        places, hashes = places[order], hashes[order]
        is_first = np.append(True, hashes[1:] != hashes[:-1])
        is_unique = is_first & np.append(is_first[1:], True)
        anchored, wanted = sampled(new, one_in)
        is_there, found = looked_up(hashes, wanted)
        return cls(old=places[found], new=anchored[is_there], is_unique=is_unique[found], one_in=one_in)

    def stretches(self, old: Bytes, new: Bytes) -> CoverArray:
        """The known stretches, as a cover of `new` by `old`."""
        places, starts = self.old[self.is_unique], self.new[self.is_unique]
        if not len(starts):
            return NO_COVER
        is_break = (np.diff(starts - places) != 0) | (np.diff(starts) > _APART * self.one_in)
        firsts = np.append(0, np.flatnonzero(is_break) + 1)
        lasts = np.append(firsts[1:], len(starts)) - 1
        is_long = lasts - firsts >= _MIN_ANCHORS
        rows: list[tuple[int, int, int]] = []
        end = 0
        for first, last in zip(firsts[is_long].tolist(), lasts[is_long].tolist(), strict=True):
            distance = int(places[first] - starts[first])
            start, stop = max(end, int(starts[first])), int(starts[last])
            if start < stop:
                start -= common_suffix(old[: start + distance], new[end:start])
                stop += common_prefix(old[stop + distance :], new[stop:])
                size = stop - start
                equal = equal_bytes(old[start + distance : stop + distance], new[start:stop])
                if size >= _LEAST and equal >= _EQUAL * size:
                    rows.append((start + distance, start, size))
                    end = stop
        return np.array(rows, np.int64).reshape(-1, 3)
