"""The ledger, after every layout that can be read was seen.

Nothing is written here: what is remembered is saved with the first key that is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..config import Config, Repository
from ..content import Content
from ..errors import DeltapressError
from ..ledger.document import Ledger, LedgerError
from ..ledger.records import RepositoryRecord
from ..ledger.store import LedgerStore
from ..observe import Seen, observe_repository
from ..oci.digest import Digest
from ..oci.keys import LEDGER_KEY, Key
from ..prune import without_lost
from ..publish import found_content
from ..published import by_repository
from ..rebuild import rebuild
from ..versions import advance, forget, retain
from .outcome import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The ledger as it was found, or an empty one, or, when `rebuilt` says why, one made from the tree."""

    ledger: Ledger
    rebuilt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is remembered and what was seen.

    `seen` are the layouts that could be read, `failed` says what is wrong with the others; `found` is the content that
    the target held before the run; `notes` are lines for the user.
    """

    ledger: Ledger
    seen: Mapping[str, Seen]
    failed: Mapping[str, DeltapressError]
    found: Mapping[Digest, Key]
    is_rebuilt: bool
    notes: tuple[str, ...]

    def fresh(self, repository: str, digest: Digest) -> Content | None:
        """The bytes as the repository's layout has them."""
        return self.seen[repository].content(digest) if repository in self.seen else None

    def anywhere(self, digest: Digest) -> Content | None:
        """The bytes from any layout."""
        found = (seen.content(digest) for seen in self.seen.values())
        return next((content for content in found if content is not None), None)


def load(store: LedgerStore, settings: Settings) -> Loaded:
    """Raises LedgerError for the ledger of a newer deltapress, TargetError."""
    try:
        ledger = store.load()
    except LedgerError as error:
        if error.is_newer:
            raise
        problem = str(error)
    else:
        if ledger is not None:
            return Loaded(ledger=ledger)
        if not by_repository(store.target.keys()):
            return Loaded(ledger=Ledger())
        problem = f"{LEDGER_KEY} is missing, though the target is not empty"
    return Loaded(ledger=rebuild(store.target, now=settings.now), rebuilt=problem)


def read_history(
    store: LedgerStore, config: Config, settings: Settings, given_up: Mapping[str, DeltapressError]
) -> History:
    """See every layout but those of `given_up`. What cannot be read stays as it was published.

    Raises what `load` raises.
    """
    loaded = load(store, settings)
    ledger = loaded.ledger
    notes: list[str] = []
    if loaded.rebuilt is not None:
        notes.append(
            f"{loaded.rebuilt}. It was rebuilt from the tree; all deltas are made again, and this run deletes nothing"
        )
    seen, failed = _observe(config, ledger, settings, given_up)
    for name, layout in seen.items():
        notes.extend(f"{name}: {line}" for line in layout.skipped)
    found = found_content(ledger, store.target)
    repositories = dict(ledger.repositories)
    for name, layout in seen.items():
        repositories[name] = advance(repositories.get(name, RepositoryRecord()), layout.observation, now=settings.now)
    notes.extend(_forget_lost(repositories, found, seen))
    for repository in config.repositories:
        if repository.name in seen and repository.name in repositories:
            record = repositories[repository.name]
            repositories[repository.name] = retain(record, scopes_of(repository), keep=repository.policy.keep)
    configured = {repository.name for repository in config.repositories}
    notes.extend(
        f"{name}: published, but not in {config.path.name}; left as it is"
        for name in sorted(repositories.keys() - configured)
    )
    used = {layer.diff_id for record in repositories.values() for layer in record.layers()}
    outlines = {**ledger.outlines}
    for layout in seen.values():
        outlines |= layout.outlines
    return History(
        ledger=replace(
            ledger,
            repositories=repositories,
            outlines={diff_id: outline for diff_id, outline in outlines.items() if diff_id in used},
            deltas=without_lost(ledger.deltas, found),
        ),
        seen=seen,
        failed=failed,
        found=found,
        is_rebuilt=loaded.rebuilt is not None,
        notes=tuple(notes),
    )


def scopes_of(repository: Repository) -> tuple[str, ...]:
    """The globs that divide the repository's tags into independent lines of versions."""
    return tuple(rule.match for rule in repository.series)


def _observe(
    config: Config, ledger: Ledger, settings: Settings, given_up: Mapping[str, DeltapressError]
) -> tuple[dict[str, Seen], dict[str, DeltapressError]]:
    known = {record.digest for record in ledger.keys.values() if not record.is_pending}
    seen: dict[str, Seen] = {}
    failed = dict(given_up)
    for repository in config.repositories:
        if repository.name in failed:
            continue
        try:
            seen[repository.name] = observe_repository(
                repository, is_known=known.__contains__, max_layer=config.limits.layer, jobs=settings.jobs
            )
        except DeltapressError as error:
            failed[repository.name] = error
    return seen, failed


def _forget_lost(
    repositories: dict[str, RepositoryRecord], found: Mapping[Digest, Key], seen: Mapping[str, Seen]
) -> list[str]:
    """Forget the images that were never written to their end, where no layout can give what is missing.

    Changes `repositories`, and returns a line for each that lost something.
    """
    notes = []
    for name, record in list(repositories.items()):
        there = found.keys() | (seen[name].digests if name in seen else ())
        whole = forget(record, there)
        if whole is not record:
            repositories[name] = whole
            if not whole.images:
                del repositories[name]
            lost = ", ".join(digest.short for digest in record.images if digest not in whole.images)
            notes.append(f"{name}: forgotten, because it was never published completely: {lost}")
    return notes
