"""The whole run: layouts -> history -> plan -> deltas -> tree -> target, under the target's lock.

Rule 1. One bad repository does not keep the others from being published, but in a run with one nothing is deleted.
Rule 2. By default an image does not wait for its deltas: images and tags are written, then deltas are made, then
        listed. With the order `deltas-first` a repository's tags are written last.
Rule 3. A proven delta is stored and remembered at once: a run that dies later does not make it again.
Rule 4. A run in which nothing changed writes nothing, the ledger included.
Rule 5. What a run that died left unfinished, and no layout has any more, is forgotten: it must not keep the next image
        from being published.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .assemble import Entry, Phase, Tree, assemble, blob_entry
from .config import Config, Repository
from .content import Content
from .diff import Failed, Made, Result, Workshop, make_deltas
from .errors import DeltapressError, ExitCode
from .layers import LayerSource
from .ledger.document import Ledger, LedgerError
from .ledger.records import LayerRecord, RepositoryRecord
from .ledger.store import LedgerStore
from .observe import Seen, observe_repository
from .oci.digest import Digest
from .oci.keys import LEDGER_KEY, Key, repository_of
from .pages import page_files, server_files
from .plan import DeltaPlan, Rules, plan_deltas
from .progress import Progress, Silent
from .prune import PrunePlan, TooMuchError, check_share, execute, forget_deltas, mark, plan_prune, without_lost
from .publish import (
    SourceChangedError,
    Stock,
    StoredContent,
    Written,
    found_content,
    plan_writes,
    publish,
    stored_content,
)
from .published import by_repository
from .rebuild import rebuild
from .savings import Saving, savings
from .tardiff.encoder import GENERATOR, EncoderOptions
from .tardiff.pool import Pool
from .targets.base import Target
from .versions import advance, forget, retain


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is to be carried out. `jobs` threads and `memory` bytes for making deltas; `wait` seconds for the
    lock."""

    now: datetime
    jobs: int
    memory: int
    prune: bool = True
    force: bool = False
    wait: float = 0.0
    temporary: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run did, or, when `is_dry`, would do.

    `failed` maps a repository to what is wrong with it; `made` are the delta jobs that ended, without their bytes;
    `writes` is for a dry run; `prune_problem` says why nothing was deleted, when something could have been.
    """

    is_dry: bool = False
    ledger: Ledger
    plan: DeltaPlan
    repositories: tuple[str, ...]
    failed: Mapping[str, DeltapressError] = field(default_factory=dict)
    made: tuple[Made, ...] = ()
    delta_failures: tuple[Failed, ...] = ()
    writes: tuple[Entry, ...] = ()
    written: Written = field(default_factory=Written)
    savings: tuple[Saving, ...] = ()
    prune: PrunePlan = field(default_factory=PrunePlan)
    is_pruned: bool = False
    prune_problem: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        if self.failed and len(self.failed) == len(self.repositories):
            return ExitCode.BAD_INPUT
        if self.failed or self.delta_failures or self.prune_problem:
            return ExitCode.PARTLY_DONE
        return ExitCode.SUCCESS


def run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Publish. See the guarantees in the README for what a reader sees meanwhile, and after a crash.

    Raises:
        TargetError: the storage failed, or another publisher holds the lock.
        LedgerError: a newer deltapress wrote the ledger.
        CollisionError: two names cannot stand in one tree.
    """
    with target.lock(now=settings.now, wait=settings.wait):
        failed: dict[str, DeltapressError] = {}
        while True:
            press = _Press(config, target, settings, progress, failed)
            try:
                return press.publish()
            except SourceChangedError as error:
                if error.repository in failed:
                    raise
                # rare: a layout changed between check and copy; the others go on without it
                failed[error.repository] = error


def dry_run(config: Config, target: Target, settings: Settings, *, progress: Progress) -> Outcome:
    """Say what `run` would do. Writes nothing, and takes no lock. Raises what `run` raises."""
    return _Press(config, target, settings, progress, {}).dry_run()


def prune(config: Config, target: Target, settings: Settings, *, is_dry: bool, progress: Progress) -> Outcome:
    """Delete what has been unreferenced for longer than the grace period, from the ledger alone.

    Raises what `run` raises, and LedgerError when there is no ledger to prune by.
    """
    if is_dry:
        return _Press(config, target, settings, progress, {}).prune(is_dry=True)
    with target.lock(now=settings.now, wait=settings.wait):
        return _Press(config, target, settings, progress, {}).prune(is_dry=False)


