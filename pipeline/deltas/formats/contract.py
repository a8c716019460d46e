"""The contract of a delta format: how clients find deltas, and the documents that lead them there.

Rule 1. A format makes documents from values and reads them again; it opens nothing. Nobody else knows its media types
        and annotations.
Rule 2. The deltas themselves are blobs that know of no format: every format may lead to the same ones.
Rule 3. Clients find documents either in an index under a tag of the repository, which is made of their descriptors, or
        among the referrers of an image; then a document has a `subject`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ...config.values import FormatName
from ...history.records.deltas import DeltaKey
from ...history.records.images import LayerRecord, PlatformRecord
from ...history.records.repositories import RepositoryRecord
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.manifest import Document, Index, Manifest
from ..plan import Wanted

TAR_DIFF: Final = "application/vnd.tar-diff"
"""Of a delta, whatever leads to it; clients of artifacts refuse the older application/vnd.redhat.tar-diff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A delta that is stored, proven, and small enough for the image that wants it. `size` in bytes."""

    want: Wanted
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaDocument:
    """A document to publish; what it leads to, and what it is attached to, is read from it.

    `descriptor` is what its listing says of it. `listed_for` are more digests, beside its subject, whose referrers name
    it: a client that knows an image by its index asks for those of the index.
    """

    document: Document
    descriptor: Descriptor
    listed_for: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDocument:
    """An entry of a listing: the document, and the image manifest into which its deltas lead.

    `source` is the manifest of the image from which they lead; None where each of them says so itself.
    """

    descriptor: Descriptor
    target: Digest
    source: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaListing:
    """What a listing says; `problems` are what in it clients would stumble over, each with its key path."""

    documents: tuple[ListedDocument, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedDelta:
    """A delta as a document leads to it. The `key` `is_exact` where the format says from which layers it was made."""

    blob: Descriptor
    key: DeltaKey
    is_exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDeltas:
    """What a document says. `target` is None where it does not; `problems` are as in `DeltaListing`.

    `unknown` says why the deltas of a sound document cannot be told: it is about images that the caller does not know.
    `whole` are the layers of the target that are there as they are; clients read exactly one gzip member of each.
    `carried` are those of its layers that are manifests of what travels with it: what one of them leads to must be
    among the layers, too.
    """

    target: Digest | None
    deltas: tuple[ListedDelta, ...]
    problems: tuple[str, ...] = ()
    unknown: str | None = None
    whole: tuple[LayerRecord, ...] = ()
    carried: tuple[Descriptor, ...] = ()


class DeltaFormat(Protocol):
    """One way in which clients learn of deltas."""

    @property
    def name(self) -> FormatName:
        """By which the configuration chooses it."""
        ...

    @property
    def tag(self) -> str | None:
        """The tag of the index that lists the documents; None where they are found among referrers."""
        ...

    def documents(self, record: RepositoryRecord, offers: Sequence[Offer]) -> Iterator[DeltaDocument]:
        """What to publish in a repository; the same offers give the same bytes.

        In the order of its listing, or, where there is no such index, with what may be left out at the end: a listing
        has room for 4 MiB. The offers are those of this format, in the order of the plan. They are grouped as the
        format needs it, by target or by pair of images; the record tells the rest of those: their other layers, the
        indexes that hold them.
        """
        ...

    def owns(self, manifest: Manifest) -> bool:
        """True for a document of this format, well made or not."""
        ...

    def parse_listing(self, listing: Index) -> DeltaListing:
        """Read an index under the tag, or one of referrers, of which what is not of this format is left out."""
        ...

    def parse(self, manifest: Manifest, images: Mapping[Digest, PlatformRecord]) -> ParsedDeltas:
        """Read a document.

        `images` are those that the caller knows, by their manifests: a format that names old images and stored layers
        looks their DiffIDs up there.
        """
        ...
