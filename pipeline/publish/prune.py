"""Remove what nothing leads to: mark (fail closed) -> PrunePlan -> execute.

Rule 1. A key is removed when the assembled tree does not have it *and* it has been so for longer than the grace period:
        a reader with an old index still finds everything that it names.
Rule 2. Only keys that the ledger knows are removed.
Rule 3. Deleting goes the way of writing backwards: what leads somewhere goes before what it leads to.
Rule 4. A key is pending in the stored ledger before it is deleted. So a run that dies in between leaves nothing that
        the next one takes for stored.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby

from ..errors import DeltapressError, ExitCode
from ..history.ledger import Ledger
from ..history.records.deltas import DeltaKey, DeltaRecord
from ..history.store import LedgerStore
from ..keys import Key
from ..oci.digest import Digest
from ..parallel import threads
from ..progress import Progress
from ..tree.static import Tree


class TooMuchError(DeltapressError):
    """A prune would remove so large a share of the tree that a mistake is likely."""

    exit_code = ExitCode.PARTLY_DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """A key that nothing has led to since then. `size` in bytes."""

    key: Key
    since: datetime
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan:
    """`remove` is in the order of deletion; `waiting` is in its grace period. `total` counts the keys of the tree."""

    remove: tuple[Tombstone, ...] = ()
    waiting: tuple[Tombstone, ...] = ()
    total: int = 0

    @property
    def size(self) -> int:
        """Bytes that the plan frees, hard links counted as if they were copies."""
        return sum(tombstone.size for tombstone in self.remove)

    @property
    def share(self) -> float:
        return len(self.remove) / self.total if self.total else 0.0


def mark(ledger: Ledger, tree: Tree, *, now: datetime) -> Ledger:
    """Note for each known key since when nothing leads to it. The same value when nothing changed."""
    changed = {}
    for key, record in ledger.keys.items():
        since = None if key in tree.entries else record.unreferenced or now
        if since != record.unreferenced:
            changed[key] = replace(record, unreferenced=since)
    return ledger.with_keys(changed) if changed else ledger


def unmark(ledger: Ledger, tree: Tree) -> Ledger:
    """Take the mark from each key that the tree has again: before a run writes what leads to it, not after, or else a
    run that dies in between would leave a reader on what the next one deletes."""
    again = {
        key: replace(record, unreferenced=None)
        for key, record in ledger.keys.items()
        if record.unreferenced is not None and key in tree.entries
    }
    return ledger.with_keys(again) if again else ledger


def plan_prune(
    ledger: Ledger,
    grace_of: Callable[[Key], timedelta],
    *,
    now: datetime,
    spared: Callable[[Key], bool] = lambda _: False,
) -> PrunePlan:
    """Decide what may go of what is marked, but for what is `spared`. Touches nothing.

    A key marked at `now` itself waits even when the grace is zero: zero means "no waiting", not "remove what this very
    run has ceased to name".
    """
    remove: list[Tombstone] = []
    waiting: list[Tombstone] = []
    for key, record in ledger.keys.items():
        if record.unreferenced is not None:
            stone = Tombstone(key=key, since=record.unreferenced, size=record.size)
            expired = record.unreferenced < now and now - record.unreferenced >= grace_of(key)
            (remove if expired and not spared(key) else waiting).append(stone)
    return PrunePlan(
        remove=tuple(sorted(remove, key=lambda stone: (_backwards(ledger, stone.key), stone.key))),
        waiting=tuple(sorted(waiting, key=lambda stone: stone.key)),
        total=len(ledger.keys),
    )


def plan_removal(ledger: Ledger, keys: Iterable[Key], *, now: datetime) -> PrunePlan:
    """Remove `keys`, which the ledger knows, without waiting for anything."""
    stones = [
        Tombstone(key=key, since=ledger.keys[key].unreferenced or now, size=ledger.keys[key].size) for key in keys
    ]
    return PrunePlan(
        remove=tuple(sorted(stones, key=lambda stone: (_backwards(ledger, stone.key), stone.key))),
        total=len(ledger.keys),
    )


def check_share(plan: PrunePlan, max_delete: float) -> None:
    """Raises TooMuchError when the plan removes more than the share `max_delete` of all keys."""
    if plan.share > max_delete:
        raise TooMuchError(
            f"prune would delete {len(plan.remove):,} of {plan.total:,} keys, more than max_delete = {max_delete:g} "
            "allows; nothing was deleted. Look at `deltapress prune --dry-run`; if it is right, run prune with --force"
        )


def execute(store: LedgerStore, plan: PrunePlan, ledger: Ledger, *, progress: Progress) -> Ledger:
    """Delete what the plan removes. Raises TargetError; what is not deleted then is by the next run."""
    if not plan.remove:
        return ledger
    target = store.target
    keys = [stone.key for stone in plan.remove]
    pending = ledger.with_pending(keys)
    store.save(pending)
    with progress.task("prune", len(keys)) as task, threads(target.properties.concurrency) as each:
        for _, group in groupby(keys, key=lambda key: _backwards(ledger, key)):
            for _ in each(target.delete, group):
                task.advance()
    remaining = pending.without_keys(keys)
    store.save(remaining)
    return remaining


def forget_deltas(ledger: Ledger, wanted: Iterable[DeltaKey]) -> Ledger:
    """Leave out the records of deltas that no image wants, once their blobs are gone too."""
    needed = set(wanted)
    stored = {record.digest for record in ledger.keys.values()}
    known = without_lost(ledger.deltas, stored)
    deltas = {key: record for key, record in known.items() if key in needed or record.digest is not None}
    return replace(ledger, deltas=deltas) if deltas != ledger.deltas else ledger


def without_lost(deltas: Mapping[DeltaKey, DeltaRecord], stored: Container[Digest]) -> Mapping[DeltaKey, DeltaRecord]:
    """The records, with those marked as not stored whose bytes are gone: they are made again when they are wanted."""
    return {
        key: record if record.digest is None or record.digest in stored else replace(record, digest=None)
        for key, record in deltas.items()
    }


def _backwards(ledger: Ledger, key: Key) -> tuple[int, int]:
    phase, rank = ledger.keys[key].order
    return -phase, -rank
