"""New files paired with the old ones that they are made from: the questions of `sources`, asked in the pool.

Rule 1. No more is read than the question needs. A new file is compared with the source of its path and size; else it is
        hashed, and so are the sources of its size. Only those without an identical source are sampled, and they and old
        files only when a pair must be confirmed; all old ones when some new file is still without a source, or a long
        one shares little with its source.
Rule 2. Pairs come in the order of the tar, whatever the order in which the pool answered.
Rule 3. Nothing is asked twice. The deltas that make one tar, or are made from one tree, share the list of its files and
        their fingerprints, also while they are made at the same time. A source that is identical to a new file has the
        fingerprints of that one: most of an old tree is what other old trees hold, too.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from operator import eq
from typing import TypeVar

from ..layer.new_tar import NewFile, NewTar
from ..layer.regions import Region
from ..layer.tree import Source, SourceTree
from ..pool import Pool
from .fingerprints import Fingerprints, Known
from .sections import SAMPLES, SectionIndex, section_size
from .sources import TRUSTED_SIZE, ContentIndex, DigestIndex, NameIndex, Sketch, shared, sketch
from .windows import sampled, sampling

_WORTH_OPENING = 64  # a shorter file costs less as it is than a path and three operations
_BATCH = 8 << 20  # bytes of small files that are hashed or sampled as one task
_MOST = 0.6  # of a file: with so much in one source others are not looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A new file or a section of one, the source that it is made from, and whether they are identical."""

    file: NewFile
    source: Source
    is_identical: bool


T = TypeVar("T", NewFile, Source)
R = TypeVar("R")


