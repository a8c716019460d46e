"""Publish, dry run, prune, recall, remove, retract, tag, reconcile: which steps each takes, in which order.

The order is the promise of README, "Guarantees"; what a step does is told where it is defined, in `steps`.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Final

from ..config import Config
from ..errors import DeltapressError
from ..history.ledger import LedgerError
from ..history.removal import Removable
from ..history.reports import report_keys
from ..history.retraction import Retractable
from ..history.store import LedgerStore
from ..oci.digest import Digest
from ..progress import Progress
from ..targets.base import Target
from . import steps
from .begin import load_history, read_history
from .carried_out import carried_out
from .outcome import Outcome, Settings
from .reconcile import Reconciliation, compare_keys, delete_stray
from .removal import history_of_pointing, history_of_removal, history_of_retraction
from .rest import outcome_at_rest
from .run import Done, Order, Run
from .steps import Step
from .write import SourceChangedError

_CLEAN_UP: Final = (
    steps.mark_unreferenced,
    steps.settle_clock,
    steps.plan_deletion,
    steps.delete,
    steps.forget_unwanted,
    steps.save,
)
PUBLISH: Final = (
    steps.plan_jobs,
    steps.mention_retracted,
    steps.assemble_tree,
    steps.refuse_foreign,
    steps.write_images,
    steps.make_missing_deltas,
    steps.settle_budget,
    steps.assemble_tree,
    steps.write_all,
    *_CLEAN_UP,
)
REPAIR: Final = (
    steps.plan_jobs,
    steps.mention_retracted,
    steps.assemble_tree,
    steps.refuse_foreign,
    steps.remove_damage,
    steps.write_all,  # whatever waits for deltas otherwise: what is broken is un-listed before anything is made
    steps.remove_broken,
    steps.make_missing_deltas,
    steps.settle_budget,
    steps.assemble_tree,
    steps.write_all,
    *_CLEAN_UP,
)
DRY_RUN: Final = (
    steps.plan_jobs,
    steps.mention_retracted,
    steps.assemble_tree,
    steps.mention_foreign,
    steps.plan_writing,
    steps.mark_unreferenced,
    steps.delete_at_once,
    steps.plan_deletion,
)
PRUNE: Final = (
    steps.spare_foreign_page,
    steps.plan_jobs,
    steps.settle_clock,
    steps.plan_deletion,
    steps.delete,
    steps.save_loaded,
)
DRY_PRUNE: Final = (steps.spare_foreign_page, steps.plan_jobs, steps.settle_clock, steps.plan_deletion)

UN_LIST: Final = (
    steps.spare_foreign_page,
    steps.plan_jobs,
    steps.mention_retracted,
    steps.assemble_tree,
    steps.refuse_foreign,
    steps.write_all,
    steps.mark_unreferenced,
    steps.delete_at_once,
    *_CLEAN_UP,
)

# Under which name the time of a step is counted.
_STAGES: Final[Mapping[Step, str]] = {
    steps.plan_jobs: "plan",
    steps.settle_budget: "plan",
    steps.assemble_tree: "plan",
    steps.write_images: "write",
    steps.write_all: "write",
    steps.make_missing_deltas: "deltas",
    steps.delete: "delete",
}


def run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Publish. See the guarantees in the README for what a reader sees meanwhile, and after a crash.

    Raises:
        TargetError: the storage failed, or another publisher holds the lock.
        LedgerError: a newer deltapress wrote the ledger.
        CollisionError: two names cannot stand in one tree.
        TooMuchLostError: a repair would un-list so much that a person must say so.
        ForeignFilesError: something that is not ours would be overwritten.
    """
    return carried_out(_publish, config, target, settings, progress=progress)


def _publish(order: Order) -> Outcome:
    settings = order.settings
    done = Done()
    with done.timed("read", settings.clock):
        nothing = outcome_at_rest(order)
    if nothing is not None:
        return replace(nothing, seconds=done.seconds)
    given_up: dict[str, DeltapressError] = {}
    while True:
        try:
            with done.timed("read", settings.clock):
                history = read_history(order.store, order.config, settings, given_up, progress=order.progress)
            return _take(REPAIR if settings.repair else PUBLISH, Run.after(history, order, done))
        except SourceChangedError as error:
            if error.repository in given_up:
                raise
            # rare: a layout changed between check and copy; the others go on without it
            given_up[error.repository] = error


