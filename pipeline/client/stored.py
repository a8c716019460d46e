"""Images in a layout: what a pull wrote there, and what other tools did.

A rebuilt layer is stored uncompressed, so the manifest of its image is another one than the registry's. The entry of
`index.json` says which it stands for: then a later pull knows what is there, and artifacts find their source.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..history.records.images import PlatformRecord
from ..layout.storage import BlobSource, LayoutError, read_small
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest, DigestError
from ..oci.fields import FieldError, Fields
from ..oci.manifest import MAX_CONFIG_SIZE, MAX_MANIFEST_SIZE, Index, Manifest, is_document, parse_document
from ..oci.media_types import DOCKER_CONFIG, OCI_CONFIG, OCI_MANIFEST
from ..oci.writing import write_manifest
from .images import RemoteImage, record_of
from .layers import MadeLayer
from .reference import ImageName

REF_NAME: Final = "org.opencontainers.image.ref.name"
# What was asked for, what the registry led to from there, and its manifest for this platform.
NAME: Final = "deltapress.pull.name"
ROOT: Final = "deltapress.pull.digest"
MANIFEST: Final = "deltapress.pull.manifest"

_MAX_IMAGES: Final = 1000
_MAX_DEPTH: Final = 4
_TWINS: Final = {
    DOCKER_CONFIG: OCI_CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """An image of one platform in a layout.

    `tag` is what the entry is called. `name`, `root` and `original` are what a pull noted of it: what was asked for,
    the digest that this led to, and the registry's manifest; None where another tool wrote the entry. `manifest` is
    what is stored, and `record` the same with the layers as they are stored.
    """

    tag: str | None
    name: str | None
    root: Digest | None
    original: Digest | None
    manifest: Manifest
    record: PlatformRecord

    @property
    def digests(self) -> tuple[Digest, ...]:
        """What a registry may call it."""
        return tuple(dict.fromkeys(found for found in (self.original, self.root, self.manifest.digest) if found))

    @property
    def blobs(self) -> tuple[Digest, ...]:
        """All that it is stored as."""
        manifest = self.manifest
        return (manifest.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers))

    def layers(self) -> dict[DiffID, Descriptor]:
        """Its layers, as they are stored."""
        return {layer.diff_id: stored for layer, stored in zip(self.record.layers, self.manifest.layers, strict=True)}

    def is_whole_in(self, storage: BlobSource) -> bool:
        """True where every blob is there, with its size."""
        return all(
            (content := storage.blob(blob.digest)) is not None and content.size == blob.size
            for blob in (self.manifest.config, *self.manifest.layers)
        )


def stored_images(storage: BlobSource, entries: tuple[Mapping[str, Any], ...]) -> Iterator[StoredImage]:
    """The images to which `entries` of an index.json lead; what cannot be read is none."""
    left = _MAX_IMAGES
    for entry in entries:
        for image in _images(storage, entry, depth=0):
            left -= 1
            if left < 0:
                return
            yield image


def _images(storage: BlobSource, entry: Mapping[str, Any], *, depth: int) -> Iterator[StoredImage]:
    try:
        descriptor = Descriptor.read(Fields(entry))
        if not is_document(descriptor):
            return
        raw = _read(storage, descriptor, MAX_MANIFEST_SIZE)
        document = parse_document(raw, descriptor.media_type, descriptor.digest)
        if isinstance(document, Index):
            for inner in document.manifests if depth < _MAX_DEPTH else ():
                yield from _images(storage, inner.to_json(), depth=depth + 1)
            return
        if not document.is_image:
            return
        record = record_of(document, _read(storage, document.config, MAX_CONFIG_SIZE))
    except (FieldError, LayoutError):
        return  # it may be half of something, and nobody asked for it
    # what stands in an index came from a registry, and is no note of ours
    notes = descriptor.annotations if depth == 0 else {}
    original = noted_digest(notes, MANIFEST)
    yield StoredImage(
        tag=notes.get(REF_NAME),
        name=notes.get(NAME),
        root=noted_digest(notes, ROOT),
        original=original,
        manifest=document,
        record=record,
    )


def _read(storage: BlobSource, descriptor: Descriptor, limit: int) -> bytes:
    content = storage.blob(descriptor.digest)
    if content is None:
        raise LayoutError(storage.path, f"blob {descriptor.digest.short} is missing")
    raw = read_small(storage, f"blob {descriptor.digest.short}", content, limit=limit)
    hasher = descriptor.digest.new_hasher()
    hasher.update(raw)
    if hasher.hexdigest() != descriptor.digest.hex:
        raise LayoutError(storage.path, f"blob {descriptor.digest.short} is damaged")
    return raw


def noted_digest(notes: Mapping[str, str], name: str) -> Digest | None:
    """The digest in an annotation; None where there is none that can be read."""
    try:
        return Digest.parse(notes.get(name, ""))
    except DigestError:
        return None


def manifest_of(image: RemoteImage, made: Mapping[DiffID, MadeLayer]) -> Manifest:
    """The manifest of the image as it is stored: the registry's own, if its layers are; but nobody finds one of
    Docker's in a layout."""
    stored = [made[layer.diff_id].stored for layer in image.record.layers]
    layers, own = ([(layer.digest, layer.size) for layer in found] for found in (stored, image.manifest.layers))
    if image.manifest.media_type == OCI_MANIFEST and layers == own:
        return image.manifest
    config = image.manifest.config
    raw = write_manifest(
        config=Descriptor(media_type=_twin(config.media_type), digest=config.digest, size=config.size),
        layers=[replace(layer, media_type=_twin(layer.media_type)) for layer in stored],
        annotations=image.manifest.annotations,
    )
    document = parse_document(raw, OCI_MANIFEST)
    assert isinstance(document, Manifest)
    return document


def _twin(media_type: str) -> str:
    """The OCI's name of a type, since an OCI manifest may hold no others."""
    return _TWINS.get(media_type, media_type)


def entry_of(image: RemoteImage, manifest: Manifest, name: ImageName, tag: str | None) -> dict[str, Any]:
    """The entry of `index.json` for an image that was pulled."""
    annotations = {NAME: str(name), ROOT: str(image.root), MANIFEST: str(image.manifest.digest)}
    if tag is not None:
        annotations[REF_NAME] = tag
    return replace(manifest.descriptor(image.record.platform), annotations=annotations).to_json()
