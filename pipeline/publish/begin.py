"""The ledger, after every layout that can be read was seen.

Nothing is written here: what is remembered is saved with the first key that is.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from ..config import Config, Repository
from ..config.values import Site
from ..demand.known import Demand
from ..errors import DeltapressError, InternalError
from ..history.ledger import Ledger, LedgerError
from ..history.records.repositories import RepositoryRecord
from ..history.removal import admitted, is_removed
from ..history.renaming import carry_over
from ..history.resolver import ContentResolver, find_stored
from ..history.retention import pinned_images, retain
from ..history.scan import Seen, scan_repository
from ..history.store import LedgerStore, StoredLedger
from ..history.versions import advance
from ..keys import LEDGER_KEY, Key
from ..layout import BrokenTag
from ..layout.check import Known
from ..oci.digest import Digest
from ..progress import Progress
from ..targets.base import Properties, ReadableTarget
from ..tree.published import PublishedRepository, by_repository
from ..tree.templates import OwnTemplateError
from .adopt import without_foreign_page
from .origins import Origins
from .outcome import Settings
from .prune import without_lost
from .rebuild import rebuild
from .repair import check_losses, find_damage, find_misserved, forget_lost
from .rules import remotes_of, rules_for, rules_record, scopes_of
from .trial import try_out


class MirroredError(DeltapressError):
    """What is mirrored has its images and its deltas from elsewhere, and not from a layout."""

    def __init__(self, repository: str, source: str) -> None:
        super().__init__(
            f"repository {repository} is mirrored here from {source}; publish it to another target, or under another "
            "name"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """The ledger as it was found, or an empty one, or, when `rebuilt` says why, one made from the tree.

    `present` are the keys that the target had where there was no ledger and nothing like ours. `bad` are the
    repositories of which alone that was made from the tree, and why.
    """

    ledger: Ledger
    present: Set[Key] | None = None
    rebuilt: str | None = None
    bad: Mapping[str, str] = field(default_factory=dict)

    @property
    def notes(self) -> Iterator[str]:
        """Lines for the user."""
        if self.rebuilt is not None:
            yield (
                f"{self.rebuilt}. It was rebuilt from the tree; all deltas are made again, and this run deletes nothing"
            )
        for name, problem in sorted(self.bad.items()):
            yield (
                f"{name}: {problem}. What the ledger says of it was rebuilt from the tree; its deltas are made again, "
                "and this run deletes nothing of it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is remembered and what was seen.

    `resolver` finds content in the layouts that could be read and in the target, whose keys are `present` where it had
    no ledger; `failed` says what is wrong with the other layouts, `damage` what a repair found wrong, `misserved` whole
    bytes that the storage would not serve as they were written; `notes` are lines for the user, `lost` those about
    images that were published and are whole nowhere. `bad` are the repositories that are as good as rebuilt, and why;
    `origins` are the marks of what those of the configuration come of, before anything of that was read.
    """

    ledger: Ledger
    is_rebuilt: bool
    resolver: ContentResolver
    failed: Mapping[str, DeltapressError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    present: Set[Key] | None = None
    damage: Mapping[Key, str] = field(default_factory=dict)
    misserved: Mapping[Key, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()
    bad: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def broken(self) -> dict[str, tuple[BrokenTag, ...]]:
        """The tags that could not be read, by repository."""
        return {name: layout.broken for name, layout in self.resolver.layouts.items() if layout.broken}

    @property
    def unread(self) -> str:
        """What of the layouts could not be read, and may hold what would be deleted; empty where all could."""
        broken = sum(map(len, self.broken.values()))
        parts = [f"{len(self.failed)} of the repositories"] if self.failed else []
        parts += [f"{broken} of the tags"] if broken else []
        return f"{' and '.join(parts)} could not be read" if parts else ""


def load_history(store: LedgerStore, settings: Settings) -> History:
    """What is remembered, with no look at the layouts. Raises what `_load` raises."""
    loaded = _load(store, settings)
    return History(
        ledger=loaded.ledger,
        is_rebuilt=loaded.rebuilt is not None,
        resolver=ContentResolver.of(store.target, loaded.ledger),
        notes=tuple(loaded.notes),
        bad=loaded.bad,
        present=loaded.present,
    )


def _load(store: LedgerStore, settings: Settings) -> _Loaded:
    """Raises LedgerError for the ledger of a newer deltapress, TargetError."""
    try:
        stored = store.load()
    except LedgerError as error:
        if error.is_newer:
            raise
        problem = str(error)
    else:
        if stored is not None:
            return _Loaded(ledger=_completed(stored, store.target, settings), bad=stored.bad)
        present = frozenset(store.target.keys())
        if not by_repository(present):
            return _Loaded(ledger=Ledger(), present=present)
        problem = f"{LEDGER_KEY} is missing, though the target is not empty"
    return _Loaded(ledger=rebuild(store.target, now=settings.now), rebuilt=problem)


def _completed(stored: StoredLedger, target: ReadableTarget, settings: Settings) -> Ledger:
    """What was found, with what the tree tells of the repositories whose documents are bad. Raises TargetError."""
    if not stored.bad:
        return stored.ledger
    found = rebuild(target, now=settings.now, only=stored.bad.keys())
    repositories = {**stored.ledger.repositories, **found.repositories}
    return replace(stored.ledger.with_keys(found.keys), repositories=dict(sorted(repositories.items())))


def read_history(
    store: LedgerStore,
    config: Config,
    settings: Settings,
    given_up: Mapping[str, DeltapressError],
    *,
    progress: Progress,
) -> History:
    """See every layout but those of `given_up`. What cannot be read stays as it was published.

    Raises what `_load` raises, and TooMuchLostError.
    """
    loaded = _load(store, settings)
    ledger = loaded.ledger
    if not config.site.pages:
        ledger = without_foreign_page(store.target, ledger)
    damage: dict[Key, str] = {}
    misserved: dict[Key, str] = {}
    if settings.repair:
        damage = find_damage(store.target, ledger.keys, progress=progress)
        whole = {key: record for key, record in ledger.keys.items() if key not in damage}
        misserved = find_misserved(store.target, whole, progress=progress)
        ledger = ledger.with_pending(damage)
    again = "; repair once more to remove what is broken" if settings.repair else ""
    notes = [f"{line}{again}" for line in loaded.notes]
    origins = Origins(config)
    marks = {repository.name: origins.mark_of(repository) for repository in config.repositories}
    seen, failed = _scan(config, ledger, settings, given_up, progress=progress)
    found = find_stored(ledger, store.target, damaged=damage)
    if settings.repair:
        found = _copies(ledger) | found
    while True:
        layouts = {name: layout for name, layout in seen.items() if name not in failed}
        resolver = ContentResolver.of(store.target, ledger, layouts=layouts, found=found)
        try:
            history = _remembered(ledger, resolver, layouts, store, config, settings, damage)
        except _FaultError as fault:
            failed[fault.repository] = fault.error
            continue
        return replace(
            history,
            is_rebuilt=loaded.rebuilt is not None,
            bad=loaded.bad,
            origins=marks,
            failed=failed,
            present=loaded.present,
            notes=(*notes, *history.notes),
            damage=damage,
            misserved=misserved,
        )


def _remembered(
    ledger: Ledger,
    resolver: ContentResolver,
    seen: Mapping[str, Seen],
    store: LedgerStore,
    config: Config,
    settings: Settings,
    damage: Mapping[Key, str],
) -> History:
    """What `ledger` becomes with what was `seen` in the layouts, in which `resolver` finds content.

    Raises:
        _FaultError: something is wrong inside one repository.
        TooMuchLostError: a repair would un-list too much.
    """
    notes = [f"{name}: {line}" for name, layout in seen.items() for line in layout.notes]
    repositories = dict(ledger.repositories)
    for repository in config.repositories:
        name = repository.name
        if is_removed(ledger, name):
            notes.append(f"{name}: was removed; `deltapress remove --undo {name}` lets it be published again")
        elif name in seen:
            with _within(name):
                names = (name, *repository.formerly)
                observation, barred = admitted(seen[name].observation, ledger.removals, names)
                notes.extend(f"{name}: {line}" for line in barred)
                resolver.carry_over(name, repository.formerly)
                known = repositories.get(name, RepositoryRecord())
                if known.mirrored_from is not None:
                    raise MirroredError(name, known.mirrored_from)
                if not known.images:
                    notes.extend(_unknown_former_names(repository, ledger))
                before = carry_over(known, repository.formerly, ledger.repositories)
                repositories[name] = advance(before, observation, now=settings.now)
    unfinished, lost = forget_lost(repositories, resolver, ledger=ledger, damage=damage)
    notes.extend(unfinished)
    if settings.repair and not settings.force:
        images = sum(len(record.images) for record in ledger.repositories.values())
        check_losses(len(damage), lost=len(lost), images=images, max_delete=config.max_delete)
    demand = Demand()
    for repository in config.repositories:
        name = repository.name
        if name in seen and name in repositories:
            with _within(name):
                notes.extend(_idle_pins(repository, repositories[name]))
                kept = _retained(repository, repositories[name], config, settings, demand)
                repositories[name] = kept
                if not kept.images:
                    del repositories[name]
    notes.extend(demand.problems)
    notes.extend(unconfigured_notes(config, repositories))
    used = {layer.diff_id for record in repositories.values() for layer in record.layers()}
    outlines = {**ledger.outlines}
    for layout in seen.values():
        outlines |= layout.outlines
    after = replace(
        ledger,
        repositories=repositories,
        remotes=remotes_of(config, ledger, repositories),
        outlines={diff_id: outline for diff_id, outline in outlines.items() if diff_id in used},
        deltas=without_lost(ledger.deltas, resolver.found),
    )
    tried = [repository for repository in config.repositories if repository.name in seen]
    _try_out(after, ledger, tried, store.target.properties, site=config.site, now=settings.now)
    return History(ledger=after, is_rebuilt=False, resolver=resolver, notes=tuple(notes), lost=tuple(lost))


def _try_out(
    after: Ledger,
    before: Ledger,
    repositories: Iterable[Repository],
    properties: Properties,
    *,
    site: Site,
    now: datetime,
) -> None:
    """Try each repository that has changed, in the order of the configuration. Raises _FaultError."""
    for repository in repositories:
        name = repository.name
        if name in after.repositories and after.repositories[name] != before.repositories.get(name):
            with _within(name):
                rules = rules_for(repository, after.repositories[name])
                try_out(name, after, rules, site=site, properties=properties, now=now)


class _FaultError(Exception):
    """Something went wrong inside a repository, and concerns no other."""

    def __init__(self, repository: str, error: DeltapressError) -> None:
        super().__init__(repository)
        self.repository, self.error = repository, error


@contextmanager
def _within(repository: str) -> Iterator[None]:
    """Where whatever goes wrong is a fault of that repository alone, our own mistakes too; a user's template is not."""
    try:
        yield
    except OwnTemplateError:  # which would meet it in each of them
        raise
    except DeltapressError as error:
        raise _FaultError(repository, error) from error
    except Exception as error:  # a mistake of ours that one layout meets must not stop the others
        raise _FaultError(repository, InternalError(error)) from error


def _unknown_former_names(repository: Repository, ledger: Ledger) -> Iterator[str]:
    for former in repository.formerly:
        if former not in ledger.repositories:
            yield f"{repository.name}: `formerly` names {former}, but nothing was published under that name"


def _idle_pins(repository: Repository, record: RepositoryRecord) -> Iterator[str]:
    for pin in repository.pins:
        if not pinned_images(record, pin):
            yield f"{repository.name}: the pin {pin} holds nothing, since no published image or tag has that name"


def _retained(
    repository: Repository, record: RepositoryRecord, config: Config, settings: Settings, demand: Demand
) -> RepositoryRecord:
    kept = retain(record, scopes_of(repository), policy=repository.policy, pins=repository.pins, now=settings.now)
    return replace(kept, rules=rules_record(repository, config, demand.pulls(repository, kept)))


def unconfigured_notes(config: Config, published: Iterable[str]) -> Iterator[str]:
    """A line for each of the `published` repositories that `config` does not name."""
    now_called = {former: known.name for known in config.repositories for former in known.formerly}
    for name in sorted({*published} - {known.name for known in config.repositories}):
        if name in now_called:
            yield f"{name}: goes on as {now_called[name]}; left as it is, until `deltapress remove {name}`"
        else:
            yield f"{name}: published, but not in {config.path.name}; left as it is"


def _scan(
    config: Config,
    ledger: Ledger,
    settings: Settings,
    given_up: Mapping[str, DeltapressError],
    *,
    progress: Progress,
) -> tuple[dict[str, Seen], dict[str, DeltapressError]]:
    stored = by_repository(key for key, record in ledger.keys.items() if not record.is_pending)
    seen: dict[str, Seen] = {}
    failed = dict(given_up)
    with progress.task("layouts", len(config.repositories)) as task:
        for repository in config.repositories:
            if repository.name not in failed and not is_removed(ledger, repository.name):
                try:
                    with _within(repository.name):
                        seen[repository.name] = scan_repository(
                            repository,
                            known=_known(stored.get(repository.name), ledger.repositories.get(repository.name)),
                            limits=config.limits,
                            jobs=settings.jobs,
                        )
                except _FaultError as fault:
                    failed[repository.name] = fault.error
            task.advance()
    return seen, failed


def _known(stored: PublishedRepository | None, record: RepositoryRecord | None) -> Known:
    """What needs no check. What another repository has is not known here: whoever names its digest must have it."""
    if stored is None or record is None:
        return Known()
    images = {image.manifest for image in record.platform_images()}
    return Known(blobs=stored.blobs.keys(), manifests=stored.manifests.keys(), images=images & stored.manifests.keys())


def _copies(ledger: Ledger) -> dict[Digest, Key]:
    """Where the same bytes stand under other names: a tag has those of its manifest. Tags move last."""
    return {record.digest: key for key, record in ledger.keys.items() if not record.is_pending}
