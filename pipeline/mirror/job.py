"""The run of a mirror, of the publisher's own steps: blobs first, so that what cannot be had is left out in time."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from ..config import Config
from ..errors import DeltapressError, ExitCode, InternalError
from ..history.moves import moves_between
from ..history.records.repositories import RepositoryRecord
from ..history.records.rules import RulesRecord
from ..history.removal import is_removed
from ..history.resolver import ContentResolver, find_stored
from ..keys import Key, Phase, classify
from ..oci.digest import Digest
from ..progress import Progress
from ..publish import Outcome, Settings, steps
from ..publish.begin import History, load_history
from ..publish.carried_out import carried_out
from ..publish.prune import without_lost
from ..publish.repair import forget_lost
from ..publish.rules import rules_of
from ..publish.run import Order, Run
from ..publish.trial import try_out
from ..publish.write import SourceChangedError, plan_writes, write_entries
from ..targets.base import ReadableTarget, Target
from .mirrored import record_of_mirror
from .originals import Originals, Room
from .reading import Copied, read_repository
from .selection import Selection
from .source import Source

_LAY_OUT: Final = (steps.plan_jobs, steps.mention_retracted, steps.assemble_tree)
_SAY: Final = (steps.mention_foreign, steps.plan_writing, steps.mark_unreferenced, steps.plan_deletion)
_FINISH: Final = (
    steps.write_all,
    steps.mark_unreferenced,
    steps.settle_clock,
    steps.plan_deletion,
    steps.delete,
    steps.forget_unwanted,
    steps.save,
)


class MirrorError(DeltapressError):
    """This source cannot be mirrored there."""

    exit_code = ExitCode.BAD_CONFIGURATION


def mirror(
    source: ReadableTarget,
    target: Target,
    selection: Selection,
    config: Config,
    settings: Settings,
    *,
    has_ledger: bool,
    is_dry: bool,
    progress: Progress,
) -> Outcome:
    """Make `target` show what `source` shows, as far as it is selected.

    `config` says how long what is un-listed stays, and how much may be deleted; it names no repositories. A source that
    `has_ledger` is a store, which may have a publisher's: it is asked for that first. See the guarantees in the README
    for what a reader of the target sees meanwhile, and after a crash.

    Raises:
        MirrorError: the source is the target, or shows nothing of what is mirrored there.
        TargetError: the storage failed, or another publisher holds the lock; or the source failed as a whole.
        LedgerError: a newer deltapress wrote a ledger.
        ForeignFilesError: something that is not ours would be overwritten.
    """
    _check_apart(source.url, target.url)

    def work(order: Order) -> Outcome:
        loaded = load_history(order.store, settings)
        shown = Source(source, target, loaded.ledger, has_ledger=has_ledger)
        reading = _Mirror(order, loaded, shown, selection)
        run = Run.after(reading.history(), order)
        to_do: tuple[steps.Step, ...] = (*_LAY_OUT, steps.refuse_foreign, reading.copy_blobs, *_FINISH)
        if is_dry:
            to_do = (*_LAY_OUT, *_SAY)
        if run.history.failed and not (loaded.ledger.keys or run.ledger.repositories):
            to_do = ()  # a mistyped name, say, leaves no tree that shows nothing
        for step in to_do:
            step(run)
        moves = () if loaded.is_rebuilt else tuple(moves_between(loaded.ledger, run.ledger))
        return replace(run.outcome, repositories=tuple(reading.names), moves=moves)

    return carried_out(work, config, target, settings, is_dry=is_dry, progress=progress)


def _check_apart(source: str, target: str) -> None:
    """Raises MirrorError where one of them is the other, or lies inside of it: each would find the other's files."""
    one, other = (f"{Path(url).resolve() if url.startswith('/') else url}/" for url in (source, target))
    if one == other:
        raise MirrorError(f"{source} is the source and the target; name two different ones")
    if one.startswith(other) or other.startswith(one):
        raise MirrorError(f"{source} and {target} lie in each other; name places that lie side by side")


