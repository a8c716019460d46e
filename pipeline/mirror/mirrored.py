"""Pure: what was read of a repository -> what of it is whole and belongs together -> its record.

Rule 1. An image of which a blob is spoiled is left out, with what is attached to it; its tags stay where they led.
Rule 2. What is attached to something that is not mirrored is not mirrored either.
Rule 3. The listing of deltas stays as it is where all that it names is mirrored. Else it is written anew, without the
        deltas into images that are not, and without what is spoiled.
"""

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from ..deltas.formats import FORMATS
from ..history.attached import with_attached
from ..history.records.images import ImageRecord
from ..history.records.repositories import Move, RepositoryRecord, TagRecord
from ..history.records.rules import RulesRecord
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.manifest import Index
from ..oci.media_types import OCI_INDEX
from ..oci.reference import DELTA_INDEX, attached_to
from ..oci.writing import write_index

_NOTHING: Final[frozenset[Digest]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What could be read of a repository at its source.

    `images` are all that tags lead to, that nothing leads to, and that is attached to others; `listed` says for the
    last by whose referrers they were found. `moves` are where tags have pointed, as far as that is known. `deltas` are
    the documents that `delta_index` lists, None where there is no such listing. `broken` are the tags that could not be
    read.
    """

    tags: Mapping[str, Digest] = field(default_factory=dict)
    images: Mapping[Digest, ImageRecord] = field(default_factory=dict)
    listed: Mapping[Digest, Set[Digest]] = field(default_factory=dict)
    moves: Mapping[str, tuple[Move, ...]] = field(default_factory=dict)
    deltas: Mapping[Digest, ImageRecord] = field(default_factory=dict)
    delta_index: Index | None = None
    broken: Set[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What of it can be mirrored. `made` is the listing of deltas, where there is one; `broken` tags lead to nothing
    that could be."""

    tags: Mapping[str, Digest]
    images: Mapping[Digest, ImageRecord]
    moves: Mapping[str, tuple[Move, ...]]
    broken: Set[str]
    made: Mapping[Digest, bytes]


def whole_of(found: Found, spoiled: Set[Digest] = _NOTHING) -> Whole:
    """Leave out what needs a blob that is `spoiled`, or is attached to nothing that is left."""
    images = {digest: image for digest, image in found.images.items() if not _needs(image, spoiled)}
    tagged = set(found.tags.values())
    while True:
        documents = _documents(images.values())
        lost = {digest for digest in images if digest in found.listed and digest not in tagged}
        lost = {digest for digest in lost if images[digest].subject not in documents}
        if not lost:
            break
        images = {digest: image for digest, image in images.items() if digest not in lost}
    images = {
        digest: replace(image, listed_for=frozenset(found.listed.get(digest, _NOTHING) & documents) - {image.subject})
        for digest, image in images.items()
    }
    broken = found.broken | {tag for tag, image in found.tags.items() if image not in images}
    tags = {tag: image for tag, image in found.tags.items() if image in images and _is_free(tag, documents)}
    made: dict[Digest, bytes] = {}
    if found.delta_index is not None:
        listing, image = _delta_image(found.delta_index, found.deltas, documents, spoiled)
        tags[DELTA_INDEX] = image.digest
        images[image.digest] = image
        made[image.digest] = listing
    return Whole(tags=tags, images=images, moves=found.moves, broken=broken, made=made)


def record_of_mirror(
    whole: Whole, before: RepositoryRecord, rules: RulesRecord, *, now: datetime
) -> RepositoryRecord | None:
    """What the ledger remembers from now on; None of a repository with nothing in it. The same value when nothing has
    changed."""
    tags: dict[str, TagRecord] = {}
    for tag, image in whole.tags.items():
        known = before.tags.get(tag)
        moves = _left_of(whole.moves.get(tag, ()), image, whole.images)
        if known is not None and known.image == image and moves in ((), known.moves):
            tags[tag] = known
        else:
            tags[tag] = TagRecord(moves=moves or (Move(image=image, since=now),))
    # where a tag is broken, what it led to stays, and what is attached to that
    kept = {tag: known for tag, known in before.tags.items() if tag in whole.broken and tag not in tags}
    stay = with_attached(before, {known.image for known in kept.values()}) if kept else _NOTHING
    images = {digest: image for digest, image in before.images.items() if digest in stay} | dict(whole.images)
    after = RepositoryRecord(
        tags={**kept, **tags} if kept else tags,
        images=images,
        rules=rules,
        carried=before.carried,
    )
    if images.keys() <= whole.made.keys():
        return None
    return before if after == before else after


def _delta_image(
    index: Index, deltas: Mapping[Digest, ImageRecord], documents: Set[Digest], spoiled: Set[Digest]
) -> tuple[bytes, ImageRecord]:
    """The listing of the deltas into `documents`, and what it leads to."""
    [listed] = (known.parse_listing(index).documents for known in FORMATS if known.tag == DELTA_INDEX)
    entries = [
        entry.descriptor
        for entry in listed
        if entry.target in documents
        and entry.descriptor.digest in deltas
        and not _needs(deltas[entry.descriptor.digest], spoiled)
    ]
    raw = index.raw if len(entries) == len(index.manifests) else write_index(entries)
    root = Descriptor(media_type=OCI_INDEX, digest=Digest.of(raw), size=len(raw))
    parts = [deltas[entry.digest] for entry in entries]
    inner = {document.digest: document for part in parts for document in part.documents}
    blobs = {blob.digest: blob for part in parts for blob in part.blobs}
    return raw, ImageRecord(documents=(*inner.values(), root), blobs=tuple(blobs.values()), platforms=())


def _left_of(moves: tuple[Move, ...], image: Digest, images: Container[Digest]) -> tuple[Move, ...]:
    """The moves to what is mirrored, if they end at `image`; those of another moment do not."""
    left: list[Move] = []
    for move in moves:
        if move.image in images and not (left and left[-1].image == move.image):
            left.append(move)
    return tuple(left) if left and left[-1].image == image else ()


def _needs(image: ImageRecord, spoiled: Set[Digest]) -> bool:
    return bool(spoiled) and any(part.digest in spoiled for part in (*image.documents, *image.blobs))


def _documents(images: Iterable[ImageRecord]) -> set[Digest]:
    return {document.digest for image in images for document in image.documents}


def _is_free(tag: str, documents: Set[Digest]) -> bool:
    """False for cosign's tag of an image that is not mirrored."""
    subject = attached_to(tag)
    return subject is None or subject in documents
