"""Compare the keys of a target with those of the ledger, and delete on demand what was forgotten there.

Rule 1. The target is listed once; nothing else in this program needs its listing while there is a ledger.
Rule 2. A key that the ledger does not know is *stray* if it is of a kind that a publisher writes: it may be left
        from a ledger that was lost. It is deleted only when a person says so.
Rule 3. Any other unknown key is somebody else's and never touched, nor is what the ledger knows touched here.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass
from itertools import groupby

from ..errors import ExitCode
from ..history.ledger import Ledger
from ..history.store import LedgerStore
from ..keys import Key, Phase, classify
from ..parallel import threads
from ..progress import Progress
from .ranks import document_ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """`stray` and `foreign` keys are unknown to the ledger; `missing` are known to it and not there. `total` counts the
    keys of the target."""

    stray: tuple[Key, ...]
    foreign: tuple[Key, ...]
    missing: tuple[Key, ...]
    total: int
    is_deleted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.VERIFICATION_FAILED if self.missing else ExitCode.SUCCESS


def compare_keys(keys: Iterable[Key], ledger: Ledger, *, own: Set[Key]) -> Reconciliation:
    """Say what is on one side only; `own` are the keys of the ledger itself. Touches nothing."""
    found = frozenset(keys)
    unknown = found - ledger.keys.keys() - own
    stray = {key for key in unknown if classify(key) is not None}
    return Reconciliation(
        stray=tuple(sorted(stray)),
        foreign=tuple(sorted(unknown - stray)),
        missing=tuple(sorted(key for key, record in ledger.keys.items() if not record.is_pending and key not in found)),
        total=len(found),
    )


def delete_stray(store: LedgerStore, found: Reconciliation, *, progress: Progress) -> None:
    """Delete the stray keys, what leads somewhere before what it leads to. Raises TargetError."""
    target = store.target
    ranks = document_ranks(target, found.stray)

    def backwards(key: Key) -> tuple[int, int]:
        return -(_phase_of(key) or 0), -ranks.get(key, 0)

    with progress.task("delete", len(found.stray)) as task, threads(target.properties.concurrency) as each:
        for _, group in groupby(sorted(found.stray, key=backwards), key=backwards):
            for _ in each(target.delete, group):
                task.advance()


def _phase_of(key: Key) -> Phase | None:
    parsed = classify(key)
    return parsed.phase if parsed is not None else None
