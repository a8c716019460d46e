"""Publish, dry run, prune, reconcile."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..config import Config
from ..content import Content
from ..deltas.layers import LayerSource
from ..deltas.make import Failed, Made, Result, Workshop, make_deltas
from ..deltas.plan import DeltaPlan, Rules, plan_deltas
from ..deltas.savings import savings
from ..errors import DeltapressError
from ..history.ledger import Ledger, LedgerError
from ..history.records import LayerRecord
from ..history.store import LedgerStore
from ..keys import Key, Phase, repository_of
from ..progress import Progress, Silent
from ..tardiff.encoder import GENERATOR, EncoderOptions
from ..tardiff.pool import Pool
from ..targets.base import LockInfo, Target
from ..targets.stored import StoredContent
from ..tree.pages import page_files, server_files
from ..tree.static import Entry, Tree, assemble, blob_entry, check_case
from .begin import History, load, read_history, scopes_of
from .clocks import disagreement, settle_marks
from .outcome import Outcome, Settings
from .prune import PrunePlan, TooMuchError, check_share, execute, forget_deltas, forgive, mark, plan_prune, plan_removal
from .reconcile import Reconciliation, compare_keys, delete_stray
from .repair import Repair, broken_keys, remove_spoiled
from .write import SourceChangedError, Stock, Written, plan_writes, publish, stored_content


def run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Publish. See the guarantees in the README for what a reader sees meanwhile, and after a crash.

    Raises:
        TargetError: the storage failed, or another publisher holds the lock.
        LedgerError: a newer deltapress wrote the ledger.
        CollisionError: two names cannot stand in one tree.
        TooMuchLostError: a repair would un-list so much that a person must say so.
    """
    with target.lock(now=settings.now, wait=settings.wait) as held:
        press = _Press(config, target, settings, progress, held)
        failed: dict[str, DeltapressError] = {}
        while True:
            try:
                return press.publish(failed)
            except SourceChangedError as error:
                if error.repository in failed:
                    raise
                # rare: a layout changed between check and copy; the others go on without it
                failed[error.repository] = error


