"""What the ledger remembers of images: enough to plan deltas and to assemble without reading them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from ...oci.descriptor import Descriptor, Platform
from ...oci.digest import DiffID, Digest
from ...oci.fields import Fields
from ...oci.manifest import is_document
from .fields import parse_digest, read_diff_id, read_time, write_time

FLATPAK_LABELS: Final = ("org.flatpak.ref", "org.flatpak.metadata")

# What pages say of an image, by label or annotation (image-spec, annotations.md, "Pre-Defined Annotation Keys").
SHOWN_LABELS: Final = tuple(
    f"org.opencontainers.image.{name}"
    for name in (
        *("title", "description", "version", "revision", "source", "url"),
        *("documentation", "licenses", "vendor", "authors", "base.name"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """One layer of an image; `size` is that of the stored (compressed) blob in bytes.

    It `is_one_member` where its reader found exactly one gzip member; of what nobody looked at so, that is not known.
    """

    diff_id: DiffID
    digest: Digest
    size: int
    media_type: str
    is_one_member: bool = False

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            diff_id=read_diff_id(fields, "diffId"),
            digest=fields.digest("digest"),
            size=fields.size("size"),
            media_type=fields.text("mediaType"),
            is_one_member=fields.has("oneMember"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "diffId": str(self.diff_id),
            "digest": str(self.digest),
            "size": self.size,
            "mediaType": self.media_type,
        }
        if self.is_one_member:
            found["oneMember"] = True
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformRecord:
    """An image manifest for one platform, all layers of it readable tars: it may take part in deltas.

    `config` is the digest of its configuration; None where a ledger is older than the need for it, until the layout has
    the image again. `labels` are all of a flatpak image, whose index repeats them, and of others `SHOWN_LABELS`.
    """

    platform: Platform
    manifest: Digest
    layers: tuple[LayerRecord, ...]
    config: Digest | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_flatpak(self) -> bool:
        """True for what flatpak clients take as theirs: both labels are there."""
        return all(label in self.labels for label in FLATPAK_LABELS)

    @property
    def size(self) -> int:
        """What a client without deltas downloads for the layers, in bytes."""
        return sum(layer.size for layer in self.layers)

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            platform=Platform.read(fields.object("platform")),
            manifest=fields.digest("manifest"),
            layers=tuple(LayerRecord.read(entry) for entry in fields.objects("layers")),
            config=fields.digest("config") if fields.has("config") else None,
            labels=fields.texts("labels"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "platform": self.platform.to_json(),
            "manifest": str(self.manifest),
            "layers": [layer.to_json() for layer in self.layers],
        }
        if self.config is not None:
            found["config"] = str(self.config)
        if self.labels:
            found["labels"] = dict(sorted(self.labels.items()))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What one tag can point to: a manifest or an index, and all that it reaches.

    `documents` are the descriptors of its manifests and indexes, children before parents, the root last; `subjects`
    says which of them are attached to another document (by the digest of the attached one). `absent` are manifests
    that its indexes name and no layout had: of an index that is published as it is, clients of the other platforms
    find theirs. `listed_for` are documents whose referrers name the image as a whole, though it is attached to another:
    what is mirrored is listed as it was at its source.
    """

    documents: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]
    platforms: tuple[PlatformRecord, ...]
    subjects: Mapping[Digest, Digest] = field(default_factory=dict, hash=False)
    created: datetime | None = None
    absent: frozenset[Digest] = frozenset()
    listed_for: frozenset[Digest] = frozenset()

    @property
    def root(self) -> Descriptor:
        return self.documents[-1]

    @property
    def digest(self) -> Digest:
        return self.root.digest

    @property
    def subject(self) -> Digest | None:
        """What the image as a whole is attached to, such as the image that a signature signs."""
        return self.subjects.get(self.digest)

    @property
    def size(self) -> int:
        """Bytes of its blobs, each once."""
        return sum({blob.digest: blob.size for blob in self.blobs}.values())

    @classmethod
    def read(cls, fields: Fields) -> Self:
        documents = tuple(Descriptor.read(entry) for entry in fields.objects("documents"))
        if not documents or not all(is_document(document) for document in documents):
            raise fields.error("documents", "does not list the manifests of an image")
        return cls(
            documents=documents,
            blobs=tuple(Descriptor.read(entry) for entry in fields.objects("blobs")),
            platforms=tuple(PlatformRecord.read(entry) for entry in fields.objects("platforms")),
            subjects={
                parse_digest(fields, key, "subjects"): parse_digest(fields, value, "subjects")
                for key, value in fields.texts("subjects").items()
            },
            created=read_time(fields, "created") if fields.has("created") else None,
            absent=frozenset(fields.digests("absent")),
            listed_for=frozenset(fields.digests("listedFor")),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"documents": [document.to_json() for document in self.documents]}
        found["blobs"] = [blob.to_json() for blob in self.blobs]
        found["platforms"] = [platform.to_json() for platform in self.platforms]
        if self.subjects:
            found["subjects"] = {str(key): str(value) for key, value in sorted(self.subjects.items())}
        if self.created is not None:
            found["created"] = write_time(self.created)
        if self.absent:
            found["absent"] = sorted(map(str, self.absent))
        if self.listed_for:
            found["listedFor"] = sorted(map(str, self.listed_for))
        return found
