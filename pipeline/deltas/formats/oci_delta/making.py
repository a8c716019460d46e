"""An artifact, from two images that the ledger knows and the deltas between them."""

import json
from collections.abc import Iterable, Iterator, Mapping

from ....history.records.images import ImageRecord, PlatformRecord
from ....history.records.repositories import RepositoryRecord
from ....oci.descriptor import Descriptor
from ....oci.digest import DiffID, Digest
from ....oci.manifest import parse_document
from ....oci.media_types import INDEXES, OCI_EMPTY, OCI_GZIP_LAYER, OCI_MANIFEST
from ....oci.writing import EMPTY_JSON, write_manifest
from ..contract import TAR_DIFF, DeltaDocument, Offer
from .signatures import signatures_by_image
from .terms import (
    ARTIFACT_TYPE,
    CONFIG_CONTENT,
    CONTENT,
    LAYER_CONTENT,
    MANIFEST_CONTENT,
    REUSED,
    REUSED_DIFF_ID,
    SIGNATURE_CONTENT,
    SIGNATURE_PART_CONTENT,
    SOURCE,
    SOURCE_CONFIG,
    TARGET,
    TO,
)


class Images:
    """The images of a repository by the digests of their manifests, and what describes them."""

    def __init__(self, record: RepositoryRecord) -> None:
        self.platforms = {image.manifest: image for image in record.platform_images()}
        self._signatures = signatures_by_image(record)
        self._holders: dict[Digest, dict[Digest, ImageRecord]] = {}
        for image in record.images.values():
            for platform in image.platforms:
                self._holders.setdefault(platform.manifest, {})[image.digest] = image

    def indexes(self, manifest: Digest) -> tuple[Digest, ...]:
        """Those through which clients come to an image. Of indexes in an index each counts: which of them holds it is
        not remembered, and a client finds what is not for it by the source."""
        found = {
            document.digest
            for image in self._holders[manifest].values()
            for document in image.documents
            if document.media_type in INDEXES
        }
        return tuple(sorted(found))

    def manifest(self, image: PlatformRecord) -> Descriptor:
        [found, *_] = (
            document
            for holder in self._holders[image.manifest].values()
            for document in holder.documents
            if document.digest == image.manifest
        )
        return Descriptor(media_type=found.media_type, digest=found.digest, size=found.size)

    def config(self, image: PlatformRecord) -> Descriptor | None:
        """None where it is not known which of the blobs it is."""
        blobs = (blob for holder in self._holders[image.manifest].values() for blob in holder.blobs)
        return next((blob for blob in blobs if blob.digest == image.config), None)

    def signatures(self, image: PlatformRecord) -> Iterator[Descriptor]:
        """The parts that its signatures need; a blob that several have is one."""
        parts: dict[Digest, Descriptor] = {}
        for signature in self._signatures.get(image.manifest, ()):
            parts[signature.digest] = _part(signature.root, SIGNATURE_CONTENT)
            for blob in signature.blobs:
                parts.setdefault(blob.digest, _part(blob, SIGNATURE_PART_CONTENT))
        return iter(parts.values())


def document_of(
    images: Images, old: PlatformRecord, new: PlatformRecord, offers: Mapping[DiffID, Offer]
) -> DeltaDocument | None:
    """None where it would save too little, or lack something."""
    config = images.config(new)
    layers = list(_layers(old, new, offers))
    parts = {part.digest: part.size for part in layers if part is not None}
    if config is None or old.config is None or None in layers or not offers:
        return None
    if sum(parts.values()) > next(iter(offers.values())).want.most:
        return None
    there = {layer.diff_id for layer in old.layers}
    reused = list({layer.digest: layer for layer in new.layers if layer.diff_id in there}.values())
    manifest = images.manifest(new)
    annotations = {
        TARGET: str(new.manifest),
        SOURCE: str(old.manifest),
        SOURCE_CONFIG: str(old.config),
        REUSED: _texts(layer.digest for layer in reused),
        REUSED_DIFF_ID: _texts(layer.diff_id for layer in reused),
    }
    raw = write_manifest(
        artifact_type=ARTIFACT_TYPE,
        config=Descriptor(media_type=OCI_EMPTY, digest=Digest.of(EMPTY_JSON), size=len(EMPTY_JSON)),
        layers=[
            _part(manifest, MANIFEST_CONTENT),
            _part(config, CONFIG_CONTENT),
            *(layer for layer in layers if layer is not None),
            *images.signatures(new),
        ],
        subject=manifest,
        annotations=annotations,
    )
    descriptor = Descriptor(
        media_type=OCI_MANIFEST,
        digest=Digest.of(raw),
        size=len(raw),
        artifact_type=ARTIFACT_TYPE,
        annotations=annotations,
    )
    document = parse_document(raw, OCI_MANIFEST, descriptor.digest)
    return DeltaDocument(document=document, descriptor=descriptor, listed_for=images.indexes(new.manifest))


def _layers(old: PlatformRecord, new: PlatformRecord, offers: Mapping[DiffID, Offer]) -> Iterator[Descriptor | None]:
    """How a client comes to each layer that the old image does not have; None for one to which there is no way."""
    there = {layer.diff_id for layer in old.layers}
    for layer in {layer.digest: layer for layer in new.layers if layer.diff_id not in there}.values():
        offer = offers.get(layer.diff_id)
        annotations = {CONTENT: LAYER_CONTENT, TO: str(layer.digest)}
        if offer is not None and not (layer.is_one_member and layer.size <= offer.size):
            yield Descriptor(media_type=TAR_DIFF, digest=offer.digest, size=offer.size, annotations=annotations)
        elif layer.is_one_member:
            yield Descriptor(media_type=OCI_GZIP_LAYER, digest=layer.digest, size=layer.size, annotations=annotations)
        else:
            yield None


def _part(descriptor: Descriptor, content: str) -> Descriptor:
    return Descriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        annotations={CONTENT: content},
    )


def _texts(values: Iterable[object]) -> str:
    """A JSON array as a string, as the annotations have it."""
    return json.dumps([str(value) for value in values], separators=(",", ":"))
