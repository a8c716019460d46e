"""Pure: the ledger + the deltas that are wanted -> the graph that is published, whatever it is written to.

Blobs, documents, tags and referrers of each repository, as a client of the distribution-spec sees them. How files and
buckets show them is `static`.

Rule 1. The graph is all that should be there; what the ledger knows beside it is unreferenced. So marking for the prune
        is assembling.
Rule 2. A delta is listed only when it is stored, proven, and smaller than the policy demands. How it is listed is the
        formats' own.
Rule 3. Referrers are made of the subjects of all documents, whoever made those. Clients read 4 MiB of a listing: what
        is made here and has no room is left out, the oldest first, and is not published when nothing lists it.
Rule 4. Nothing here depends on the time of the run: the same ledger gives the same bytes.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..deltas.formats import FORMATS, DeltaDocument, DeltaFormat, Offer
from ..deltas.plan import Wanted
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records.images import ImageRecord
from ..history.records.repositories import RepositoryRecord
from ..keys import Key, manifest_key, referrers_tag
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.manifest import MAX_MANIFEST_SIZE, successors
from ..oci.media_types import INDEXES, OCI_INDEX
from ..oci.reference import is_reserved_tag
from ..oci.writing import EMPTY_JSON, write_index, write_json

EMPTY_INDEX: Final = write_index(())


class CollisionError(DeltapressError):
    """Two different things want the same key, or one wants a file where the other needs a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """`size` in bytes. `content` is None where the bytes come from a layout, a new delta or the target."""

    size: int
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A manifest or an index, as it is served under its digest or a tag. `content` is as in `Blob`.

    `rank` is above that of all documents that it leads to. `subjects` are those whose referrers name it.
    """

    descriptor: Descriptor
    content: bytes | None = None
    rank: int = 0
    subjects: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryContents:
    """What is published of one repository.

    `tags` are all of them, those that carry listings included; `referrers` has the listing of each document and of each
    subject. `notes` are lines for the user.
    """

    name: str
    blobs: Mapping[Digest, Blob]
    documents: Mapping[Digest, Stored]
    tags: Mapping[str, Stored]
    referrers: Mapping[Digest, bytes]
    notes: tuple[str, ...] = ()

    @property
    def listed_tags(self) -> list[str]:
        """Those that lead to images, sorted."""
        return sorted(tag for tag in self.tags if not is_reserved_tag(tag))


def published_contents(
    ledger: Ledger, wanted: Sequence[Wanted], *, formats: Sequence[DeltaFormat] = FORMATS
) -> Iterator[RepositoryContents]:
    """The contents of every repository, in the order of their names.

    `wanted` are the deltas that the images of this moment want, see `plan_deltas`; only stored ones are listed.

    Raises:
        CollisionError: an image has a tag under which clients look for deltas.
    """
    offers: dict[str, list[Offer]] = {}
    for want in wanted:
        record = ledger.deltas.get(want.key)
        if record is not None and record.digest is not None and want.accepts(record):
            offer = Offer(want=want, digest=record.digest, size=record.size)
            offers.setdefault(want.repository, []).append(offer)
    for name, repository in sorted(ledger.repositories.items()):
        contents = _contents(name, repository, offers.get(name, ()), formats)
        yield _emptied(contents, formats, ledger.keys)


def _emptied(contents: RepositoryContents, formats: Sequence[DeltaFormat], known: Container[Key]) -> RepositoryContents:
    """With an empty listing under each tag that had one, is in the target still, and has none any more: what is stale
    is un-listed at once, though the tag itself would stay for the grace period."""
    tags = [delta_format.tag for delta_format in formats if delta_format.tag is not None]
    tags += [referrers_tag(subject) for subject in contents.documents]
    empty = {tag: _listing(EMPTY_INDEX) for tag in tags if manifest_key(contents.name, tag) in known}
    return replace(contents, tags={**empty, **contents.tags})


def _contents(
    name: str, record: RepositoryRecord, offers: Sequence[Offer], formats: Sequence[DeltaFormat]
) -> RepositoryContents:
    images = {
        tag: Stored(descriptor=record.images[known.image].root)
        for tag, known in record.tags.items()
        if known.image in record.images
    }
    blobs = {blob.digest: Blob(size=blob.size) for image in record.images.values() for blob in image.blobs}
    blobs[Digest.of(EMPTY_JSON)] = Blob(size=len(EMPTY_JSON), content=EMPTY_JSON)  # the config of delta documents
    documents = _image_documents(record)
    listings: dict[str, bytes] = {}
    attached = _attached(documents)
    notes: list[str] = []
    for delta_format in formats:
        if record.rules is not None and delta_format.name not in record.rules.formats:
            continue
        made = list(
            delta_format.documents(record, [offer for offer in offers if offer.want.format == delta_format.name])
        )
        if delta_format.tag is None:
            made, left_out = _with_room(made, attached)
            notes += [f"{name}: {line}" for line in left_out]
        for entry in made:
            edges = successors(entry.document).blobs
            blobs |= {blob.digest: Blob(size=blob.size) for blob in edges if blob.digest not in blobs}
            documents[entry.document.digest] = _delta_document(entry)
        if delta_format.tag in images:
            raise CollisionError(
                f"{name}: the tag {delta_format.tag} is where clients look for deltas; give it another name"
            )
        if delta_format.tag is not None:
            listings[delta_format.tag] = write_index(entry.descriptor for entry in made)
    referrers = {subject: write_index(found[digest] for digest in sorted(found)) for subject, found in attached.items()}
    listings |= {referrers_tag(subject): raw for subject, raw in referrers.items()}
    tags = {tag: _listing(raw) for tag, raw in listings.items()}
    return RepositoryContents(
        name=name,
        blobs=blobs,
        documents=documents,
        tags=tags | images,
        referrers=dict.fromkeys(documents, EMPTY_INDEX) | referrers,
        notes=tuple(notes),
    )


def _image_documents(record: RepositoryRecord) -> dict[Digest, Stored]:
    ranks = _ranks(record)
    return {
        document.digest: Stored(
            descriptor=document,
            rank=ranks[document.digest],
            subjects=_subjects_of(image, document.digest),
        )
        for image in record.images.values()
        for document in image.documents
    }


def _subjects_of(image: ImageRecord, digest: Digest) -> tuple[Digest, ...]:
    own = (image.subjects[digest],) if digest in image.subjects else ()
    return (*own, *sorted(image.listed_for)) if digest == image.digest else own


def _delta_document(made: DeltaDocument) -> Stored:
    return Stored(descriptor=made.descriptor, content=made.document.raw, subjects=_subjects(made))


def _subjects(made: DeltaDocument) -> tuple[Digest, ...]:
    subject = made.document.subject
    return (*(() if subject is None else (subject.digest,)), *made.listed_for)


def _ranks(record: RepositoryRecord) -> dict[Digest, int]:
    """Manifests first, then the indexes, each after those that it may hold.

    In the documents of an image children stand before parents. Where an index is part of several images, the smallest
    count of indexes before it is taken: an index that holds it has a larger one in every image.
    """
    ranks: dict[Digest, int] = {}
    for image in record.images.values():
        before = 0
        for document in image.documents:
            before += document.media_type in INDEXES
            rank = before if document.media_type in INDEXES else 0
            ranks[document.digest] = min(rank, ranks.get(document.digest, rank))
    return ranks


def _attached(documents: Mapping[Digest, Stored]) -> dict[Digest, dict[Digest, Descriptor]]:
    """For each subject what is attached to it (distribution-spec, "Listing Referrers")."""
    attached: dict[Digest, dict[Digest, Descriptor]] = {}
    for digest, document in documents.items():
        for subject in document.subjects:
            attached.setdefault(subject, {})[digest] = document.descriptor
    return attached


def _with_room(
    made: Sequence[DeltaDocument], attached: dict[Digest, dict[Digest, Descriptor]]
) -> tuple[list[DeltaDocument], list[str]]:
    """Enter documents into the listings as far as these have room; the ones that stand in any, and a line for each
    listing that lacks some."""
    left = {subject: MAX_MANIFEST_SIZE - len(write_index(found.values())) for subject, found in attached.items()}
    listed: list[DeltaDocument] = []
    full: dict[Digest, int] = {}
    for entry in made:
        size = len(write_json(entry.descriptor.to_json())) + 1  # with its comma
        is_listed = False
        for subject in dict.fromkeys(_subjects(entry)):
            left.setdefault(subject, MAX_MANIFEST_SIZE - len(EMPTY_INDEX))
            if subject in full or size > left[subject]:
                full[subject] = full.get(subject, 0) + 1
                continue
            left[subject] -= size
            attached.setdefault(subject, {})[entry.document.digest] = entry.descriptor
            is_listed = True
        if is_listed:
            listed.append(entry)
    lines = [
        f"the referrers of {subject.short} leave out the {count:,} oldest artifacts with deltas, since clients read "
        f"{MAX_MANIFEST_SIZE:,} bytes of a listing; choose fewer `versions`"
        for subject, count in sorted(full.items())
    ]
    return listed, lines


def _listing(raw: bytes) -> Stored:
    return Stored(descriptor=Descriptor(media_type=OCI_INDEX, digest=Digest.of(raw), size=len(raw)), content=raw)
