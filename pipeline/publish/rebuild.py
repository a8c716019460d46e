"""A lost or damaged ledger, rebuilt from the tree.

Rule 1. What cannot be told from the tree is doubted, never guessed: keys that change are pending, so that they are
        written again; deltas are made and proven again.
Rule 2. The history of a tag is lost, but for the common case: where a repository has one tag, its untagged images are
        taken for earlier versions of that tag, in the order in which they were created.
Rule 3. Where only the documents of some repositories are lost, only those are rebuilt.
Rule 4. Keys that are not of the kinds which a publisher writes are somebody else's, and stay unknown.
"""

from collections.abc import Container
from datetime import UTC, datetime
from typing import Final

from ..deltas.formats import is_delta_document
from ..history.ledger import Ledger
from ..history.records.images import ImageRecord
from ..history.records.keys import KeyRecord
from ..history.records.repositories import Move, RepositoryRecord, TagRecord
from ..history.scan import record_of
from ..keys import Key, Kind, classify, repository_of
from ..layout.documents import Origin
from ..layout.images import Reader
from ..layout.storage import LayoutError
from ..oci.digest import Digest
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, parse_document
from ..oci.reference import is_reserved_tag
from ..targets.base import ReadableTarget, TooLargeError, read_bytes
from ..tree.published import PublishedBlobs, PublishedRepository, by_repository
from .ranks import document_ranks

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def rebuild(target: ReadableTarget, *, now: datetime, only: Container[str] | None = None) -> Ledger:
    """The ledger of what `target` holds, or of some repositories alone. Broken images are left out; their keys are
    known all the same.

    Raises TargetError.
    """
    keys = [key for key in target.keys() if only is None or repository_of(key) in only]  # noqa: SIM118  # no dict
    ranks = document_ranks(target, keys)
    return Ledger(
        repositories={
            name: _repository(target, found, now=now) for name, found in by_repository(keys).items() if found.tags_list
        },
        keys={key: record for key in keys if (record := _key_record(target, key, ranks.get(key, 0))) is not None},
    )


def _repository(target: ReadableTarget, found: PublishedRepository, *, now: datetime) -> RepositoryRecord:
    reader = Reader(PublishedBlobs(target=target, repository=found.name))
    images: dict[Digest, ImageRecord] = {}
    inner: set[Digest] = set()
    for digest, key in found.manifests.items():
        try:
            document = parse_document(read_bytes(target, key, limit=MAX_MANIFEST_SIZE), "", digest)
            if is_delta_document(document):
                continue
            image = record_of(reader.image(document.descriptor(), origin=Origin.of(document, tag=None, platform=None)))
        except (FieldError, LayoutError, TooLargeError):
            continue
        inner.update(part.digest for part in image.documents[:-1])
        images[digest] = image
    tags = {
        tag: TagRecord(moves=(Move(image=root, since=now),))
        for tag, key in found.tags.items()
        if not _is_listing(tag) and (root := _root(target, key)) in images
    }
    roots = {known.image for known in tags.values()}
    versions = [tag for tag in tags if not is_reserved_tag(tag)]
    if len(versions) == 1:
        [tag] = versions
        known = tags[tag]
        untagged = [
            image
            for digest, image in images.items()
            if digest not in inner and digest not in roots and image.subject is None
        ]
        untagged.sort(key=lambda image: (image.created or _EPOCH, image.digest))
        tags[tag] = TagRecord(moves=(*(Move(image=image.digest, since=now) for image in untagged), *known.moves))
    held = {digest: image for digest, image in images.items() if digest not in inner or digest in roots}
    return RepositoryRecord(tags=tags, images=held)


def _is_listing(tag: str) -> bool:
    """True for the tags of which the tree makes what they lead to; cosign's, which have a dot, lead to images."""
    return is_reserved_tag(tag) and "." not in tag


def _root(target: ReadableTarget, key: Key) -> Digest | None:
    try:
        return Digest.of(read_bytes(target, key, limit=MAX_MANIFEST_SIZE))
    except TooLargeError:
        return None


def _key_record(target: ReadableTarget, key: Key, rank: int) -> KeyRecord | None:
    """None for a key that no phase of a publisher writes."""
    parsed = classify(key)
    if parsed is None or parsed.phase is None:
        return None
    order = (int(parsed.phase), rank)
    if parsed.digest is not None and parsed.kind in {Kind.BLOB, Kind.MANIFEST}:
        stored = target.stat(key)
        return KeyRecord(digest=parsed.digest, size=stored.size if stored else 0, order=order)
    return KeyRecord(digest=Digest.of(b""), size=0, order=order, is_pending=True)
