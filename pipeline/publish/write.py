"""Write a Tree to a Target, phase by phase. The order is the commit protocol; README, "Guarantees", states it.

Rule 1. What is to be written is pending in the stored ledger before the first write, and certain only after the last.
Rule 2. A phase is finished before the next begins; within a phase, a rank before the next. So at any moment, what a
        reader finds leads only to what is there.
Rule 3. What the ledger says is stored with the same bytes and headers is not written again.
Rule 4. What is pending from a run that died is written again, from a layout or from what that run has stored.
"""

import hashlib
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Final

from ..content import BytesContent, Content
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records.keys import KeyRecord
from ..history.resolver import ContentResolver
from ..history.store import LedgerStore
from ..keys import Headers, Key, Phase
from ..oci.digest import Digest
from ..parallel import threads
from ..progress import Progress
from ..targets.base import ContentChangedError, Target
from ..tree.static import Entry, Tree

_UNCHANGING: Final = (Phase.BLOBS, Phase.MANIFESTS)
_NOTHING_NEW: Final[Mapping[Digest, Content]] = MappingProxyType({})


class SourceChangedError(DeltapressError):
    """A blob of `repository` was not there or not what it had been when it was checked; nothing leads to it yet."""

    def __init__(self, repository: str, problem: str) -> None:
        self.repository, self.problem = repository, problem
        super().__init__(f"repository {repository}: {problem}; nothing was published of this run's images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written: the size in bytes of each key, of its last bytes where they were written twice."""

    sizes: Mapping[Key, int] = field(default_factory=dict)

    @property
    def keys(self) -> int:
        return len(self.sizes)

    @property
    def size(self) -> int:
        return sum(self.sizes.values())

    def __add__(self, other: "Written") -> "Written":
        return Written(sizes={**self.sizes, **other.sizes})


def plan_writes(tree: Tree, ledger: Ledger, *, stores_headers: bool, again: Container[Key] = ()) -> tuple[Entry, ...]:
    """What must be written, in order; `again` are those that must whatever the ledger says. Touches nothing."""
    found = []
    for entry in tree.in_order():
        known = ledger.keys.get(entry.key)
        if (
            known is None
            or known.is_pending
            or entry.key in again
            or known != replace(key_record(entry, stores_headers), unreferenced=known.unreferenced)
        ):
            found.append(entry)
    return tuple(found)


def key_record(entry: Entry, stores_headers: bool) -> KeyRecord:
    """What the ledger says of a written entry."""
    return KeyRecord(
        digest=entry.digest,
        size=entry.size,
        order=(int(entry.phase), entry.rank),
        headers=headers_mark(entry.headers) if stores_headers else "",
    )


def headers_mark(headers: Headers) -> str:
    """By which the ledger knows again with what headers a key was written."""
    return hashlib.sha256(f"{headers.content_type}\n{headers.cache_control}".encode()).hexdigest()[:12]


def write_entries(
    store: LedgerStore,
    entries: Sequence[Entry],
    ledger: Ledger,
    resolver: ContentResolver,
    *,
    progress: Progress,
    spoiled: dict[Key, SourceChangedError] | None = None,
) -> tuple[Ledger, Written]:
    """Write `entries`, which must be in order, and say in the ledger that they are stored.

    Where `spoiled` is given, a blob that is not what was promised is noted there and stays pending, and the others are
    written: nothing leads to any of them yet.

    Raises:
        SourceChangedError: content of one repository is not what was checked. The stored ledger says what is pending.
        TargetError: the storage failed. The same.
    """
    if not entries:
        return ledger, Written()
    target = store.target
    records = {entry.key: key_record(entry, target.properties.stores_headers) for entry in entries}
    evicted = {key for entry in entries for key in entry.evicts if key in ledger.keys}
    ledger = ledger.with_keys({key: replace(record, is_pending=True) for key, record in records.items()})
    ledger = ledger.with_pending(evicted)
    store.save(ledger)
    resolver.refresh(ledger)
    written = put_entries(target, entries, resolver, evicted=evicted, progress=progress, spoiled=spoiled)
    certain = {key: record for key, record in records.items() if key in written.sizes}
    ledger = ledger.with_keys(certain).without_keys(evicted)
    store.save(ledger)
    return ledger, written


def put_entries(
    target: Target,
    entries: Sequence[Entry],
    resolver: ContentResolver,
    *,
    progress: Progress,
    new: Mapping[Digest, Content] = _NOTHING_NEW,
    evicted: Set[Key] = frozenset(),
    spoiled: dict[Key, SourceChangedError] | None = None,
) -> Written:
    """Write `entries`, which must be in order and pending in the ledger, and delete what of `evicted` they evict.

    Bytes that an entry does not carry are those of `new`, or else what `resolver` finds, which learns what was written.
    `spoiled` is as for `write_entries`, which says what is raised.
    """
    failed = {} if spoiled is None else spoiled
    size = sum(entry.size for entry in entries)
    with progress.task("publish", size, "bytes") as task, threads(target.properties.concurrency) as each:
        for batch in _batches(entries):
            for entry, error in each(lambda entry: _tried(target, entry, resolver, new), batch):
                task.advance(entry.size)
                if error is not None and (spoiled is None or entry.phase is not Phase.BLOBS):
                    raise error
                if error is not None:
                    failed[entry.key] = error
            done = [entry for entry in batch if entry.key not in failed]
            resolver.note((entry.repository, entry.key, entry.digest) for entry in done if entry.phase in _UNCHANGING)
            for key in sorted(evicted & {key for entry in batch for key in entry.evicts}):
                target.delete(key)
    return Written(sizes={entry.key: entry.size for entry in entries if entry.key not in failed})


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """What may be written at the same time. A blob for many repositories is sent once, and copied in a second batch."""
    for (phase, _), group in groupby(entries, key=lambda entry: (entry.phase, entry.rank)):
        batch = list(group)
        if phase is Phase.BLOBS:
            first = {entry.digest: entry for entry in reversed(batch)}
            yield list(first.values())
            batch = [entry for entry in batch if first[entry.digest] is not entry]
        if batch:
            yield batch


def _tried(
    target: Target, entry: Entry, resolver: ContentResolver, new: Mapping[Digest, Content]
) -> tuple[Entry, SourceChangedError | None]:
    try:
        _put(target, entry, resolver, new)
    except SourceChangedError as error:
        return entry, error
    return entry, None


def _put(target: Target, entry: Entry, resolver: ContentResolver, new: Mapping[Digest, Content]) -> None:
    # Only blobs are linked: a tag needs a time of its own, because servers make their ETag from time and size.
    same_as = resolver.stored.get(entry.digest) if entry.phase is Phase.BLOBS else None
    try:
        content = _content(entry, resolver, new)
        target.put(entry.key, content, entry.headers, digest=entry.digest, same_as=same_as)
    except ContentChangedError as error:
        if entry.repository is None:
            raise
        raise SourceChangedError(entry.repository, str(error)) from error


def _content(entry: Entry, resolver: ContentResolver, new: Mapping[Digest, Content]) -> Content:
    """Raises SourceChangedError when nobody has the bytes any more."""
    if entry.content is not None:
        return BytesContent(entry.content)
    repository = entry.repository or ""
    content = new.get(entry.digest) or resolver.content(repository, entry.digest, entry.size)
    if content is None:
        raise SourceChangedError(
            repository,
            f"the blob {entry.digest} went away while the run was under way; copy the image into its layout again",
        )
    return content
