"""How a run is to be carried out, and what came of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ..deltas.job import Failed
from ..deltas.plan import DeltaPlan
from ..deltas.savings import Saving
from ..errors import DeltapressError, ExitCode, InternalError
from ..history.ledger import Ledger
from ..history.moves import TagMove
from ..history.records.deltas import DeltaRecord
from ..layout import BrokenTag
from ..tree.static import Entry
from .prune import PrunePlan
from .repair import Repair
from .write import Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is to be carried out. `jobs` threads and `memory` bytes for making deltas; `wait` seconds for the
    lock; `repair` doubts every key that the ledger knows; `adopt` overwrites what somebody else had there before;
    `look` loads everything, though nothing can have changed; `clock` tells seconds, and never goes back: without it
    nothing is said about how long anything took; `report` makes of an outcome, or of the error that ended a run, what
    is kept of it in the target: without it nothing is."""

    now: datetime
    jobs: int
    memory: int
    prune: bool = True
    force: bool = False
    repair: bool = False
    adopt: bool = False
    look: bool = False
    wait: float = 0.0
    temporary: Path | None = None
    clock: Callable[[], float] | None = None
    report: "Callable[[Outcome | Exception], Mapping[str, Any]] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run, `started` then, did, or, when `is_dry`, would do. Where all `is_at_rest`, nothing was loaded and
    looked at.

    `failed` maps a repository to what is wrong with it, `broken` one of the others to its tags that were left out.
    `made` and `refused` are the deltas that were decided for good, `delta_failures` the others that were tried;
    `writes` is for a dry run; `prune_problem` says why nothing was deleted, when something could have been. `repairs`
    are what a repair found and did, `lost` a line for each image that it could not put back. `moves` are the tags that
    moved, `seconds` what each stage took.
    """

    is_dry: bool
    started: datetime
    is_at_rest: bool = False
    ledger: Ledger
    plan: DeltaPlan
    repositories: tuple[str, ...]
    failed: Mapping[str, DeltapressError] = field(default_factory=dict)
    broken: Mapping[str, tuple[BrokenTag, ...]] = field(default_factory=dict)
    made: tuple[DeltaRecord, ...] = ()
    refused: tuple[DeltaRecord, ...] = ()
    delta_failures: tuple[Failed, ...] = ()
    writes: tuple[Entry, ...] = ()
    written: Written = field(default_factory=Written)
    savings: tuple[Saving, ...] = ()
    prune: PrunePlan = field(default_factory=PrunePlan)
    is_pruned: bool = False
    prune_problem: str | None = None
    repairs: tuple[Repair, ...] = ()
    lost: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    moves: tuple[TagMove, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """True where nothing was written, made, deleted or put back."""
        is_pruned = self.is_pruned and self.prune.remove
        return not (self.written.keys or self.made or self.refused or self.repairs or is_pruned)

    @property
    def exit_code(self) -> ExitCode:
        is_internal = any(isinstance(error, InternalError) for error in self.failed.values())
        if self.failed and len(self.failed) == len(self.repositories) and not is_internal:
            return ExitCode.BAD_INPUT
        if self.failed or self.broken or self.delta_failures or self.prune_problem or self.lost:
            return ExitCode.PARTLY_DONE
        return ExitCode.SUCCESS
