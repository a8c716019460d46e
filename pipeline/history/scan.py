"""Read the layout of a repository, check what is new in it, and say what was seen.

Rule 1. Of a tag, nothing is published unless all of it could be read and checked. What is broken is left out and named;
        it counts neither as seen nor as lost, so what was published under it stays.
Rule 2. What an earlier run has published is not read again.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ..config import Repository
from ..content import BytesContent, Content
from ..layout import BrokenTag, Image, Layout, LayoutError, read_layout
from ..layout.broken import all_broken
from ..layout.check import Known, check_images
from ..layout.images import PlatformImage
from ..layout.notes import notes_of
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..oci.manifest import Document, Manifest
from ..tardiff.layer.outline import Outline
from .records.images import FLATPAK_LABELS, SHOWN_LABELS, ImageRecord, LayerRecord, PlatformRecord
from .versions import Observation

_MAX_SHOWN: Final = 500  # characters of a label that a page shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one layout holds.

    `outlines` are those of the layers that were new; `broken` are the tags that are left out, of which `observation`
    knows the names alone and `refs` of the layout nothing; `notes` are lines about what nobody asked for.
    """

    observation: Observation
    layout: Layout
    documents: Mapping[Digest, Document]
    digests: frozenset[Digest]
    """Of all documents and blobs that can be published from here."""
    outlines: Mapping[DiffID, Outline]
    broken: tuple[BrokenTag, ...]
    notes: tuple[str, ...]

    def content(self, digest: Digest) -> Content | None:
        """The bytes of a blob or a document of this layout; None when it has none of that digest."""
        if digest in self.documents:
            return BytesContent(self.documents[digest].raw)
        if digest not in self.digests:
            return None
        try:
            return self.layout.content(digest)
        except LayoutError:
            return None


def scan_repository(repository: Repository, *, known: Known, limits: Limits, jobs: int) -> Seen:
    """Read and check one layout.

    `known` is what is published of this repository already; `limits` bound an uncompressed layer.

    Raises:
        LayoutError: something is wrong with the layout as a whole, or no tag of it is whole.
    """
    layout = read_layout(repository.layout, tags=repository.tags, rename=repository.rename, published=known.manifests)
    checked = check_images(layout, layout.images.values(), known=known, limits=limits, jobs=jobs)
    layout = _without_broken(layout, checked.faults)
    images = layout.images
    documents = {document.digest: document for image in images.values() for document in image.documents}
    return Seen(
        observation=Observation(
            tags={ref.tag: ref.image.digest for ref in layout.refs},
            images={digest: record_of(image, one_member=checked.one_member) for digest, image in images.items()},
            broken=frozenset(found.tag for found in layout.broken if found.tag is not None),
            is_whole=not any(found.is_nameless for found in layout.broken),
        ),
        layout=layout,
        documents=documents,
        digests=frozenset(documents) | {blob.digest for image in images.values() for blob in image.blobs},
        outlines=checked.outlines,
        broken=layout.broken,
        notes=notes_of(layout, known.manifests),
    )


def _without_broken(layout: Layout, faults: Mapping[Digest, LayoutError]) -> Layout:
    """Raises LayoutError when no tag is left."""
    if not faults:
        return layout
    broken = [*layout.broken]
    broken += [
        BrokenTag(tag=ref.tag, error=faults[ref.image.digest]) for ref in layout.refs if ref.image.digest in faults
    ]
    broken += [BrokenTag(tag=None, error=faults[image.digest]) for image in layout.artifacts if image.digest in faults]
    refs = tuple(ref for ref in layout.refs if ref.image.digest not in faults)
    if not refs:
        raise all_broken(layout.path, broken)
    artifacts = tuple(image for image in layout.artifacts if image.digest not in faults)
    return replace(layout, refs=refs, artifacts=artifacts, broken=tuple(broken))


def record_of(image: Image, *, one_member: Container[Digest] = frozenset()) -> ImageRecord:
    """What the ledger remembers of an image. `one_member` are the layers that were found to be one gzip member."""
    layers: dict[Digest, tuple[LayerRecord, ...]] = {}
    platforms = []
    for platform in image.platforms:
        digest = platform.manifest.digest
        # one manifest may serve many platforms: one record of it has the labels, which may be long
        labels = {} if digest in layers else _kept_labels(platform)
        if digest not in layers:
            layers[digest] = tuple(
                LayerRecord(
                    diff_id=layer.diff_id,
                    digest=layer.descriptor.digest,
                    size=layer.descriptor.size,
                    media_type=layer.descriptor.media_type,
                    is_one_member=layer.descriptor.digest in one_member,
                )
                for layer in platform.layers
            )
        platforms.append(
            PlatformRecord(
                platform=platform.platform,
                manifest=digest,
                config=platform.manifest.config.digest,
                layers=layers[digest],
                labels=labels,
            )
        )
    return ImageRecord(
        documents=tuple(_descriptor(document) for document in image.documents),
        blobs=tuple(Descriptor(media_type=blob.media_type, digest=blob.digest, size=blob.size) for blob in image.blobs),
        platforms=tuple(platforms),
        subjects={
            document.digest: document.subject.digest for document in image.documents if document.subject is not None
        },
        created=image.created,
        absent=frozenset(entry.digest for entry in image.absent),
    )


def _kept_labels(image: PlatformImage) -> Mapping[str, str]:
    """What the index of flatpak repeats, or pages show; an annotation of the manifest is stronger than a label."""
    labels = image.config.labels
    if all(name in labels for name in FLATPAK_LABELS):
        return labels
    said = labels | image.manifest.annotations
    return {name: said[name] for name in SHOWN_LABELS if 0 < len(said.get(name, "")) <= _MAX_SHOWN}


def _descriptor(document: Document) -> Descriptor:
    """As a referrers listing shows it, where the document is attached to another (distribution-spec, "Listing
    Referrers"): its annotations, and its artifact type, for which an image manifest's config type stands in."""
    plain = document.descriptor()
    if document.subject is None:
        return plain
    fallback = document.config.media_type if isinstance(document, Manifest) else None
    return replace(plain, artifact_type=document.artifact_type or fallback, annotations=document.annotations)
