"""Manifests, indexes and image configurations: the raw bytes, with a parsed view beside them.

Rule 1. `raw` is what the digest was made of and what is published; the view is never written back.
Rule 2. `successors` is the only function that knows the edges of the content graph: reading, publishing, pruning and
        verifying all walk it.
Rule 3. No document over 4 MiB is read: clients refuse larger manifests (distribution-spec, "Pushing Manifests").
"""

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from .descriptor import Descriptor, Platform
from .digest import DiffID, Digest
from .fields import FieldError, Fields, parse_json_object
from .media_types import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    FOREIGN_LAYERS,
    IMAGE_CONFIGS,
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    TAR_LAYERS,
)

MAX_MANIFEST_SIZE: Final = 4 * 1024 * 1024
MAX_CONFIG_SIZE: Final = 4 * 1024 * 1024

_OCI_TWINS: Final = {DOCKER_MANIFEST: OCI_MANIFEST, DOCKER_LIST: OCI_INDEX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An image or artifact manifest (image-spec, manifest.md; Docker schema 2)."""

    raw: bytes
    media_type: str
    digest: Digest
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: dict[str, str]

    @property
    def is_image(self) -> bool:
        """True when config and layers are those of a container image, all of them readable tars."""
        return (
            self.config.media_type in IMAGE_CONFIGS
            and bool(self.layers)
            and all(layer.media_type in TAR_LAYERS for layer in self.layers)
        )

    def descriptor(self, platform: Platform | None = None) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw), platform=platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An image index, or Docker's manifest list (image-spec, image-index.md)."""

    raw: bytes
    media_type: str
    digest: Digest
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None
    artifact_type: str | None
    annotations: dict[str, str]

    def descriptor(self, platform: Platform | None = None) -> Descriptor:
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw), platform=platform)


Document = Manifest | Index


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The parts of an image configuration that are needed here (image-spec, config.md)."""

    platform: Platform
    diff_ids: tuple[DiffID, ...]
    created: str | None
    labels: dict[str, str]


def parse_document(raw: bytes, media_type: str = "", digest: Digest | None = None) -> Document:
    """Read a manifest or an index.

    `media_type` is what the descriptor said; empty where nothing did (older layouts omit it), then the document's own
    `mediaType` counts, then its shape; that of the result is what to serve it as. `digest` is the one under which the
    caller has verified `raw`; sha256 otherwise.

    Raises:
        FieldError: naming the key path of what is wrong.
    """
    if len(raw) > MAX_MANIFEST_SIZE:
        raise FieldError("", f"is {len(raw):,} bytes; clients read manifests of up to {MAX_MANIFEST_SIZE:,} bytes only")
    fields = Fields(parse_json_object(raw))
    version = fields.integer("schemaVersion") if fields.has("schemaVersion") else None
    if version != 2:
        raise fields.error("schemaVersion", f"is {version}, only 2 is supported (Docker schema 1 has no layer digests)")
    own_type = fields.text("mediaType", "")
    if media_type and own_type and media_type != own_type:
        raise fields.error("mediaType", f"is {own_type!r}, but its descriptor says {media_type!r}")
    if not own_type:
        # clients refuse what is served as Docker's and does not say so itself; as OCI's, all of them take it
        media_type = _OCI_TWINS.get(media_type, media_type)
    media_type = media_type or own_type or (OCI_INDEX if fields.has("manifests") else OCI_MANIFEST)
    subject = Descriptor.read(fields.object("subject")) if fields.has("subject") else None
    artifact_type = fields.optional_text("artifactType")
    annotations = fields.texts("annotations")
    if media_type in INDEXES:
        return Index(
            raw=raw,
            media_type=media_type,
            digest=digest or Digest.of(raw),
            manifests=tuple(Descriptor.read(entry) for entry in fields.objects("manifests")),
            subject=subject,
            artifact_type=artifact_type,
            annotations=annotations,
        )
    if media_type in MANIFESTS:
        return Manifest(
            raw=raw,
            media_type=media_type,
            digest=digest or Digest.of(raw),
            config=Descriptor.read(fields.object("config")),
            layers=tuple(Descriptor.read(entry) for entry in fields.objects("layers")),
            subject=subject,
            artifact_type=artifact_type,
            annotations=annotations,
        )
    raise fields.error(
        "mediaType", f"is {media_type!r}, which is not a type of manifest or index that registries serve"
    )


def is_document(descriptor: Descriptor) -> bool:
    """True when the descriptor leads to a manifest or an index, and not to a blob."""
    return descriptor.media_type in INDEXES or descriptor.media_type in MANIFESTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Successors:
    """What a document leads to: `documents` are served as manifests, `blobs` as blobs."""

    documents: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]


def successors(document: Document, documents: Container[Digest] = frozenset()) -> Successors:
    """The content that must be stored before `document` may be (distribution-spec, "Pushing Manifests").

    `documents` are those entries of an index that are manifests by their content, though their media type does not say
    so; clients fetch them as manifests all the same.

    A `subject` is not a successor: it may be missing or come later (distribution-spec, "Pushing Manifests with
    Subject").
    Foreign layers are none either: their bytes are fetched from their `urls`.
    """
    if isinstance(document, Index):
        found: tuple[list[Descriptor], list[Descriptor]] = [], []
        for entry in document.manifests:
            found[is_document(entry) or entry.digest in documents].append(entry)
        return Successors(documents=tuple(found[True]), blobs=tuple(found[False]))
    blobs = [layer for layer in document.layers if not (layer.media_type in FOREIGN_LAYERS and layer.urls)]
    return Successors(documents=(), blobs=(document.config, *blobs))


def parse_image_config(raw: bytes) -> ImageConfig:
    """Read an image configuration.

    An empty one, or one without DiffIDs, is what artifacts put there that borrow the media type: it has no `diff_ids`.

    Raises:
        FieldError: naming the key path of what is wrong.
    """
    if raw.strip() in (b"", b"null"):
        raw = b"{}"
    fields = Fields(parse_json_object(raw))
    if not fields.has("rootfs") or not (rootfs := fields.object("rootfs")).has("diff_ids"):
        # whatever else stands there is the artifact's own affair
        return ImageConfig(platform=Platform(os="", architecture=""), diff_ids=(), created=None, labels={})
    labels = {}
    if fields.has("config") and (inner := fields.object("config")).has("Labels"):
        labels = inner.texts("Labels")
    return ImageConfig(
        platform=Platform.read(fields),
        diff_ids=rootfs.diff_ids("diff_ids"),
        created=fields.optional_text("created"),
        labels=labels,
    )
