"""Which old file a new one is made from.

Rule 1. Identical content first, whatever its name; of several the one with the nearest name.
Rule 2. Then a file of the same name: the whole path, the path without its versions (`foo-1.2/x3` is `foo-1.3.1/x3`),
        without any numbers, the last two names without numbers, the last one. Of several the nearest in size.
Rule 3. Then content: the file that shares most of the sampled byte windows.
Rule 4. Files that share no windows are unrelated, whatever their names: they are not given to a matcher. A long file
        that shares less than most with one source may have several (`sections`).
Rule 5. The work is n log n in the number of files, and the choice does not depend on the order of anything but paths.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..layer.regions import Bytes
from ..layer.replay import Source
from .windows import sampled_pieces

Sketch = NDArray[np.uint64]
"""Ascending distinct hashes of the sampled windows of a file, one in 64 on average: at most the 256 smallest."""

TRUSTED_SIZE = 1 << 14
"""Bytes: matching smaller files by their name alone costs less than a wrong "unrelated"."""

_SKETCH_SIZE = 256
_ONE_IN = 64
_TOO_COMMON = 16  # a window of more files than this tells nothing about any of them
_MIN_SHARED = 0.05
_VERSION = re.compile(rb"\d+(?:\.\d+)+|(?<=\.so\.)\d+")
_DIGITS = re.compile(rb"\d+")


def sketch(data: Bytes) -> Sketch:
    """Sample `data` by content: equal bytes give equal hashes wherever they stand."""
    found: Sketch = np.empty(0, np.uint64)
    for _, hashes in sampled_pieces(data, _ONE_IN):
        if len(found) == _SKETCH_SIZE:
            hashes = hashes[hashes < found[-1]]
        if len(hashes):
            found = _distinct(np.concatenate((found, hashes)))[:_SKETCH_SIZE]
    return found.copy()  # what was cut off would be kept with the rest


def _distinct(hashes: Sketch) -> Sketch:
    """In order and each once. (numpy's `unique` takes longer than all the rest for a small file.)"""
    hashes.sort()
    is_first = np.empty(len(hashes), np.bool_)
    is_first[:1] = True
    np.not_equal(hashes[1:], hashes[:-1], out=is_first[1:])
    return hashes[is_first]


def shared(old: Sketch, new: Sketch) -> float:
    """The share of `new` that is in `old`, estimated from where both are complete: 0.0 to 1.0."""
    ends = [hashes[-1] for hashes in (old, new) if len(hashes) == _SKETCH_SIZE]
    if ends:
        old, new = old[old <= min(ends)], new[new <= min(ends)]
    return len(np.intersect1d(old, new, assume_unique=True)) / len(new) if len(new) else 0.0


class DigestIndex:
    """Finds sources by the digests of their contents."""

    def __init__(self, sources: Sequence[Source], digests: Iterable[bytes]) -> None:
        self._by_digest: dict[bytes, list[Source]] = {}
        for source, digest in zip(sources, digests, strict=True):
            self._by_digest.setdefault(digest, []).append(source)

    def identical(self, path: bytes, digest: bytes) -> Source | None:
        """A source with this content; of several the one with the nearest name."""
        found = self._by_digest.get(digest, ())[:_TOO_COMMON]
        names = set(_names(path)) if len(found) > 1 else set()
        # the more of the names of the new file a source has, the nearer it is
        return max(found, key=lambda source: len(names.intersection(_names(source.path))), default=None)


class NameIndex:
    """Finds sources by their names."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._by_path = {source.path: source for source in sources}

    def at(self, path: bytes) -> Source | None:
        """The source with this path."""
        return self._by_path.get(path)

    def named(self, files: Sequence[tuple[bytes, int]]) -> list[Source | None]:
        """For the path and the size of each file a source with the nearest name.

        Names are made for the files that are asked for alone: for all sources they would take more room than the tree.
        """
        found = [self._by_path.get(path) for path, _ in files]
        asked = {
            number: _names(path)[1:]
            for number, ((path, _), source) in enumerate(zip(files, found, strict=True))
            if source is None
        }
        groups = self._groups(frozenset(name for names in asked.values() for name in names))
        for number, names in asked.items():
            group = next((groups[name] for name in names if name in groups), None)
            if group is not None:
                found[number] = _nearest(group, files[number][1])
        return found

    def _groups(self, wanted: frozenset[bytes]) -> dict[bytes, list[Source]]:
        """The sources with each of the names, ordered by size."""
        groups: dict[bytes, list[Source]] = {}
        for source in self._sources if wanted else ():
            for name in wanted.intersection(_names(source.path)):
                groups.setdefault(name, []).append(source)
        for group in groups.values():
            group.sort(key=lambda source: (source.size, source.path))
        return groups


def _nearest(group: Sequence[Source], size: int) -> Source:
    """Of sources that are ordered by size the nearest to `size`."""
    at = bisect_left(group, size, key=lambda source: source.size)
    return min(group[max(0, at - 1) : at + 1], key=lambda source: abs(source.size - size))


class ContentIndex:
    """Finds sources by what they hold."""

    def __init__(self, sources: Sequence[Source], sketches: Iterable[Sketch]) -> None:
        self._sources = sources
        self._sketches = list(sketches)
        hashes = np.concatenate([*self._sketches, np.empty(0, np.uint64)])
        owners = np.repeat(np.arange(len(self._sketches)), [len(own) for own in self._sketches])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._owners = owners[order]

    def similar(self, new: Sketch) -> Source | None:
        """The source that shares most with `new`, None when none shares enough."""
        first = np.searchsorted(self._hashes, new, "left")
        last = np.searchsorted(self._hashes, new, "right")
        rare = (last > first) & (last - first <= _TOO_COMMON)
        sharing = [self._owners[start:stop] for start, stop in zip(first[rare], last[rare], strict=True)]
        if not sharing:
            return None
        owners, counts = np.unique(np.concatenate(sharing), return_counts=True)
        best = int(owners[counts.argmax()])
        return self._sources[best] if shared(self._sketches[best], new) >= _MIN_SHARED else None


def _names(path: bytes) -> tuple[bytes, ...]:
    """The names of rule 2, the most telling first. They differ in their number of leading slashes, so never mix."""
    unversioned = _VERSION.sub(b"0.0", path)
    plain = _DIGITS.sub(b"0", unversioned)
    *_, name = plain.split(b"/")
    two = b"/".join(plain.split(b"/")[-2:])
    return path, b"/" + unversioned, b"//" + plain, b"///" + two, b"////" + name