class _Press:
    """One run over one target. `failed` are the repositories that an earlier attempt of the run gave up."""

    def __init__(
        self,
        config: Config,
        target: Target,
        settings: Settings,
        progress: Progress,
        failed: Mapping[str, DeltapressError],
    ) -> None:
        self._config, self._target, self._settings, self._progress = config, target, settings, progress
        self._options = EncoderOptions()
        self._store = LedgerStore(target)
        self._failed = dict(failed)
        self._seen: dict[str, Seen] = {}
        self._notes: list[str] = []
        self._is_rebuilt = False
        self._found: Mapping[Digest, Key] = {}
        self._written = Written()

    def publish(self) -> Outcome:
        ledger = self._observe(self._load())
        plan = self._plan(ledger)
        ledger = self._write((entry for entry in self._missing(ledger, plan) if self._is_early(entry)), ledger)
        made: list[Made] = []
        failures: list[Failed] = []
        for result in self._make(plan, ledger):
            if isinstance(result, Failed):
                failures.append(result)
            else:
                made.append(replace(result, content=None))
                ledger = self._store_delta(result, plan, ledger)
        ledger = self._write(self._missing(ledger, plan), ledger)
        ledger = mark(ledger, self._tree(ledger, plan), now=self._settings.now)
        prune_plan, problem = self._plan_prune(ledger)
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
            made=tuple(made),
            delta_failures=tuple(failures),
            prune=prune_plan,
            is_pruned=is_pruned,
            prune_problem=problem,
        )

    def dry_run(self) -> Outcome:
        ledger = self._observe(self._load())
        plan = self._plan(ledger)
        tree = self._tree(ledger, plan)
        writes = plan_writes(tree, ledger, stores_headers=self._target.stores_headers)
        prune_plan, problem = self._plan_prune(mark(ledger, tree, now=self._settings.now))
        return self._outcome(ledger, plan, is_dry=True, writes=writes, prune=prune_plan, prune_problem=problem)

    def prune(self, *, is_dry: bool) -> Outcome:
        ledger = self._load()
        prune_plan, problem = self._plan_prune(ledger)
        is_pruned = problem is None and not is_dry
        if is_pruned:
            ledger = execute(self._store, prune_plan, ledger, progress=self._progress)
        return self._outcome(
            ledger, self._plan(ledger), is_dry=is_dry, prune=prune_plan, is_pruned=is_pruned, prune_problem=problem
        )

    def _load(self) -> Ledger:
        """The ledger; an empty one for an empty target; a rebuilt one where it is lost or damaged."""
        try:
            ledger = self._store.load()
        except LedgerError as error:
            if error.is_newer:
                raise
            problem = str(error)
        else:
            if ledger is not None:
                return ledger
            if not by_repository(self._target.keys()):
                return Ledger()
            problem = f"{LEDGER_KEY} is missing, though the target is not empty"
        self._is_rebuilt = True
        self._notes.append(
            f"{problem}. It was rebuilt from the tree; all deltas are made again, and this run deletes nothing"
        )
        return rebuild(self._target, now=self._settings.now)

    def _observe(self, ledger: Ledger) -> Ledger:
        """The ledger after all layouts that can be read were seen. What fails stays as it was published."""
        known = {record.digest for record in ledger.keys.values() if not record.is_pending}
        self._found = found_content(ledger, self._target)
        repositories = dict(ledger.repositories)
        outlines = dict(ledger.outlines)
        for repository in self._config.repositories:
            if repository.name in self._failed:
                continue
            try:
                seen = observe_repository(
                    repository,
                    is_known=known.__contains__,
                    max_layer=self._config.limits.layer,
                    jobs=self._settings.jobs,
                )
            except DeltapressError as error:
                self._failed[repository.name] = error
                continue
            self._seen[repository.name] = seen
            self._notes.extend(f"{repository.name}: {line}" for line in seen.skipped)
            repositories[repository.name] = advance(
                repositories.get(repository.name, RepositoryRecord()), seen.observation, now=self._settings.now
            )
            outlines |= seen.outlines
        self._forget_lost(repositories)
        for repository in self._config.repositories:
            if repository.name in self._seen:
                record = repositories[repository.name]
                repositories[repository.name] = retain(record, scopes_of(repository), keep=repository.policy.keep)
        self._notes.extend(
            f"{name}: published, but not in {self._config.path.name}; left as it is"
            for name in sorted(repositories.keys() - {repository.name for repository in self._config.repositories})
        )
        used = {layer.diff_id for record in repositories.values() for layer in record.layers()}
        outlines = {diff_id: outline for diff_id, outline in outlines.items() if diff_id in used}
        deltas = without_lost(ledger.deltas, self._found)
        return replace(ledger, repositories=repositories, outlines=outlines, deltas=deltas)

    def _forget_lost(self, repositories: dict[str, RepositoryRecord]) -> None:
        """Forget the images that were never written to their end, where no layout can give what is missing."""
        for name, record in list(repositories.items()):
            there = self._found.keys() | (self._seen[name].digests if name in self._seen else ())
            whole = forget(record, there)
            if whole is not record:
                repositories[name] = whole
                if not whole.images:
                    del repositories[name]
                lost = ", ".join(digest.short for digest in record.images if digest not in whole.images)
                self._notes.append(f"{name}: forgotten, because it was never published completely: {lost}")

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
        extras |= server_files(stores_headers=self._target.stores_headers)
        return assemble(ledger, plan.wanted, extras=extras, stores_headers=self._target.stores_headers)

    def _missing(self, ledger: Ledger, plan: DeltaPlan) -> tuple[Entry, ...]:
        return plan_writes(self._tree(ledger, plan), ledger, stores_headers=self._target.stores_headers)

    def _is_early(self, entry: Entry) -> bool:
        """True for what does not wait for deltas."""
        waiting = {
            repository.name for repository in self._config.repositories if repository.policy.order != "images-first"
        }
        if entry.phase <= Phase.REFERRERS:
            return True
        return not waiting if entry.repository is None else entry.repository not in waiting

    def _write(self, entries: Iterable[Entry], ledger: Ledger) -> Ledger:
        stock = Stock(fresh=self._fresh, target=self._target, found=self._found)
        ledger, written = publish(self._store, tuple(entries), ledger, stock, progress=self._progress)
        self._written += written
        return ledger

    def _make(self, plan: DeltaPlan, ledger: Ledger) -> Iterator[Result]:
        if not plan.jobs:
            return
        stored = stored_content(ledger)

        def content(layer: LayerRecord) -> Content:
            found = (seen.content(layer.digest) for seen in self._seen.values())
            return next(
                (content for content in found if content is not None),
                StoredContent(target=self._target, key=stored[layer.digest], size=layer.size),
            )

        with (
            TemporaryDirectory(prefix="deltapress-", dir=self._settings.temporary) as directory,
            Pool(workers=self._settings.jobs, memory=self._settings.memory) as pool,
        ):
            workshop = Workshop(
                layers=LayerSource(content=content, max_bytes=self._config.limits.layer),
                directory=Path(directory),
                pool=pool,
                options=self._options,
            )
            yield from make_deltas(plan.jobs, workshop, progress=self._progress)

    def _store_delta(self, result: Made, plan: DeltaPlan, ledger: Ledger) -> Ledger:
        """Remember a result, and store the delta wherever it will be listed."""
        ledger = replace(ledger, deltas={**ledger.deltas, result.job.key: result.record})
        if result.content is None or result.record.digest is None:
            return ledger
        fresh = result.content
        names = {want.repository for want in plan.wanted if want.key == result.job.key and want.accepts(result.record)}
        entries = [blob_entry(name, result.record.digest, result.record.size) for name in sorted(names)]
        stock = Stock(fresh=lambda _repository, _digest: fresh, target=self._target, found=self._found)
        ledger, written = publish(self._store, entries, ledger, stock, progress=Silent())
        self._written += written
        return ledger

    def _plan_prune(self, ledger: Ledger) -> tuple[PrunePlan, str | None]:
        """What may go, and why it must stay all the same."""
        grace = {repository.name: repository.policy.grace for repository in self._config.repositories}

        def grace_of(key: Key) -> timedelta:
            repository = repository_of(key)
            return grace.get(repository, self._config.policy.grace) if repository else self._config.policy.grace

        plan = plan_prune(ledger, grace_of, now=self._settings.now)
        if not plan.remove:
            return plan, None
        if self._is_rebuilt:
            return plan, "the ledger was rebuilt in this run"
        if self._failed:
            return plan, f"{len(self._failed)} of the repositories could not be read"
        if not self._settings.force:
            try:
                check_share(plan, self._config.max_delete)
            except TooMuchError as error:
                return plan, str(error)
        return plan, None

    def _fresh(self, repository: str, digest: Digest) -> Content | None:
        return self._seen[repository].content(digest) if repository in self._seen else None

    def _outcome(self, ledger: Ledger, plan: DeltaPlan, **what: Any) -> Outcome:
        return Outcome(
            ledger=ledger,
            plan=plan,
            repositories=tuple(repository.name for repository in self._config.repositories),
            failed=self._failed,
            written=self._written,
            savings=tuple(savings(ledger, plan.wanted)),
            notes=tuple(self._notes),
            **what,
        )


def scopes_of(repository: Repository) -> tuple[str, ...]:
    return tuple(rule.match for rule in repository.series)
