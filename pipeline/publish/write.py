"""Write a Tree to a Target, phase by phase. The order is the commit protocol; README, "Guarantees", states it.

Rule 1. What is to be written is pending in the stored ledger before the first write, and certain only after the last.
Rule 2. A phase is finished before the next begins; within a phase, a rank before the next. So at any moment, what a
        reader finds leads only to what is there.
Rule 3. What the ledger says is stored with the same bytes and headers is not written again.
Rule 4. What is pending from a run that died is written again, from a layout or from what that run has stored.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

from ..content import BytesContent, Content
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records import KeyRecord
from ..history.store import LedgerStore
from ..keys import Key, Phase, classify
from ..oci.digest import Digest
from ..parallel import threads
from ..progress import Progress
from ..targets.base import ContentChangedError, ReadableTarget, Target
from ..targets.stored import StoredContent
from ..tree.static import Entry, Tree

_UNCHANGING: Final = (Phase.BLOBS, Phase.MANIFESTS)


class SourceChangedError(DeltapressError):
    """A blob of `repository` was not there or not what it had been when it was checked; nothing leads to it yet."""

    def __init__(self, repository: str, problem: str) -> None:
        self.repository = repository
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """Where bytes come from when an entry does not carry them: by repository and digest.

    `found` is what the target held before the run, see `found_content`.
    """

    fresh: Callable[[str, Digest], Content | None]
    target: ReadableTarget
    found: Mapping[Digest, Key]

    def content(self, entry: Entry, stored: Mapping[Digest, Key]) -> Content:
        """Raises SourceChangedError when nobody has the bytes any more."""
        if entry.content is not None:
            return BytesContent(entry.content)
        if entry.repository is not None and (found := self.fresh(entry.repository, entry.digest)) is not None:
            return found
        key = stored.get(entry.digest) or self.found.get(entry.digest)
        if key is not None:
            return StoredContent(target=self.target, key=key, size=entry.size)
        raise SourceChangedError(
            entry.repository or "",
            f"the blob {entry.digest} went away while the run was under way; copy the image into its layout again",
        )


def plan_writes(tree: Tree, ledger: Ledger, *, stores_headers: bool) -> tuple[Entry, ...]:
    """What must be written, in order. Touches nothing."""
    found = []
    for entry in tree.in_order():
        known = ledger.keys.get(entry.key)
        if (
            known is None
            or known.is_pending
            or known != replace(key_record(entry, stores_headers), unreferenced=known.unreferenced)
        ):
            found.append(entry)
    return tuple(found)


def key_record(entry: Entry, stores_headers: bool) -> KeyRecord:
    """What the ledger says of a written entry."""
    headers = entry.headers
    shown = f"{headers.content_type}\n{headers.cache_control}" if stores_headers else ""
    return KeyRecord(
        digest=entry.digest,
        size=entry.size,
        order=(int(entry.phase), entry.rank),
        headers=hashlib.sha256(shown.encode()).hexdigest()[:12] if shown else "",
    )


def publish(
    store: LedgerStore,
    entries: Sequence[Entry],
    ledger: Ledger,
    stock: Stock,
    *,
    progress: Progress,
    is_followed: bool = False,
) -> tuple[Ledger, Written]:
    """Write `entries`, which must be in order, and say in the ledger that they are stored.

    When it `is_followed` by others soon, that is left to the next save: until then they are pending, as they would be
    for the next run if this one died.

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
    written = Written(sizes={entry.key: entry.size for entry in entries})
    stored = stored_content(ledger)
    with progress.task("publish", written.size, "bytes") as task, threads(target.properties.concurrency) as each:
        for batch in _batches(entries):
            for entry in each(lambda entry: _put(target, entry, stock, stored), batch):
                task.advance(entry.size)
            stored.update((entry.digest, entry.key) for entry in batch if entry.phase in _UNCHANGING)
            for key in sorted(evicted.intersection(key for entry in batch for key in entry.evicts)):
                target.delete(key)
    ledger = ledger.with_keys(records).without_keys(evicted)
    if not is_followed:
        store.save(ledger)
    return ledger, written


def stored_content(ledger: Ledger) -> dict[Digest, Key]:
    """For each blob and each manifest that is certainly in the target one key that has it and never changes."""
    return {
        record.digest: key
        for key, record in ledger.keys.items()
        if record.order[0] in _UNCHANGING and not record.is_pending
    }


def found_content(ledger: Ledger, target: ReadableTarget, *, damaged: Container[Key] = ()) -> dict[Digest, Key]:
    """`stored_content`, and what a run that died has stored of the pending keys, by a look at each of them.

    A key that is named for the digest of its bytes holds them or is not there, since a put is verified and atomic,
    unless it is known to be `damaged`. Raises TargetError.
    """
    pending = {
        record.digest: key
        for key, record in ledger.keys.items()
        if record.is_pending
        and key not in damaged
        and (parsed := classify(key)) is not None
        and parsed.content_digest == record.digest
        and target.stat(key) is not None
    }
    return pending | stored_content(ledger)


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


def _put(target: Target, entry: Entry, stock: Stock, stored: Mapping[Digest, Key]) -> Entry:
    # Only blobs are linked: a tag needs a time of its own, because servers make their ETag from time and size.
    same_as = stored.get(entry.digest) if entry.phase is Phase.BLOBS else None
    try:
        target.put(entry.key, stock.content(entry, stored), entry.headers, digest=entry.digest, same_as=same_as)
    except ContentChangedError as error:
        if entry.repository is None:
            raise
        raise SourceChangedError(entry.repository, str(error)) from error
    return entry
