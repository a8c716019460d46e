"""Pure: the ledger as the documents that are stored: one for each repository, and a root that names them.

Rule 1. A document holds all that its repository needs, and nothing needs two: a delta or an outline that several
        repositories know stands in the document of each.
Rule 2. The root names documents by their digests. So whoever has read a root has read one state, whatever is written
        meanwhile, and a new root is the moment at which a new state begins.
Rule 3. The same ledger gives the same bytes; one record a line, in a stable order.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, Self, TypeVar

from ..keys import Key, repository_of
from ..oci.digest import DiffID, Digest
from ..oci.fields import Fields, parse_json_object
from ..tardiff.layer.outline import Outline, OutlineError
from .ledger import SCHEMA, Ledger
from .records.deltas import DeltaKey, DeltaRecord, RetractionRecord
from .records.fields import parse_diff_id, read_time, write_time
from .records.keys import KeyRecord
from .records.repositories import RemovalRecord, RepositoryRecord
from .records.rules import RemoteRecord

MAX_DOCUMENT_SIZE: Final = 1 << 28
MAX_ROOT_SIZE: Final = 1 << 30  # up to schema 3, it is all of the ledger

T = TypeVar("T")

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What the ledger says of one repository. Without a `record` it is published no longer, but keys of it are there,
    or it is remembered that it was removed."""

    record: RepositoryRecord | None = None
    outlines: Mapping[DiffID, Outline] = field(default_factory=dict)
    deltas: Mapping[DeltaKey, DeltaRecord] = field(default_factory=dict)
    removals: Mapping[str, RemovalRecord] = field(default_factory=dict)
    keys: Mapping[Key, KeyRecord] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, raw: bytes) -> Self:
        """Raises FieldError, also for the document of another repository."""
        fields = Fields(parse_json_object(raw, max_objects=None))
        if (other := fields.text("repository")) != name:
            raise fields.error("repository", f"is {other[:80]!r}")
        return cls(
            record=RepositoryRecord.read(fields.object("record")) if fields.has("record") else None,
            outlines=read_outlines(fields.object("outlines")),
            deltas=read_deltas(fields),
            removals=read_removals(fields),
            keys=read_keys(fields.object("keys")),
        )

    def serialise(self, name: str) -> bytes:
        return _document(
            f'"repository": {_encode(name)}',
            *([] if self.record is None else [f'"record": {_encode(self.record.to_json())}']),
            _members("outlines", self.outlines),
            f'"deltas": [\n{_lines(_encode(self.deltas[key].to_json()) for key in sorted(self.deltas))}\n]',
            *([_members("removals", self.removals)] if self.removals else []),
            _members("keys", self.keys),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A repository needs no look while all of what it came is as it was `seen`, from `since` and until `until`, where
    these are known."""

    seen: str
    since: datetime | None = None
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        since, until = (read_time(fields, name) if fields.has(name) else None for name in ("since", "until"))
        return cls(seen=fields.text("seen"), since=since, until=until)

    def to_json(self) -> dict[str, Any]:
        times = {"since": self.since, "until": self.until}
        return {"seen": self.seen} | {name: write_time(time) for name, time in times.items() if time is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """Which documents are valid, by repository, which repositories are at rest, and what belongs to no repository, or
    to any."""

    documents: Mapping[str, Digest] = field(default_factory=dict)
    rests: Mapping[str, Rest] = field(default_factory=dict)
    keys: Mapping[Key, KeyRecord] = field(default_factory=dict)
    retractions: Mapping[str, RetractionRecord] = field(default_factory=dict)
    remotes: Mapping[str, RemoteRecord] = field(default_factory=dict)
    renewed: datetime | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Raises FieldError."""
        repositories = fields.object("repositories")
        found = {name: repositories.object(name) for name in repositories.names()}
        return cls(
            documents={name: entry.digest("document") for name, entry in found.items()},
            rests={name: Rest.read(entry) for name, entry in found.items() if entry.has("seen")},
            keys=read_keys(fields.object("keys")),
            retractions=read_retractions(fields),
            remotes=_read_named(fields, "remotes", RemoteRecord.read),
            renewed=read_time(fields, "renewed") if fields.has("renewed") else None,
        )

    def serialise(self) -> bytes:
        found = {
            name: {"document": str(digest)} | (self.rests[name].to_json() if name in self.rests else {})
            for name, digest in sorted(self.documents.items())
        }
        names = (f"{_encode(name)}: {_encode(entry)}" for name, entry in found.items())
        return _document(
            f'"schema": {SCHEMA}',
            *([f'"renewed": {_encode(write_time(self.renewed))}'] if self.renewed else []),
            f'"repositories": {{\n{_lines(names)}\n}}',
            *([_members("retractions", self.retractions)] if self.retractions else []),
            *([_members("remotes", self.remotes)] if self.remotes else []),
            _members("keys", self.keys),
        )


def divide(ledger: Ledger) -> tuple[dict[str, Part], dict[Key, KeyRecord]]:
    """The part of each repository, and the keys that belong to none.

    A delta belongs to each repository that has its two ends or its blob. One that belongs to nobody is forgotten.
    """
    shared: dict[Key, KeyRecord] = {}
    keys: dict[str, dict[Key, KeyRecord]] = {}
    for key, record in ledger.keys.items():
        name = repository_of(key)
        (shared if name is None else keys.setdefault(name, {}))[key] = record
    removals: dict[str, dict[str, RemovalRecord]] = {}
    for what, removal in ledger.removals.items():
        removals.setdefault(_repository_of(what), {})[what] = removal
    deltas = _Deltas(ledger.deltas)
    parts = {}
    for name in sorted(ledger.repositories.keys() | keys.keys() | removals.keys()):
        found = ledger.repositories.get(name)
        layers = dict.fromkeys(layer.diff_id for layer in found.layers()) if found is not None else {}
        own = keys.get(name, {})
        parts[name] = Part(
            record=found,
            outlines={diff_id: ledger.outlines[diff_id] for diff_id in layers if diff_id in ledger.outlines},
            deltas=deltas.of(layers, own),
            removals=removals.get(name, {}),
            keys=own,
        )
    return parts, shared


def join(parts: Mapping[str, Part], root: Root) -> Ledger:
    """The ledger that these are parts of."""
    outlines: dict[DiffID, Outline] = {}
    deltas: dict[DeltaKey, DeltaRecord] = {}
    removals: dict[str, RemovalRecord] = {}
    keys = dict(root.keys)
    for _, part in sorted(parts.items()):
        outlines |= part.outlines
        deltas |= part.deltas
        removals |= part.removals
        keys |= part.keys
    records = {name: part.record for name, part in sorted(parts.items()) if part.record is not None}
    return Ledger(
        repositories=records,
        outlines=outlines,
        deltas=deltas,
        keys=keys,
        removals=removals,
        retractions=root.retractions,
        remotes=root.remotes,
        renewed=root.renewed,
    )


class _Deltas:
    """Finds the deltas of a repository without looking at those of all others."""

    def __init__(self, records: Mapping[DeltaKey, DeltaRecord]) -> None:
        self._records = records
        self._by_end: dict[DiffID, list[DeltaKey]] = {}
        self._by_blob: dict[Digest, list[DeltaKey]] = {}
        for key, record in records.items():
            self._by_end.setdefault(key.to_diff_id, []).append(key)
            if record.digest is not None:
                self._by_blob.setdefault(record.digest, []).append(key)

    def of(self, layers: Mapping[DiffID, None], keys: Mapping[Key, KeyRecord]) -> dict[DeltaKey, DeltaRecord]:
        return {key: self._records[key] for key in sorted({*self._between(layers), *self._stored(keys)})}

    def _between(self, layers: Mapping[DiffID, None]) -> Iterator[DeltaKey]:
        for diff_id in layers:
            for key in self._by_end.get(diff_id, ()):
                if key.from_diff_id in layers:
                    yield key

    def _stored(self, keys: Mapping[Key, KeyRecord]) -> Iterator[DeltaKey]:
        for record in keys.values():
            yield from self._by_blob.get(record.digest, ())


def read_outlines(fields: Fields) -> dict[DiffID, Outline]:
    return {parse_diff_id(fields, name): _outline(fields, name) for name in fields.names()}


def read_deltas(fields: Fields) -> dict[DeltaKey, DeltaRecord]:
    records = [DeltaRecord.read(entry) for entry in fields.objects("deltas")]
    return {record.key: record for record in records}


def read_removals(fields: Fields) -> dict[str, RemovalRecord]:
    return _read_named(fields, "removals", RemovalRecord.read)


def read_retractions(fields: Fields) -> dict[str, RetractionRecord]:
    return _read_named(fields, "retractions", RetractionRecord.read)


def _read_named(fields: Fields, section: str, read: Callable[[Fields], T]) -> dict[str, T]:
    """The records of a section that is left out where it is empty."""
    if not fields.has(section):
        return {}
    records = fields.object(section)
    return {name: read(records.object(name)) for name in records.names()}


def read_keys(fields: Fields) -> dict[Key, KeyRecord]:
    return {Key(name): KeyRecord.read(fields.object(name)) for name in fields.names()}


def _repository_of(removed: str) -> str:
    """`team/app` of `team/app:1.0` and of `team/app@sha256:…`, see `removal`."""
    return removed.partition("@")[0].partition(":")[0]


def _outline(fields: Fields, name: str) -> Outline:
    try:
        return Outline.from_json(fields.value(name))
    except OutlineError as error:
        raise fields.error(name, str(error)) from error


class _Record(Protocol):
    def to_json(self) -> Any: ...


def _members(section: str, records: Mapping[Any, _Record]) -> str:
    lines = (f"{_encode(str(name))}: {_encode(records[name].to_json())}" for name in sorted(records))
    return f'"{section}": {{\n{_lines(lines)}\n}}'


def _lines(lines: Iterator[str]) -> str:
    return ",\n".join(lines)


def _document(*sections: str) -> bytes:
    return ("{\n" + ",\n".join(sections) + "\n}\n").encode("utf-8")
