"""Pure: the ledger + the deltas that are wanted -> the graph that is published, whatever it is written to.

Blobs, documents, tags and referrers of each repository, as a client of the distribution-spec sees them. How files and
buckets show them is `static`.

Rule 1. The graph is all that should be there; what the ledger knows beside it is unreferenced. So marking for the prune
        is assembling.
Rule 2. A delta is listed only when it is stored, proven, and smaller than the policy demands. How it is listed is the
        formats' own.
Rule 3. Referrers are made of the subjects of all documents, whoever made those.
Rule 4. Nothing here depends on the time of the run: the same ledger gives the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..deltas.formats import FORMATS, DeltaDocument, DeltaFormat, Offer
from ..deltas.plan import Wanted
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records import RepositoryRecord
from ..keys import referrers_tag
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.manifest import successors
from ..oci.media_types import INDEXES, OCI_INDEX
from ..oci.reference import is_reserved_tag
from ..oci.writing import EMPTY_JSON, write_index

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
    subject.
    """

    name: str
    blobs: Mapping[Digest, Blob]
    documents: Mapping[Digest, Stored]
    tags: Mapping[str, Stored]
    referrers: Mapping[Digest, bytes]

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
        yield _contents(name, repository, offers.get(name, ()), formats)


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
    for delta_format in formats:
        made = list(delta_format.documents(record, offers))
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
    referrers = _referrers(documents)
    listings |= {referrers_tag(subject): raw for subject, raw in referrers.items()}
    tags = {tag: _listing(raw) for tag, raw in listings.items()}
    return RepositoryContents(
        name=name,
        blobs=blobs,
        documents=documents,
        tags=tags | images,
        referrers=dict.fromkeys(documents, EMPTY_INDEX) | referrers,
    )


def _image_documents(record: RepositoryRecord) -> dict[Digest, Stored]:
    ranks = _ranks(record)
    return {
        document.digest: Stored(
            descriptor=document,
            rank=ranks[document.digest],
            subjects=(image.subjects[document.digest],) if document.digest in image.subjects else (),
        )
        for image in record.images.values()
        for document in image.documents
    }


def _delta_document(made: DeltaDocument) -> Stored:
    subject = made.document.subject
    return Stored(
        descriptor=made.descriptor,
        content=made.document.raw,
        subjects=(*(() if subject is None else (subject.digest,)), *made.listed_for),
    )


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


def _referrers(documents: Mapping[Digest, Stored]) -> dict[Digest, bytes]:
    """For each subject the index of what is attached to it (distribution-spec, "Listing Referrers")."""
    attached: dict[Digest, list[Descriptor]] = {}
    for _, document in sorted(documents.items()):
        for subject in dict.fromkeys(document.subjects):
            attached.setdefault(subject, []).append(document.descriptor)
    return {subject: write_index(found) for subject, found in attached.items()}


def _listing(raw: bytes) -> Stored:
    return Stored(descriptor=Descriptor(media_type=OCI_INDEX, digest=Digest.of(raw), size=len(raw)), content=raw)
