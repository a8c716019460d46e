"""The state of one run, which its steps change one after the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from ..config import Config
from ..deltas.job import Failed
from ..deltas.plan import DeltaPlan
from ..deltas.savings import savings
from ..history.ledger import Ledger
from ..history.moves import moves_at
from ..history.records.deltas import DeltaRecord
from ..history.removal import Removable
from ..history.store import LedgerStore
from ..keys import Key
from ..progress import Progress
from ..targets.base import LockInfo, Target
from ..tree.static import Entry, Tree
from .begin import History
from .outcome import Outcome, Settings
from .prune import PrunePlan
from .repair import Repair
from .rules import graces
from .write import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a run was told: on which target, by which configuration, how. Without a `lock` it is dry. What was removed
    `at_once` does not wait for the grace period."""

    config: Config
    store: LedgerStore
    settings: Settings
    progress: Progress
    lock: LockInfo | None = None
    at_once: Removable | None = None

    @property
    def target(self) -> Target:
        return self.store.target


@dataclass(slots=True)
class Done:
    """What a run has written, and what a repair has met, in all of its attempts: keys, each with its problem. `seconds`
    are what each stage took in all of them."""

    written: Written = field(default_factory=Written)
    damage: dict[Key, str] = field(default_factory=dict)
    misserved: dict[Key, str] = field(default_factory=dict)
    broken: dict[Key, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str, clock: Callable[[], float] | None) -> Iterator[None]:
        """Count what happens meanwhile as a part of `stage`."""
        start = clock() if clock is not None else 0.0
        try:
            yield
        finally:
            if clock is not None:
                self.seconds[stage] = self.seconds.get(stage, 0.0) + clock() - start

    @property
    def repairs(self) -> tuple[Repair, ...]:
        served = {key: problem for key, problem in self.misserved.items() if key in self.written.sizes}
        problems = {**self.broken, **served, **self.damage}
        return tuple(
            Repair(key=key, problem=problem, remedy="written again" if key in self.written.sizes else "removed")
            for key, problem in sorted(problems.items())
        )


@dataclass(slots=True, kw_only=True)
class Run:
    """How far an attempt has come.

    `history` is what was found when it began. `ledger` is what is true now, though it is not saved with each change;
    `plan` and `tree` are what is to be made and written. The rest is for the outcome.
    """

    order: Order
    done: Done
    history: History
    ledger: Ledger
    plan: DeltaPlan = field(default_factory=lambda: DeltaPlan(wanted=(), jobs=(), skipped=()))
    tree: Tree = field(default_factory=Tree)
    server_files: Mapping[Key, bytes] | None = None
    made: list[DeltaRecord] = field(default_factory=list)
    refused: list[DeltaRecord] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    writes: tuple[Entry, ...] = ()
    deletion: PrunePlan = field(default_factory=PrunePlan)
    is_pruned: bool = False
    prune_problem: str | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def after(cls, history: History, order: Order, done: Done | None = None) -> "Run":
        """A run that has read its history, and nothing more."""
        return cls(order=order, done=done or Done(), history=history, ledger=history.ledger, notes=[*history.notes])

    @property
    def grace_of(self) -> Callable[[Key], timedelta]:
        """How long a key stays, unreferenced."""
        return graces(self.order.config, self.ledger)

    @property
    def outcome(self) -> Outcome:
        lock = self.order.lock
        return Outcome(
            is_dry=lock is None,
            started=self.order.settings.now,
            ledger=self.ledger,
            plan=self.plan,
            repositories=tuple(repository.name for repository in self.order.config.repositories),
            failed=self.history.failed,
            broken=self.history.broken,
            made=tuple(self.made),
            refused=tuple(self.refused),
            delta_failures=tuple(self.failures),
            writes=self.writes,
            written=self.done.written,
            savings=tuple(savings(self.ledger, self.plan.wanted)),
            prune=self.deletion,
            is_pruned=self.is_pruned,
            prune_problem=self.prune_problem,
            repairs=self.done.repairs,
            lost=self.history.lost,
            notes=(*self.notes, *self.tree.notes, *(lock.caveats if lock is not None else ())),
            moves=() if self.history.is_rebuilt else tuple(moves_at(self.ledger, self.order.settings.now)),
            seconds=self.done.seconds,
        )
