"""The ledger as a value and as JSON."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Protocol, Self

from ..errors import DeltapressError, ExitCode
from ..keys import LEDGER_KEY, Key
from ..oci.digest import DiffID
from ..oci.fields import FieldError, Fields, parse_json_object
from ..tardiff.layer.outline import Outline, OutlineError
from .records import (
    DeltaKey,
    DeltaRecord,
    KeyRecord,
    RemovalRecord,
    RepositoryRecord,
    RetractionRecord,
    parse_diff_id,
    read_time,
    write_time,
)

# 2: the rules by which a repository was published, and what was removed. A reader of schema 1 would drop them without a
# word: another configuration would take a repository's deltas away, and a layout would bring back what was removed. So
# it must refuse. Schema 1 is still read.
# 3: what was retracted. A reader of schema 2 would list again what clients choke on. Where nothing is retracted, 2 is
# written: both can read that.
SCHEMA: Final = 3
_SCHEMA_WITHOUT_RETRACTIONS: Final = 2
MAX_LEDGER_SIZE: Final = 1 << 30

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class LedgerError(DeltapressError):
    """A ledger that cannot be used. `is_newer` when a newer deltapress wrote it: then the tree must not be touched."""

    exit_code = ExitCode.TARGET_FAILED

    def __init__(self, problem: str, *, is_newer: bool = False) -> None:
        self.problem, self.is_newer = problem, is_newer
        super().__init__(f"{LEDGER_KEY}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The whole memory of a publisher. A value: every change gives a new one.

    `keys` are the only ones that it may delete; `removals` and `retractions` are by name, see there; `renewed` is when
    the marks of keys last began to count again.
    """

    repositories: Mapping[str, RepositoryRecord] = field(default_factory=dict)
    outlines: Mapping[DiffID, Outline] = field(default_factory=dict)
    deltas: Mapping[DeltaKey, DeltaRecord] = field(default_factory=dict)
    keys: Mapping[Key, KeyRecord] = field(default_factory=dict)
    removals: Mapping[str, RemovalRecord] = field(default_factory=dict)
    retractions: Mapping[str, RetractionRecord] = field(default_factory=dict)
    renewed: datetime | None = None

    def with_keys(self, records: Mapping[Key, KeyRecord]) -> "Ledger":
        return replace(self, keys={**self.keys, **records})

    def with_pending(self, keys: Iterable[Key]) -> "Ledger":
        """From now on nothing is certain about `keys`, which it knows."""
        return self.with_keys({key: replace(self.keys[key], is_pending=True) for key in keys})

    def without_keys(self, keys: Iterable[Key]) -> "Ledger":
        """`keys` were deleted."""
        gone = frozenset(keys)
        return replace(self, keys={key: record for key, record in self.keys.items() if key not in gone})

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Raises LedgerError."""
        try:
            fields = Fields(parse_json_object(raw, max_objects=None))
            schema = fields.integer("schema")
            if schema > SCHEMA:
                raise LedgerError(
                    f"has schema {schema}, this deltapress knows up to {SCHEMA}; use the newer one that wrote it",
                    is_newer=True,
                )
            return cls._read(fields)
        except FieldError as error:
            raise LedgerError(f"cannot be read: {error}") from error

    @classmethod
    def _read(cls, fields: Fields) -> Self:
        repositories, keys, outlines = (fields.object(name) for name in ("repositories", "keys", "outlines"))
        removals, retractions = (
            fields.object(name) if fields.has(name) else Fields({}) for name in ("removals", "retractions")
        )
        deltas = [DeltaRecord.read(entry) for entry in fields.objects("deltas")]
        return cls(
            repositories={name: RepositoryRecord.read(repositories.object(name)) for name in repositories.names()},
            outlines={parse_diff_id(outlines, name): _outline(outlines, name) for name in outlines.names()},
            deltas={delta.key: delta for delta in deltas},
            keys={Key(name): KeyRecord.read(keys.object(name)) for name in keys.names()},
            removals={name: RemovalRecord.read(removals.object(name)) for name in removals.names()},
            retractions={name: RetractionRecord.read(retractions.object(name)) for name in retractions.names()},
            renewed=read_time(fields, "renewed") if fields.has("renewed") else None,
        )

    def serialise(self, known: "Lines | None" = None) -> bytes:
        """JSON with a stable order, one record a line: the same ledger gives the same bytes.

        `known` is for who serialises again and again what differs in a few records.
        """
        lines = known or Lines()
        sections = (
            f'"schema": {SCHEMA if self.retractions else _SCHEMA_WITHOUT_RETRACTIONS}',
            *([f'"renewed": {_encode(write_time(self.renewed))}'] if self.renewed else []),
            '"repositories": {\n' + lines.members("repositories", self.repositories) + "\n}",
            '"outlines": {\n' + lines.members("outlines", self.outlines) + "\n}",
            '"deltas": [\n' + lines.elements("deltas", self.deltas) + "\n]",
            *(['"removals": {\n' + lines.members("removals", self.removals) + "\n}"] if self.removals else []),
            *(
                ['"retractions": {\n' + lines.members("retractions", self.retractions) + "\n}"]
                if self.retractions
                else []
            ),
            '"keys": {\n' + lines.members("keys", self.keys) + "\n}",
        )
        return ("{\n" + ",\n".join(sections) + "\n}\n").encode("utf-8")


class _Record(Protocol):
    def to_json(self) -> Any: ...


class Lines:
    """The lines of records, which are made once: a record is a value, and the same one has the same line.

    A ledger of 50,000 keys is saved for every delta, and only a few of its records have changed.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], tuple[_Record, str]] = {}

    def members(self, section: str, records: Mapping[Any, _Record]) -> str:
        """All records of a section with their names, in the order of these."""
        return self._joined(section, records, lambda name: f"{_encode(str(name))}: ")

    def elements(self, section: str, records: Mapping[Any, _Record]) -> str:
        """The same without names."""
        return self._joined(section, records, lambda _: "")

    def _joined(self, section: str, records: Mapping[Any, _Record], prefix: Callable[[Any], str]) -> str:
        lines = []
        for name in sorted(records):
            record = records[name]
            found = self._known.get((section, name))
            if found is None or found[0] is not record:
                found = record, prefix(name) + _encode(record.to_json())
                self._known[section, name] = found
            lines.append(found[1])
        return ",\n".join(lines)


def _outline(fields: Fields, name: str) -> Outline:
    try:
        return Outline.from_json(fields.value(name))
    except OutlineError as error:
        raise fields.error(name, str(error)) from error