class Pairing:
    """Pairs files of `new` with sources of `tree`."""

    def __init__(
        self,
        tree: SourceTree,
        new: NewTar,
        pool: Pool,
        *,
        of_tree: Fingerprints[Source],
        of_new: Fingerprints[NewFile],
    ) -> None:
        """`of_tree` and `of_new` are what is known of the files of both, and grow."""
        self._tree = tree
        self._new = new
        self._pool = pool
        self._of_tree = of_tree
        self._of_new = of_new
        self._sources = [source for source in tree.sources if source.size >= _WORTH_OPENING]
        self._names = NameIndex(self._sources)
        self._twins: dict[Source, NewFile] = {}  # identical to the source

    def pairs(self) -> list[Pair]:
        """The pairs that were found. A file in none of them has no source."""
        if not self._sources:
            return []
        worthy = [file for file in self._new.files if file.size >= _WORTH_OPENING]
        unchanged = self._unchanged(worthy)
        self._twins.update((pair.source, pair.file) for pair in unchanged)
        moved = self._moved(_without(worthy, unchanged))
        self._twins.update((pair.source, pair.file) for pair in moved)
        changed = _without(worthy, unchanged, moved)
        sketches: dict[NewFile, Sketch] = {}
        named, settled = self._named(changed, sketches)
        similar = self._similar(_without(changed, named), sketches)
        own = {pair.file: pair.source for pair in (*named, *similar)}
        sections = self._sections([file for file in changed if file not in settled], own)
        whole = [pair for pair in (*named, *similar) if pair.file not in sections]
        found = [*unchanged, *moved, *whole, *(pair for pairs in sections.values() for pair in pairs)]
        return sorted(found, key=lambda pair: pair.file.start)

    def _unchanged(self, files: Sequence[NewFile]) -> list[Pair]:
        """The files that are the same under the same path."""
        found = self._each(files, self._same)
        return [
            Pair(file=file, source=source, is_identical=True)
            for file, source in zip(files, found, strict=True)
            if source is not None
        ]

    def _moved(self, files: Sequence[NewFile]) -> list[Pair]:
        """The files that are the same under another path."""
        sizes = {source.size for source in self._sources}.intersection(file.size for file in files)
        files = [file for file in files if file.size in sizes]
        sources = [source for source in self._sources if source.size in sizes]
        index = DigestIndex(sources, self._of_sources(sources, self._old_digests, self._new_digests))
        digests = self._new_digests(files)
        found = ((file, index.identical(file.path, digest)) for file, digest in zip(files, digests, strict=True))
        return [Pair(file=file, source=source, is_identical=True) for file, source in found if source is not None]

    def _named(self, files: Sequence[NewFile], sketches: dict[NewFile, Sketch]) -> tuple[list[Pair], set[NewFile]]:
        """The pairs by name that hold, and the files of which most is in their source.

        What is sketched of `files` for that is left in `sketches`.
        """
        found = self._names.named([(file.path, file.size) for file in files])
        pairs = [
            Pair(file=file, source=source, is_identical=False)
            for file, source in zip(files, found, strict=True)
            if source is not None
        ]
        doubted = [pair for pair in pairs if min(pair.source.size, pair.file.size) >= TRUSTED_SIZE]
        self._sketch([pair.file for pair in doubted], sketches)
        sources = list(dict.fromkeys(pair.source for pair in doubted))
        old = dict(zip(sources, self._of_sources(sources, self._old_sketches, self._new_sketches), strict=True))
        shares = {pair.file: shared(old[pair.source], sketches[pair.file]) for pair in doubted}
        settled = {file for file, share in shares.items() if share >= _MOST}
        return [pair for pair in pairs if shares.get(pair.file, 1.0) > 0.0], settled

    def _similar(self, files: Sequence[NewFile], sketches: dict[NewFile, Sketch]) -> list[Pair]:
        self._sketch([file for file in files if file not in sketches], sketches)
        if not any(len(sketches[file]) for file in files):
            return []
        index = ContentIndex(self._sources, self._of_sources(self._sources, self._old_sketches, self._new_sketches))
        found = ((file, index.similar(sketches[file])) for file in files)
        return [Pair(file=file, source=source, is_identical=False) for file, source in found if source is not None]

    def _sections(self, files: Sequence[NewFile], own: Mapping[NewFile, Source]) -> dict[NewFile, list[Pair]]:
        """The files that are better made from several sources than from their `own`: a pair for each section."""
        largest = max((file.size for file in files), default=0)
        one_in = sampling(max(largest, sum(source.size for source in self._sources)), SAMPLES)
        least = section_size(one_in)
        sources = [source for source in self._sources if source.size >= least]
        files = [file for file in files if file.size >= 2 * least]
        if len(sources) < 2 or not files:
            return {}
        hashes = self._each(sources, lambda source: sampled(self._tree.content(source), one_in)[1])
        index = SectionIndex(sources, hashes, one_in)
        found = self._each(
            files,
            lambda file: index.sections(*sampled(self._new.content(file), one_in), file.size, own=own.get(file)),
        )
        return {
            file: [
                Pair(
                    file=NewFile(path=file.path, start=file.start + section.start, size=section.stop - section.start),
                    source=section.source,
                    is_identical=False,
                )
                for section in sections
            ]
            for file, sections in zip(files, found, strict=True)
            if len(sections) > 1
        }

    def _sketch(self, files: Sequence[NewFile], sketches: dict[NewFile, Sketch]) -> None:
        sketches.update(zip(files, self._new_sketches(files), strict=True))

    def _of_sources(
        self,
        sources: Sequence[Source],
        ask_old: Callable[[Sequence[Source]], list[R]],
        ask_new: Callable[[Sequence[NewFile]], list[R]],
    ) -> list[R]:
        """What there is to know of each of `sources`, by their twins where they have one."""
        single = [source for source in sources if source not in self._twins]
        paired = [source for source in sources if source in self._twins]
        found = dict(zip(single, ask_old(single), strict=True))
        found.update(zip(paired, ask_new([self._twins[source] for source in paired]), strict=True))
        return [found[source] for source in sources]

    def _old_digests(self, sources: Sequence[Source]) -> list[bytes]:
        return self._once(sources, self._of_tree.digests, lambda source: _digest(self._tree.region(source)))

    def _new_digests(self, files: Sequence[NewFile]) -> list[bytes]:
        return self._once(
            files,
            self._of_new.digests,
            lambda file: _digest(self._new.region(file)),
        )

    def _old_sketches(self, sources: Sequence[Source]) -> list[Sketch]:
        return self._once(sources, self._of_tree.sketches, lambda source: sketch(self._tree.content(source)))

    def _new_sketches(self, files: Sequence[NewFile]) -> list[Sketch]:
        return self._once(files, self._of_new.sketches, lambda file: sketch(self._new.content(file)))

    def _once(self, items: Sequence[T], known: Known[T, R], function: Callable[[T], R]) -> list[R]:
        """`function` of each item, called for those of which it is not `known`."""
        return known.of(items, lambda unknown: self._tasks(unknown, function))

    def _each(self, items: Sequence[T], function: Callable[[T], R]) -> list[R]:
        """`function` of each item."""
        futures = [future for _, future in self._tasks(items, function)]
        wait(futures)
        return [result for future in futures for result in future.result()]

    def _tasks(self, items: Sequence[T], function: Callable[[T], R]) -> list[tuple[Sequence[T], Future[list[R]]]]:
        """Begin `function` of each item, small ones together in one task."""
        return [
            (batch, self._pool.submit(_BATCH, lambda batch: [function(item) for item in batch], batch))
            for batch in _batches(items)
        ]

    def _same(self, file: NewFile) -> Source | None:
        source = self._names.at(file.path)
        if source is None or source.size != file.size:
            return None
        return source if all(map(eq, self._tree.region(source).pieces(), self._new.region(file).pieces())) else None


def _without(files: Sequence[NewFile], *pairs: Sequence[Pair]) -> list[NewFile]:
    """The files that are in none of the pairs."""
    paired = {pair.file.start for some in pairs for pair in some}
    return [file for file in files if file.start not in paired]


def _digest(region: Region) -> bytes:
    hasher = hashlib.sha256()
    for piece in region.pieces():
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
