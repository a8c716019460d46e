"""Read the layout of a repository, check what is new in it, and say what was seen.

Rule 1. Nothing of a repository is published unless all of it could be read and checked.
Rule 2. What an earlier run has published is not read again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ..config import Repository
from ..content import BytesContent, Content
from ..layout import Image, Layout, LayoutError, read_layout
from ..layout.check import check_images
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..oci.manifest import Document, Manifest
from ..tardiff.layer.outline import Outline
from .records import FLATPAK_LABELS, ImageRecord, LayerRecord, PlatformRecord
from .versions import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one layout holds. `outlines` are those of the layers that were new; `skipped` a line for what has no
    name."""

    observation: Observation
    layout: Layout
    documents: Mapping[Digest, Document]
    outlines: Mapping[DiffID, Outline]
    skipped: tuple[str, ...]

    @property
    def digests(self) -> frozenset[Digest]:
        """Of all documents and blobs that can be published from here."""
        images = self.observation.images.values()
        return frozenset(self.documents) | {blob.digest for image in images for blob in image.blobs}

    def content(self, digest: Digest) -> Content | None:
        """The bytes of a blob or a document of this layout; None when it has none of that digest."""
        if digest in self.documents:
            return BytesContent(self.documents[digest].raw)
        try:
            return self.layout.content(digest)
        except LayoutError:
            return None


def observe_repository(
    repository: Repository, *, is_known: Callable[[Digest], bool], limits: Limits, jobs: int
) -> Seen:
    """Read and check one layout.

    `is_known` tells of a manifest or a blob that is published already; `limits` bound an uncompressed layer.

    Raises:
        LayoutError: something is missing, damaged or not allowed; nothing of the repository may be published then.
    """
    layout = read_layout(repository.layout, tags=repository.tags, rename=repository.rename)
    images = {image.digest: image for image in (*(ref.image for ref in layout.refs), *layout.artifacts)}
    outlines = check_images(layout, images.values(), is_known=is_known, limits=limits, jobs=jobs)
    return Seen(
        observation=Observation(
            tags={ref.tag: ref.image.digest for ref in layout.refs},
            images={digest: record_of(image) for digest, image in images.items()},
        ),
        layout=layout,
        documents={document.digest: document for image in images.values() for document in image.documents},
        outlines=outlines,
        skipped=layout.skipped,
    )


def record_of(image: Image) -> ImageRecord:
    """What the ledger remembers of an image."""
    return ImageRecord(
        documents=tuple(_descriptor(document) for document in image.documents),
        blobs=tuple(Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size) for blob in image.blobs),
        platforms=tuple(
            PlatformRecord(
                platform=platform.platform,
                manifest=platform.manifest.digest,
                layers=tuple(
                    LayerRecord(
                        diff_id=layer.diff_id,
                        digest=layer.descriptor.digest,
                        size=layer.descriptor.size,
                        media_type=layer.descriptor.media_type,
                    )
                    for layer in platform.layers
                ),
                labels=platform.config.labels if all(name in platform.config.labels for name in FLATPAK_LABELS) else {},
            )
            for platform in image.platforms
        ),
        subjects={
            document.digest: document.subject.digest for document in image.documents if document.subject is not None
        },
        created=image.created,
    )


def _descriptor(document: Document) -> Descriptor:
    """As a referrers listing shows it, where the document is attached to another (distribution-spec, "Listing
    Referrers"): its annotations, and its artifact type, for which an image manifest's config type stands in."""
    plain = document.descriptor()
    if document.subject is None:
        return plain
    fallback = document.config.media_type if isinstance(document, Manifest) else None
    return replace(plain, artifact_type=document.artifact_type or fallback, annotations=document.annotations)
