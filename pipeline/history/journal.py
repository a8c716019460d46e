"""What the root of the ledger does not say yet: small entries behind it, one durable write each.

Rule 1. Entries are numbered from 1 and name the root that they follow. Those from the first on that name the stored
        root hold; any other was folded into a newer root, and waits to be deleted.
Rule 2. An entry is stored before what it speaks of is touched: the blobs of a new delta, or documents that are about to
        be written or to be deleted.
Rule 3. Entries are deleted from the last one back. So what a publisher that died has left begins with the first.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from ..keys import PHASES, Kind, blob_key, journal_key
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..targets.base import KeyMissingError, ReadableTarget, TooLargeError, read_bytes
from .ledger import Ledger
from .records.deltas import DeltaRecord
from .records.keys import KeyRecord

MAX_ENTRY_SIZE: Final = 1 << 28
_MARK: Final = 16  # hex digits of a root's digest: they tell roots apart, and prove nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Either a `delta` that was made or refused, whose blob is about to be stored in `repositories`; or `documents` of
    the ledger that are about to be written or replaced."""

    delta: DeltaRecord | None = None
    repositories: tuple[str, ...] = ()
    documents: tuple[Digest, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            delta=DeltaRecord.read(fields.object("delta")) if fields.has("delta") else None,
            repositories=fields.list_of_texts("in"),
            documents=fields.digests("documents"),
        )

    def serialise(self, root: str) -> bytes:
        """`root` is the mark of the one that it follows."""
        found: dict[str, Any] = {"after": root}
        if self.delta is not None:
            found["delta"] = self.delta.to_json()
        if self.repositories:
            found["in"] = list(self.repositories)
        if self.documents:
            found["documents"] = list(map(str, self.documents))
        return json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    def applied(self, ledger: Ledger) -> Ledger:
        """`ledger`, with what the entry says."""
        if self.delta is None:
            return ledger
        ledger = ledger.with_deltas([self.delta])
        if (digest := self.delta.digest) is None:
            return ledger
        new = KeyRecord(digest=digest, size=self.delta.size, order=(int(PHASES[Kind.BLOB]), 0), is_pending=True)
        keys = [blob_key(name, digest) for name in self.repositories]
        return ledger.with_keys({key: replace(ledger.keys.get(key, new), is_pending=True) for key in keys})


def mark_of(root: bytes | None) -> str:
    """By which entries name the root that they follow; empty where there is none."""
    return "" if root is None else Digest.of(root).hex[:_MARK]


@dataclass(frozen=True, slots=True, kw_only=True)
class Journal:
    """The `entries` that hold, and how many were folded and are `left` behind those, with the documents they name."""

    entries: tuple[Entry, ...] = ()
    left: int = 0
    left_documents: frozenset[Digest] = frozenset()

    @property
    def length(self) -> int:
        return len(self.entries) + self.left

    @property
    def documents(self) -> frozenset[Digest]:
        """All that its entries name."""
        return self.left_documents.union(*(entry.documents for entry in self.entries))


def read_journal(target: ReadableTarget, mark: str) -> Journal:
    """What lies behind the root of this mark. An entry that cannot be read ends what holds. Raises TargetError."""
    entries: list[Entry] = []
    left, documents = 0, set[Digest]()
    for raw in _raw_entries(target):
        entry = None
        try:
            fields = Fields(parse_json_object(raw, max_objects=None))
            entry, holds = Entry.read(fields), fields.text("after") == mark
        except FieldError:
            holds = False
        if entry is not None and holds and not left:
            entries.append(entry)
        else:
            left += 1
            documents.update(entry.documents if entry is not None else ())
    return Journal(entries=tuple(entries), left=left, left_documents=frozenset(documents))


def _raw_entries(target: ReadableTarget) -> Iterator[bytes]:
    number = 1
    while True:
        try:
            yield read_bytes(target, journal_key(number), limit=MAX_ENTRY_SIZE)
        except KeyMissingError:
            return
        except TooLargeError:
            yield b""
        number += 1