class _Mirror:
    """What of the source was read, and how it changes the ledger."""

    def __init__(self, order: Order, loaded: History, source: Source, selection: Selection) -> None:
        self._order, self._loaded, self._source, self._selection = order, loaded, source, selection
        self._ledger = loaded.ledger
        self._copied: dict[str, Copied] = {}
        self._failed: dict[str, DeltapressError] = {}
        self._notes: list[str] = []
        self._url = source.tree.url
        found = find_stored(self._ledger, order.target)
        self._resolver = ContentResolver.of(order.target, self._ledger, layouts=self._copied, found=found)
        self._gone: frozenset[str] = frozenset()
        self._room = Room()
        self.names: list[str] = []

    def history(self) -> History:
        """What is remembered, after everything that is selected was read."""
        named = self._selection.names
        shown = list(named) if named is not None else self._source.repositories()
        self.names = [name for name in dict.fromkeys(shown) if self._selection.has_repository(name)]
        gone = [
            name
            for name, record in self._ledger.repositories.items()
            if named is None
            and name not in self.names
            and self._selection.has_repository(name)
            and record.mirrored_from == self._url
        ]
        if not self.names and not gone:
            raise MirrorError(f"{self._url} shows no repository that is chosen; nothing was changed")
        self._notes += [f"{name}: is at the source no longer, and is published no longer" for name in gone]
        with self._order.progress.task("read", len(self.names)) as task:
            for name in self.names:
                self._guarded(name, partial(self._read, name))
                task.advance()
        if gone and not self._copied:  # nor do names that cannot be read show that those are gone
            raise MirrorError(
                f"{self._url} shows none of the {len(gone):,} repositories that are mirrored from it; nothing was "
                "changed. If that is right, remove each with `deltapress remove`"
            )
        self._gone = frozenset(gone)
        return self._history()

    def copy_blobs(self, run: Run) -> None:
        """Copy all blobs, and go on without what cannot be had."""
        spoiled: dict[Key, SourceChangedError] = {}
        missing = plan_writes(run.tree, run.ledger, stores_headers=self._order.target.properties.stores_headers)
        run.ledger, written = write_entries(
            self._order.store,
            [entry for entry in missing if entry.phase <= Phase.BLOBS],
            run.ledger,
            run.history.resolver,
            progress=self._order.progress,
            spoiled=spoiled,
        )
        run.done.written += written
        by_repository: dict[str, dict[Digest, str]] = {}
        for key, error in spoiled.items():
            parsed = classify(key)
            if parsed is None or parsed.digest is None or parsed.repository not in self._copied:
                raise error  # of what is published here from layouts, nothing should be missing
            by_repository.setdefault(parsed.repository, {})[parsed.digest] = error.problem
        for name, problems in by_repository.items():
            self._copied[name].leave_out(problems)
        if spoiled:
            run.history = self._history()
            run.ledger = replace(run.ledger, repositories=run.history.ledger.repositories)
            run.notes = [*run.history.notes]
            for step in _LAY_OUT:
                step(run)

    def _read(self, name: str) -> None:
        if is_removed(self._ledger, name):
            self._notes.append(f"{name}: was removed here; `deltapress remove --undo {name}` lets it be mirrored again")
            return
        before = self._ledger.repositories.get(name, RepositoryRecord())
        # of what was rebuilt from the tree nobody knows any more
        is_forgotten = before.rules is None and (self._loaded.is_rebuilt or name in self._loaded.bad)
        if before.images and not is_forgotten and before.mirrored_from is None:
            raise MirrorError(f"{name} is published here from a layout; mirror it into another target")
        if before.mirrored_from not in (None, self._url) and not self._order.settings.force:
            raise MirrorError(
                f"{name} is mirrored here from {before.mirrored_from}; mirror it into another target, or, if that has "
                "moved, with --force"
            )
        originals = Originals(
            source=self._source.tree, repository=name, own=self._ledger, resolver=self._resolver, room=self._room
        )
        self._copied[name] = read_repository(self._source, self._selection, name, before, originals, self._ledger)

    def _history(self) -> History:
        repositories = {name: record for name, record in self._ledger.repositories.items() if name not in self._gone}
        rules = RulesRecord(
            versions=0, max_ratio=0.0, grace=self._order.config.policy.grace, formats=(), mirrored_from=self._url
        )
        told = [f"{name}: {line}" for name, copied in self._copied.items() for line in copied.notes]
        for name, copied in self._copied.items():
            before = self._ledger.repositories.get(name, RepositoryRecord())
            record = record_of_mirror(copied.whole, before, rules, now=self._order.settings.now)
            repositories.pop(name, None)
            if record is not None:
                repositories[name] = record
                self._guarded(name, partial(self._try_out, name, record))
            elif before.images:
                self._failed[name] = MirrorError(
                    f"{name}: no tag at {self._url} is chosen any more, and nothing of it was changed here; if that is "
                    f"right, remove it with `deltapress remove {name}`"
                )
            else:
                told.append(f"{name}: has no tag that is chosen, and no image for the platforms")
        for name in self._failed:
            repositories.pop(name, None)
            if name in self._ledger.repositories:
                repositories[name] = self._ledger.repositories[name]
        unfinished, lost = forget_lost(repositories, self._resolver, ledger=self._ledger, damage={})
        return replace(
            self._loaded,
            ledger=replace(
                self._ledger,
                repositories=repositories,
                deltas=without_lost(self._ledger.deltas, self._resolver.found),
            ),
            resolver=self._resolver,
            failed=self._failed,
            notes=(*self._loaded.notes, *self._notes, *told, *unfinished),
            lost=tuple(lost),
        )

    def _try_out(self, name: str, record: RepositoryRecord) -> None:
        after = replace(self._ledger, repositories={name: record})
        if record != self._ledger.repositories.get(name):
            order = self._order
            rules = rules_of(order.config, after)[name]
            try_out(
                name,
                after,
                rules,
                site=order.config.site,
                properties=order.target.properties,
                now=order.settings.now,
            )

    def _guarded(self, name: str, what: Callable[[], None]) -> None:
        """Whatever goes wrong with a repository is its failure alone, a mistake of ours too."""
        try:
            what()
        except DeltapressError as error:
            self._failed[name] = error
        except Exception as error:  # noqa: BLE001 - a mistake of ours, which is reported as what it is
            self._failed[name] = InternalError(error)
