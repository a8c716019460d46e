"""The ledger, after every layout that can be read was seen.

Nothing is written here: what is remembered is saved with the first key that is.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from ..config import Config, Repository
from ..content import Content
from ..errors import DeltapressError
from ..history.ledger import Ledger, LedgerError
from ..history.records import RepositoryRecord
from ..history.retention import pinned_images, retain
from ..history.scan import Seen, observe_repository
from ..history.store import LedgerStore
from ..history.versions import advance, forget
from ..keys import LEDGER_KEY, Key, manifest_key
from ..layout import BrokenTag
from ..layout.check import Known
from ..oci.digest import Digest
from ..progress import Progress
from ..tree.published import PublishedRepository, by_repository
from .outcome import Settings
from .prune import without_lost
from .rebuild import rebuild
from .repair import check_losses, find_damage
from .write import found_content


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The ledger as it was found, or an empty one, or, when `rebuilt` says why, one made from the tree."""

    ledger: Ledger
    rebuilt: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is remembered and what was seen.

    `seen` are the layouts that could be read, `failed` says what is wrong with the others; `found` is the content that
    the target held before the run, `damage` what a repair found wrong; `notes` are lines for the user, `lost` those
    about images that were published and are whole nowhere.
    """

    ledger: Ledger
    seen: Mapping[str, Seen]
    failed: Mapping[str, DeltapressError]
    found: Mapping[Digest, Key]
    is_rebuilt: bool
    notes: tuple[str, ...]
    damage: Mapping[Key, str] = field(default_factory=dict)
    lost: tuple[str, ...] = ()

    @property
    def broken(self) -> dict[str, tuple[BrokenTag, ...]]:
        """The tags that could not be read, by repository."""
        return {name: layout.broken for name, layout in self.seen.items() if layout.broken}

    def fresh(self, repository: str, digest: Digest) -> Content | None:
        """The bytes as the repository's layout has them, or else another one."""
        found = self.seen[repository].content(digest) if repository in self.seen else None
        return found or self.anywhere(digest)

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
    store: LedgerStore,
    config: Config,
    settings: Settings,
    given_up: Mapping[str, DeltapressError],
    *,
    progress: Progress,
) -> History:
    """See every layout but those of `given_up`. What cannot be read stays as it was published.

    Raises what `load` raises, and TooMuchLostError.
    """
    loaded = load(store, settings)
    ledger = loaded.ledger
    damage: dict[Key, str] = {}
    if settings.repair:
        damage = find_damage(store.target, ledger.keys, progress=progress)
        ledger = ledger.with_pending(damage)
    notes: list[str] = []
    if loaded.rebuilt is not None:
        again = "; repair once more to remove what is broken" if settings.repair else ""
        notes.append(
            f"{loaded.rebuilt}. It was rebuilt from the tree; all deltas are made again, and this run deletes nothing"
            f"{again}"
        )
    seen, failed = _observe(config, ledger, settings, given_up)
    for name, layout in seen.items():
        notes.extend(f"{name}: {line}" for line in layout.notes)
    found = found_content(ledger, store.target, damaged=damage)
    if settings.repair:
        found = _copies(ledger) | found
    repositories = dict(ledger.repositories)
    for name, layout in seen.items():
        repositories[name] = advance(repositories.get(name, RepositoryRecord()), layout.observation, now=settings.now)
    unfinished, lost = _forget_lost(repositories, found, seen, ledger=ledger, damage=damage)
    notes.extend(unfinished)
    if settings.repair and not settings.force:
        images = sum(len(record.images) for record in ledger.repositories.values())
        check_losses(len(damage), lost=len(lost), images=images, max_delete=config.max_delete)
    for repository in config.repositories:
        if repository.name in seen and repository.name in repositories:
            record = repositories[repository.name]
            notes.extend(
                f"{repository.name}: the pin {pin} holds nothing, since no published image or tag has that name"
                for pin in repository.pins
                if not pinned_images(record, pin)
            )
            repositories[repository.name] = retain(
                record, scopes_of(repository), policy=repository.policy, pins=repository.pins, now=settings.now
            )
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
        damage=damage,
        lost=tuple(lost),
    )


def scopes_of(repository: Repository) -> tuple[str, ...]:
    """The globs that divide the repository's tags into independent lines of versions."""
    return tuple(rule.match for rule in repository.series)


def _observe(
    config: Config, ledger: Ledger, settings: Settings, given_up: Mapping[str, DeltapressError]
) -> tuple[dict[str, Seen], dict[str, DeltapressError]]:
    stored = by_repository(key for key, record in ledger.keys.items() if not record.is_pending)
    seen: dict[str, Seen] = {}
    failed = dict(given_up)
    for repository in config.repositories:
        if repository.name in failed:
            continue
        try:
            seen[repository.name] = observe_repository(
                repository,
                known=_known(stored.get(repository.name), ledger.repositories.get(repository.name)),
                limits=config.limits,
                jobs=settings.jobs,
            )
        except DeltapressError as error:
            failed[repository.name] = error
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


def _forget_lost(
    repositories: dict[str, RepositoryRecord],
    found: Mapping[Digest, Key],
    seen: Mapping[str, Seen],
    *,
    ledger: Ledger,
    damage: Mapping[Key, str],
) -> tuple[list[str], list[str]]:
    """Forget the images of which a part is neither in the target nor in any layout.

    Changes `repositories`, and returns a line for each repository that lost something which was never written to its
    end, and one for each that lost something which was.
    """
    there = found.keys() | {digest for layout in seen.values() for digest in layout.digests}
    unfinished, lost = [], []
    for name, record in list(repositories.items()):
        gone = record.images.keys() - forget(record, there).images.keys()
        if not gone:
            continue
        # where a reader was led to the lost image, it must not be led back to an older one: that is for people to do
        withdrawn = {tag for tag in record.tags if _was_led_to(name, tag, record, gone, ledger, damage)}
        tags = {tag: known for tag, known in record.tags.items() if tag not in withdrawn}
        whole = forget(replace(record, tags=tags), there)
        repositories[name] = whole
        if not whole.images:
            del repositories[name]
        published = {
            digest for digest in gone if manifest_key(name, digest) in damage or _is_written(name, digest, ledger)
        }
        if never := sorted(digest.short for digest in gone - published):
            unfinished.append(f"{name}: forgotten, because it was never published completely: {', '.join(never)}")
        for digest in sorted(published):
            named = sorted(tag for tag in withdrawn if record.tags[tag].image == digest)
            lost.append(_loss(name, digest, named))
    return unfinished, lost


def _was_led_to(
    repository: str,
    tag: str,
    record: RepositoryRecord,
    images: Set[Digest],
    ledger: Ledger,
    damage: Mapping[Key, str],
) -> bool:
    key = manifest_key(repository, tag)
    stored, image = ledger.keys.get(key), record.tags[tag].image
    return (
        image in images and stored is not None and stored.digest == image and (key in damage or not stored.is_pending)
    )


def _is_written(repository: str, digest: Digest, ledger: Ledger) -> bool:
    stored = ledger.keys.get(manifest_key(repository, digest))
    return stored is not None and not stored.is_pending


def _loss(repository: str, digest: Digest, tags: list[str]) -> str:
    named = f" (tag {', '.join(tags)})" if tags else ""
    return (
        f"{repository}: the image {digest.short}{named} was un-listed: some of its bytes are neither in a layout nor "
        "in the target; copy the image into its layout and publish again, or do without it"
    )