def dry_run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Say what `run` would do. Writes nothing, and takes no lock. Raises what `run` raises."""
    order = Order(config=config, store=LedgerStore(target), settings=settings, progress=progress)
    return _take(DRY_RUN, Run.after(read_history(order.store, config, settings, {}, progress=progress), order))


def prune(config: Config, target: Target, settings: Settings, *, is_dry: bool, progress: Progress) -> Outcome:
    """Delete what has been unreferenced for longer than the grace period, from the ledger alone.

    Raises what `run` raises, and LedgerError when there is no ledger to prune by.
    """

    def work(order: Order) -> Outcome:
        return _take(DRY_PRUNE if is_dry else PRUNE, Run.after(load_history(order.store, settings), order))

    return carried_out(work, config, target, settings, is_dry=is_dry, progress=progress)


def recall(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """What is published, and which deltas are wanted, from the ledger alone. Raises what `run` raises."""
    order = Order(config=config, store=LedgerStore(target), settings=settings, progress=progress)
    return _take((steps.plan_jobs,), Run.after(load_history(order.store, settings), order))


def remove(
    what: Removable,
    config: Config,
    target: Target,
    settings: Settings,
    *,
    is_undo: bool,
    is_dry: bool,
    is_now: bool = False,
    progress: Progress,
) -> Outcome:
    """Un-list something at once and for good, or put it back; what is un-listed is deleted after its grace period, or,
    when it `is_now`, in this run.

    Raises what `run` raises, RemovalError when nothing goes by that name, and LedgerError when there is no ledger.
    """

    def work(order: Order) -> Outcome:
        history = history_of_removal(order.store, what, settings, is_undo=is_undo)
        order = replace(order, at_once=what if is_now else None)
        return _take(DRY_RUN if is_dry else UN_LIST, Run.after(history, order))

    return carried_out(work, config, target, settings, is_dry=is_dry, progress=progress)


def tag(
    what: Removable,
    image: Digest | str,
    config: Config,
    target: Target,
    settings: Settings,
    *,
    is_dry: bool,
    progress: Progress,
) -> Outcome:
    """Point the tag `what` to another image of its repository, a digest or a tag, and keep it there.

    Raises what `run` raises, PointingError when one of them is not published, and LedgerError when there is no ledger.
    """

    def work(order: Order) -> Outcome:
        history = history_of_pointing(order.store, what, image, settings)
        return _take(DRY_RUN if is_dry else UN_LIST, Run.after(history, order))

    return carried_out(work, config, target, settings, is_dry=is_dry, progress=progress)


def retract(
    what: Retractable,
    config: Config,
    target: Target,
    settings: Settings,
    *,
    is_undo: bool,
    is_dry: bool,
    progress: Progress,
) -> Outcome:
    """Un-list deltas at once and for good, or list them again as far as they are still there.

    Raises what `run` raises, RetractionError when no deltas go by that name, and LedgerError when there is no ledger.
    """

    def work(order: Order) -> Outcome:
        history = history_of_retraction(order.store, what, config, settings, is_undo=is_undo)
        return _take(DRY_RUN if is_dry else UN_LIST, Run.after(history, order))

    return carried_out(work, config, target, settings, is_dry=is_dry, progress=progress)


def _take(chosen: Sequence[Step], run: Run) -> Outcome:
    for step in chosen:
        with run.done.timed(_STAGES.get(step, "other"), run.order.settings.clock):
            step(run)
    return run.outcome


def reconcile(target: Target, settings: Settings, *, is_dry: bool, progress: Progress) -> Reconciliation:
    """Compare the listing of the target with the ledger, and with `settings.force` delete what is stray.

    Raises:
        TargetError: the storage failed, or another publisher holds the lock.
        LedgerError: there is no ledger that could be compared.
    """
    store = LedgerStore(target)
    with nullcontext() if is_dry else target.lock(now=settings.now, wait=settings.wait):
        stored = store.load()
        if stored is None:
            raise LedgerError("is missing, so nothing can be compared with it; `deltapress publish` makes a new one")
        for name, problem in sorted(stored.bad.items()):
            raise LedgerError(f"does not tell what {name} has ({problem}); `deltapress publish` finds that out again")
        found = compare_keys(target.keys(), stored.ledger, own=store.keys | report_keys(target))
        if is_dry or not settings.force or not found.stray:
            return found
        delete_stray(store, found, progress=progress)
        return replace(found, is_deleted=True)