def dry_run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Say what `run` would do. Writes nothing, and takes no lock. Raises what `run` raises."""
    return _Press(config, target, settings, progress).dry_run()


def prune(config: Config, target: Target, settings: Settings, *, is_dry: bool, progress: Progress) -> Outcome:
    """Delete what has been unreferenced for longer than the grace period, from the ledger alone.

    Raises what `run` raises, and LedgerError when there is no ledger to prune by.
    """
    if is_dry:
        return _Press(config, target, settings, progress).prune(is_dry=True)
    with target.lock(now=settings.now, wait=settings.wait) as held:
        return _Press(config, target, settings, progress, held).prune(is_dry=False)


def reconcile(target: Target, settings: Settings, *, is_dry: bool, progress: Progress) -> Reconciliation:
    """Compare the listing of the target with the ledger, and with `settings.force` delete what is stray.

    Raises:
        TargetError: the storage failed, or another publisher holds the lock.
        LedgerError: there is no ledger that could be compared.
    """
    store = LedgerStore(target)
    with nullcontext() if is_dry else target.lock(now=settings.now, wait=settings.wait):
        ledger = store.load()
        if ledger is None:
            raise LedgerError("is missing, so nothing can be compared with it; `deltapress publish` makes a new one")
        found = compare_keys(target.keys(), ledger)
        if is_dry or not settings.force or not found.stray:
            return found
        delete_stray(store, found, progress=progress)
        return replace(found, is_deleted=True)


class _Press:
    """One run over one target, which is `held` unless the run is dry."""

    def __init__(
        self, config: Config, target: Target, settings: Settings, progress: Progress, held: LockInfo | None = None
    ) -> None:
        self._config, self._target, self._settings, self._progress = config, target, settings, progress
        self._held = held or LockInfo()
        self._grace = {repository.name: repository.policy.grace for repository in config.repositories}
        self._waiting = {
            repository.name for repository in config.repositories if repository.policy.order == "deltas-first"
        }
        self._options = EncoderOptions(effort=config.effort)
        self._store = LedgerStore(target)
        self._written = Written()
        self._damage: dict[Key, str] = {}
        self._broken: dict[Key, str] = {}

    def publish(self, given_up: Mapping[str, DeltapressError]) -> Outcome:
        """`given_up` are the repositories with which an earlier attempt of the run failed."""
        history = read_history(self._store, self._config, self._settings, given_up, progress=self._progress)
        ledger = history.ledger
        plan = self._plan(ledger)
        tree = self._tree(ledger, plan)
        if self._settings.repair:
            self._damage |= history.damage
            remove_spoiled(self._target, history.damage, ledger.keys)
            ledger = self._write(tree, ledger, history)  # whatever the order: what is broken is un-listed first
            if not history.is_rebuilt:
                ledger = self._remove_broken(tree, ledger, history)
        else:
            ledger = self._write(tree, ledger, history, is_ready=self._is_early)
        made: list[Made] = []
        failures: list[Failed] = []
        for result in self._make(plan, ledger, history):
            if isinstance(result, Failed):
                failures.append(result)
            else:
                made.append(replace(result, content=None))
                ledger = self._store_delta(result, plan, ledger, history)
        tree = self._tree(ledger, plan)
        ledger = self._write(tree, ledger, history)
        ledger = mark(ledger, tree, now=self._settings.now)
        ledger, settled = self._settle(ledger)
        prune_plan, problem = self._plan_prune(ledger, is_rebuilt=history.is_rebuilt, unread=_unread(history))
        if not self._settings.prune:
            problem = None  # nothing was to be deleted
        is_pruned = problem is None and self._settings.prune
        if is_pruned:
            ledger = execute(self._store, prune_plan, ledger, progress=self._progress)
        ledger = forget_deltas(ledger, (want.key for want in plan.wanted))
        self._store.save(ledger)
        return self._outcome(
            ledger,
            plan,
            failed=history.failed,
            broken=history.broken,
            notes=(*history.notes, *settled),
            made=tuple(made),
            delta_failures=tuple(failures),
            prune=prune_plan,
            is_pruned=is_pruned,
            prune_problem=problem,
            repairs=self._repairs(),
            lost=history.lost,
        )

    def dry_run(self) -> Outcome:
        history = read_history(self._store, self._config, self._settings, {}, progress=self._progress)
        plan = self._plan(history.ledger)
        tree = self._tree(history.ledger, plan)
        marked = mark(history.ledger, tree, now=self._settings.now)
        prune_plan, problem = self._plan_prune(marked, is_rebuilt=history.is_rebuilt, unread=_unread(history))
        return self._outcome(
            history.ledger,
            plan,
            is_dry=True,
            failed=history.failed,
            broken=history.broken,
            notes=history.notes,
            writes=plan_writes(tree, history.ledger, stores_headers=self._target.properties.stores_headers),
            prune=prune_plan,
            prune_problem=problem,
        )

    def prune(self, *, is_dry: bool) -> Outcome:
        loaded = load(self._store, self._settings)
        ledger, settled = self._settle(loaded.ledger)
        prune_plan, problem = self._plan_prune(ledger, is_rebuilt=loaded.rebuilt is not None)
        is_pruned = problem is None and not is_dry
        if is_pruned:
            ledger = execute(self._store, prune_plan, ledger, progress=self._progress)
        if not is_dry and loaded.rebuilt is None:
            self._store.save(ledger)
        return self._outcome(
            ledger,
            self._plan(ledger),
            is_dry=is_dry,
            notes=settled,
            prune=prune_plan,
            is_pruned=is_pruned,
            prune_problem=problem,
        )

    def _plan(self, ledger: Ledger) -> DeltaPlan:
        # a repository that is no longer configured keeps its deltas, by the policy for all
        rules = {name: Rules(policy=self._config.policy) for name in ledger.repositories}
        rules |= {
            repository.name: Rules(policy=repository.policy, scopes=scopes_of(repository))
            for repository in self._config.repositories
        }
        return plan_deltas(ledger, rules, generator=GENERATOR, options=self._options.key)

    def _tree(self, ledger: Ledger, plan: DeltaPlan) -> Tree:
        extras = page_files(ledger, tuple(savings(ledger, plan.wanted)))
        extras |= self._server_files
        tree = assemble(ledger, plan.wanted, extras=extras, stores_headers=self._target.properties.stores_headers)
        if self._target.properties.folds_case:
            check_case(tree)
        return tree

    @cached_property
    def _server_files(self) -> Mapping[Key, bytes]:
        return server_files(stores_headers=self._target.properties.stores_headers)

    def _is_early(self, entry: Entry) -> bool:
        """True for what does not wait for deltas."""
        if entry.phase <= Phase.REFERRERS:
            return True
        return not self._waiting if entry.repository is None else entry.repository not in self._waiting

    def _write(
        self, tree: Tree, ledger: Ledger, history: History, *, is_ready: Callable[[Entry], bool] = bool
    ) -> Ledger:
        """Write what the target lacks of `tree` and `is_ready`."""
        ledger = forgive(ledger, tree)
        missing = plan_writes(tree, ledger, stores_headers=self._target.properties.stores_headers)
        stock = Stock(fresh=history.fresh, target=self._target, found=history.found)
        entries = tuple(entry for entry in missing if is_ready(entry))
        ledger, written = publish(self._store, entries, ledger, stock, progress=self._progress)
        self._written += written
        return ledger

    def _make(self, plan: DeltaPlan, ledger: Ledger, history: History) -> Iterator[Result]:
        if not plan.jobs:
            return
        stored = stored_content(ledger)

        def content(layer: LayerRecord) -> Content:
            found = history.anywhere(layer.digest)
            return found or StoredContent(target=self._target, key=stored[layer.digest], size=layer.size)

        with (
            TemporaryDirectory(prefix="deltapress-", dir=self._settings.temporary) as directory,
            Pool(workers=self._settings.jobs, memory=self._settings.memory) as pool,
        ):
            workshop = Workshop(
                layers=LayerSource(content=content, limits=self._config.limits),
                directory=Path(directory),
                pool=pool,
                options=self._options,
            )
            yield from make_deltas(plan.jobs, workshop, progress=self._progress)

    def _store_delta(self, result: Made, plan: DeltaPlan, ledger: Ledger, history: History) -> Ledger:
        """Remember a result, and store the delta wherever it will be listed."""
        ledger = replace(ledger, deltas={**ledger.deltas, result.job.key: result.record})
        if result.content is None or result.record.digest is None:
            return ledger
        fresh = result.content
        names = {want.repository for want in plan.wanted if want.key == result.job.key and want.accepts(result.record)}
        entries = [blob_entry(name, result.record.digest, result.record.size) for name in sorted(names)]
        stock = Stock(fresh=lambda _repository, _digest: fresh, target=self._target, found=history.found)
        ledger, written = publish(self._store, entries, ledger, stock, progress=Silent(), is_followed=True)
        self._written += written
        return ledger

    def _remove_broken(self, tree: Tree, ledger: Ledger, history: History) -> Ledger:
        """Delete what nobody can use, with which the tree goes on without."""
        self._broken |= broken_keys(ledger, tree.entries, self._target)
        gone = [key for key in (*history.damage, *self._broken) if key in ledger.keys and key not in tree.entries]
        removal = plan_removal(ledger, dict.fromkeys(gone), now=self._settings.now)
        return execute(self._store, removal, ledger, progress=self._progress)

    def _repairs(self) -> tuple[Repair, ...]:
        problems = {**self._broken, **self._damage}
        return tuple(
            Repair(key=key, problem=problem, remedy="written again" if key in self._written.sizes else "removed")
            for key, problem in sorted(problems.items())
        )

    def _plan_prune(self, ledger: Ledger, *, is_rebuilt: bool, unread: str = "") -> tuple[PrunePlan, str | None]:
        """What may go, and why it must stay all the same."""
        plan = plan_prune(ledger, self._grace_of, now=self._settings.now)
        if not plan.remove:
            return plan, None
        if is_rebuilt:
            return plan, "the ledger was rebuilt in this run"
        if unread:
            return plan, unread
        waited = timedelta(seconds=self._settings.wait)
        if (doubt := disagreement(self._settings.now, self._held.clock, waited=waited)) is not None:
            return plan, doubt
        if not self._settings.force:
            try:
                check_share(plan, self._config.max_delete)
            except TooMuchError as error:
                return plan, str(error)
        return plan, None

    def _settle(self, ledger: Ledger) -> tuple[Ledger, tuple[str, ...]]:
        """Also a line for the user, or none."""
        ledger, note = settle_marks(ledger, self._grace_of, now=self._settings.now, last=self._held.last)
        return ledger, () if note is None else (note,)

    def _grace_of(self, key: Key) -> timedelta:
        return self._grace.get(repository_of(key) or "", self._config.policy.grace)

    def _outcome(self, ledger: Ledger, plan: DeltaPlan, *, notes: tuple[str, ...], **what: Any) -> Outcome:
        return Outcome(
            ledger=ledger,
            plan=plan,
            repositories=tuple(repository.name for repository in self._config.repositories),
            written=self._written,
            savings=tuple(savings(ledger, plan.wanted)),
            notes=(*notes, *self._held.caveats),
            **what,
        )


def _unread(history: History) -> str:
    """What of the layouts could not be read, and may hold what would be deleted; empty where all could."""
    broken = sum(map(len, history.broken.values()))
    parts = [f"{len(history.failed)} of the repositories"] if history.failed else []
    parts += [f"{broken} of the tags"] if broken else []
    return f"{' and '.join(parts)} could not be read" if parts else ""
