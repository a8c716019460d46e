"""A lost or damaged ledger, rebuilt from the tree.

Rule 1. What cannot be told from the tree is doubted, never guessed: keys that change are pending, so that they are
        written again; deltas are made and proven again.
Rule 2. The history of a tag is lost, but for the common case: where a repository has one tag, its untagged images are
        taken for earlier versions of that tag, in the order in which they were created.
Rule 3. Keys that are not of the shapes which a publisher writes are somebody else's, and stay unknown.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from .assemble import Phase
from .layout.images import Holder, Reader
from .layout.storage import LayoutError
from .ledger.document import Ledger
from .ledger.records import ImageRecord, KeyRecord, Move, RepositoryRecord, TagRecord
from .observe import record_of
from .oci.digest import Digest
from .oci.fields import FieldError
from .oci.keys import (
    FLATPAK_INDEX_KEY,
    PAGE_KEY,
    PING_FOLDER_KEY,
    PING_KEY,
    PRIVATE,
    TYPED,
    Key,
    parse_key,
    server_key,
)
from .oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest, parse_document, successors
from .oci.media_types import DELTA_CONFIG
from .oci.reference import is_repository, is_reserved_tag, is_tag
from .published import PublishedRepository, PublishedStorage, by_repository
from .targets.base import KeyMissingError, Target, TooLargeError, read_bytes

_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_CONTENT: Final = {"blobs": Phase.BLOBS, "manifests": Phase.MANIFESTS, "referrers": Phase.REFERRERS}
_COMMON: Final = frozenset({PING_KEY, PING_FOLDER_KEY, PAGE_KEY, FLATPAK_INDEX_KEY, Key(".htaccess")})
_SERVERS: Final = server_key("")


def rebuild(target: Target, *, now: datetime) -> Ledger:
    """The ledger of what `target` holds. Broken images are left out; their keys are known all the same.

    Raises TargetError.
    """
    keys = list(target.keys())
    ranks = document_ranks(target, keys)
    return Ledger(
        repositories={
            name: _repository(target, found, now=now) for name, found in by_repository(keys).items() if found.tags_list
        },
        keys={key: record for key in keys if (record := _key_record(target, key, ranks.get(key, 0))) is not None},
    )


def _repository(target: Target, found: PublishedRepository, *, now: datetime) -> RepositoryRecord:
    reader = Reader(PublishedStorage(target=target, repository=found.name))
    images: dict[Digest, ImageRecord] = {}
    inner: set[Digest] = set()
    for digest, key in found.manifests.items():
        try:
            document = parse_document(read_bytes(target, key, limit=MAX_MANIFEST_SIZE), "", digest)
            if isinstance(document, Manifest) and document.config.media_type == DELTA_CONFIG:
                continue
            image = record_of(reader.image(document.descriptor(), holder=Holder.of(document, tag=None, platform=None)))
        except (FieldError, LayoutError, TooLargeError):
            continue
        if isinstance(document, Index):
            inner.update(child.digest for child in successors(document).documents)
        images[digest] = image
    tags = {
        tag: TagRecord(moves=(Move(image=root, since=now),))
        for tag, key in found.tags.items()
        if not is_reserved_tag(tag) and (root := _root(target, key)) in images
    }
    if len(tags) == 1:
        [(tag, known)] = tags.items()
        untagged = [
            image
            for digest, image in images.items()
            if digest not in inner and digest != known.image and image.subject is None
        ]
        untagged.sort(key=lambda image: (image.created or _EPOCH, image.digest))
        tags[tag] = TagRecord(moves=(*(Move(image=image.digest, since=now) for image in untagged), *known.moves))
    held = {digest: image for digest, image in images.items() if digest not in inner or digest in _roots(tags)}
    return RepositoryRecord(tags=tags, images=held)


def _roots(tags: dict[str, TagRecord]) -> set[Digest]:
    return {known.image for known in tags.values()}


def _root(target: Target, key: Key) -> Digest | None:
    try:
        return Digest.of(read_bytes(target, key, limit=MAX_MANIFEST_SIZE))
    except TooLargeError:
        return None


def phase_of(key: Key) -> Phase | None:
    """When a publisher writes a key of this shape; None for what no publisher writes."""
    if key in _COMMON or key.startswith(_SERVERS):
        return Phase.LISTINGS
    manifest = _manifest_beside(key)
    parsed = parse_key(manifest or key)
    if parsed is None or not is_repository(parsed.repository):
        return None
    if manifest is not None and parsed.kind != "manifests":
        return None
    if parsed.kind == "tags":
        return Phase.LISTINGS if parsed.digest is None else None
    if parsed.digest is None:
        return Phase.TAGS if parsed.kind == "manifests" and is_tag(parsed.name) else None
    return _CONTENT.get(parsed.kind)


def document_ranks(target: Target, keys: Iterable[Key]) -> dict[Key, int]:
    """For each manifest or index by digest among `keys`, and what lies beside it, a rank above that of all it leads to.

    What cannot be read leads to nothing. Raises TargetError.
    """
    copies: dict[Key, list[Key]] = {}
    for key in keys:
        manifest = _manifest_beside(key) or key
        parsed = parse_key(manifest)
        if parsed is not None and parsed.kind == "manifests" and parsed.digest is not None:
            copies.setdefault(Key(manifest), []).append(key)
    left = {manifest: _children(target, manifest, found) for manifest, found in copies.items()}
    ranks: dict[Key, int] = {}
    rank = 0
    while left:
        # digests make no circle, but damage may
        free = {manifest for manifest, children in left.items() if not children & left.keys()} or set(left)
        ranks |= {key: rank for manifest in free for key in copies[manifest]}
        left = {manifest: children for manifest, children in left.items() if manifest not in free}
        rank += 1
    return ranks


def _children(target: Target, manifest: Key, copies: Iterable[Key]) -> frozenset[Key]:
    for key in copies:
        try:
            document = parse_document(read_bytes(target, key, limit=MAX_MANIFEST_SIZE), "")
        except (FieldError, TooLargeError, KeyMissingError):
            continue  # a sidecar, or damaged, or gone
        folder = manifest.rpartition("/")[0]
        return frozenset(Key(f"{folder}/{child.digest}") for child in successors(document).documents)
    return frozenset()


def _manifest_beside(key: Key) -> str | None:
    """The manifest of which `key` is the typed copy or the sidecar; any tag for the access file of them all."""
    for folder in TYPED.values():
        if key.startswith(prefix := f"{PRIVATE}/typed/{folder}/"):
            return key.removeprefix(prefix)
    place, _, name = key.rpartition("/")
    if place.endswith("/manifests/.web") and name.endswith(".meta"):
        return f"{place.removesuffix('/.web')}/{name.removesuffix('.meta')}"
    if place.endswith("/manifests") and name == ".htaccess":
        return f"{place}/any"
    return None


def _key_record(target: Target, key: Key, rank: int) -> KeyRecord | None:
    """None for a key that no publisher writes."""
    phase, parsed = phase_of(key), parse_key(key)
    if phase is None:
        return None
    if parsed is not None and parsed.digest is not None and phase <= Phase.MANIFESTS:
        stored = target.stat(key)
        return KeyRecord(digest=parsed.digest, size=stored.size if stored else 0, order=(int(phase), rank))
    return KeyRecord(digest=Digest.of(b""), size=0, order=(int(phase), rank), is_pending=True)
