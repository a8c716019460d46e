"""The ledger as a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..keys import LEDGER_KEY, Key
from ..oci.digest import DiffID
from ..tardiff.layer.outline import Outline
from .records.deltas import DeltaKey, DeltaRecord, RetractionRecord
from .records.keys import KeyRecord
from .records.repositories import RemovalRecord, RepositoryRecord
from .records.rules import RemoteRecord

# 4: one document for each repository, below a root. Each schema demands that readers of earlier ones refuse: they would
# drop without a word what they do not know, such as the rules of other configurations and what was removed (2), or what
# was retracted (3), or whence something is mirrored (4). Ledgers of all of them are read.
SCHEMA: Final = 4


class LedgerError(DeltapressError):
    """A ledger that cannot be used. `is_newer` when a newer deltapress wrote it: then the tree must not be touched."""

    exit_code = ExitCode.TARGET_FAILED

    def __init__(self, problem: str, *, is_newer: bool = False) -> None:
        self.problem, self.is_newer = problem, is_newer
        super().__init__(f"{LEDGER_KEY}: {problem}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The memory of a publisher. A value: every change gives a new one.

    `keys` are the only ones that it may delete; `removals` and `retractions` are by name, see there; `remotes` are
    flatpak's, to which repositories belong; `renewed` is when the marks of keys last began to count again.
    """

    repositories: Mapping[str, RepositoryRecord] = field(default_factory=dict)
    outlines: Mapping[DiffID, Outline] = field(default_factory=dict)
    deltas: Mapping[DeltaKey, DeltaRecord] = field(default_factory=dict)
    keys: Mapping[Key, KeyRecord] = field(default_factory=dict)
    removals: Mapping[str, RemovalRecord] = field(default_factory=dict)
    retractions: Mapping[str, RetractionRecord] = field(default_factory=dict)
    remotes: Mapping[str, RemoteRecord] = field(default_factory=dict)
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

    def with_deltas(self, records: Iterable[DeltaRecord]) -> "Ledger":
        return replace(self, deltas={**self.deltas, **{record.key: record for record in records}})
