"""What the ledger remembers of images, tags, deltas and keys: enough to plan and assemble without reading them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from datetime import datetime, timedelta
from typing import Any, Final, Self

from ..config.values import FlatpakRemote
from ..oci.descriptor import Descriptor, Platform
from ..oci.digest import DiffID, Digest, DigestError
from ..oci.fields import Fields
from ..oci.manifest import is_document

FLATPAK_LABELS: Final = ("org.flatpak.ref", "org.flatpak.metadata")
# What pages say of an image, by label or annotation (image-spec, annotations.md, "Pre-Defined Annotation Keys").
SHOWN_LABELS: Final = tuple(
    f"org.opencontainers.image.{name}"
    for name in (
        *("title", "description", "version", "revision", "source", "url"),
        *("documentation", "licenses", "vendor", "authors", "base.name"),
    )
)
_REMOTE_FIELDS: Final = fields_of(FlatpakRemote)


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
                _digest(fields, "subjects", key): _digest(fields, "subjects", value)
                for key, value in fields.texts("subjects").items()
            },
            created=read_time(fields, "created") if fields.has("created") else None,
            absent=_digests(fields, "absent"),
            listed_for=_digests(fields, "listedFor"),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From `since` on, a tag pointed to `image`."""

    image: Digest
    since: datetime

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(image=fields.digest("image"), since=read_time(fields, "since"))

    def to_json(self) -> dict[str, str]:
        return {"image": str(self.image), "since": write_time(self.since)}


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRecord:
    """Where a tag pointed, oldest first, never twice the same in a row. `lost` is when its layout ceased to have it;
    `instead_of` is what the layout has under it, where somebody has pointed it to another image."""

    moves: tuple[Move, ...]
    lost: datetime | None = None
    instead_of: Digest | None = None

    @property
    def image(self) -> Digest:
        return self.moves[-1].image

    @property
    def has_moved(self) -> bool:
        return len(self.moves) > 1

    @classmethod
    def read(cls, fields: Fields) -> Self:
        moves = tuple(Move.read(entry) for entry in fields.objects("moves"))
        if not moves:
            raise fields.error("moves", "is empty")
        return cls(
            moves=moves,
            lost=read_time(fields, "lost") if fields.has("lost") else None,
            instead_of=fields.digest("instead_of") if fields.has("instead_of") else None,
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"moves": [move.to_json() for move in self.moves]}
        if self.lost is not None:
            found["lost"] = write_time(self.lost)
        if self.instead_of is not None:
            found["instead_of"] = str(self.instead_of)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesRecord:
    """By what a repository was published last: what decides which deltas it lists, and how long it keeps what it does
    not. Its publisher's configuration says it; another one for the same target goes by this.

    `delta_url`: the index of flatpak says where its deltas are. `pulls` says how often each image manifest was pulled,
    as far as that was counted and decides something. `remote` is the name of the flatpak remote to which it
    belongs, see `RemoteRecord`. `mirrored_from` is the URL of its source, where it is mirrored: then its deltas and
    listings are not made here.
    """

    versions: int
    max_ratio: float
    grace: timedelta
    scopes: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("deltaindex",)
    delta_url: bool = False
    sources_within: timedelta = timedelta(0)
    sources_monthly: int = 0
    max_deltas: int | None = None
    pulls: Mapping[Digest, int] | None = None
    remote: str | None = None
    mirrored_from: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        ratio = fields.value("maxRatio") if fields.has("maxRatio") else None
        if not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise fields.error("maxRatio", "is no share between 0 and 1")
        return cls(
            versions=fields.size("versions"),
            max_ratio=float(ratio),
            grace=_read_span(fields, "grace"),
            scopes=fields.list_of_texts("scopes"),
            formats=fields.list_of_texts("formats") if fields.has("formats") else ("deltaindex",),
            delta_url=fields.has("deltaUrl"),
            sources_within=_read_span(fields, "sourcesWithin") if fields.has("sourcesWithin") else timedelta(0),
            sources_monthly=fields.size("sourcesMonthly") if fields.has("sourcesMonthly") else 0,
            max_deltas=fields.size("maxDeltas") if fields.has("maxDeltas") else None,
            pulls=read_pulls(fields.object("pulls")) if fields.has("pulls") else None,
            remote=fields.optional_text("remote"),
            mirrored_from=fields.optional_text("mirroredFrom"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "versions": self.versions,
            "maxRatio": self.max_ratio,
            "grace": int(self.grace.total_seconds()),
        }
        if self.scopes:
            found["scopes"] = list(self.scopes)
        if self.formats != ("deltaindex",):
            found["formats"] = list(self.formats)
        if self.delta_url:
            found["deltaUrl"] = True
        if self.sources_within:
            found["sourcesWithin"] = int(self.sources_within.total_seconds())
        if self.sources_monthly:
            found["sourcesMonthly"] = self.sources_monthly
        if self.max_deltas is not None:
            found["maxDeltas"] = self.max_deltas
        if self.pulls is not None:
            found["pulls"] = {str(image): self.pulls[image] for image in sorted(self.pulls, key=str)}
        if self.remote is not None:
            found["remote"] = self.remote
        if self.mirrored_from is not None:
            found["mirroredFrom"] = self.mirrored_from
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRecord:
    """A flatpak remote, as the configuration describes it that published its repositories last."""

    remote: FlatpakRemote

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(remote=FlatpakRemote(**{known.name: fields.text(known.name, "") for known in _REMOTE_FIELDS}))

    def to_json(self) -> dict[str, str]:
        found = {known.name: str(getattr(self.remote, known.name)) for known in _REMOTE_FIELDS}
        return {name: text for name, text in found.items() if text}


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRecord:
    """What is published of one repository: tags and images in the order in which they were first seen.

    `rules` are None until a publisher that knows them has published it. `carried` are the names of repositories whose
    history this one goes on from.
    """

    tags: Mapping[str, TagRecord] = field(default_factory=dict)
    images: Mapping[Digest, ImageRecord] = field(default_factory=dict)
    rules: RulesRecord | None = None
    carried: tuple[str, ...] = ()

    @property
    def mirrored_from(self) -> str | None:
        """The URL of the source of a mirrored repository; None for one that is published from a layout."""
        return self.rules.mirrored_from if self.rules is not None else None

    def platform_images(self) -> Iterator[PlatformRecord]:
        for image in self.images.values():
            yield from image.platforms

    def layers(self) -> Iterator[LayerRecord]:
        for image in self.platform_images():
            yield from image.layers

    @classmethod
    def read(cls, fields: Fields) -> Self:
        tags = fields.object("tags")
        images = [ImageRecord.read(entry) for entry in fields.objects("images")]
        return cls(
            tags={tag: TagRecord.read(tags.object(tag)) for tag in tags.names()},
            images={image.digest: image for image in images},
            rules=RulesRecord.read(fields.object("rules")) if fields.has("rules") else None,
            carried=fields.list_of_texts("carried"),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "tags": {tag: record.to_json() for tag, record in self.tags.items()},
            "images": [image.to_json() for image in self.images.values()],
        }
        if self.rules is not None:
            found["rules"] = self.rules.to_json()
        if self.carried:
            found["carried"] = list(self.carried)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRecord:
    """What somebody took out of publication, and when; `taken` are the tags and the images that were named then."""

    since: datetime
    taken: RepositoryRecord

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(since=read_time(fields, "since"), taken=RepositoryRecord.read(fields.object("taken")))

    def to_json(self) -> dict[str, Any]:
        return {"since": write_time(self.since), "taken": self.taken.to_json()}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DeltaKey:
    """What a delta is made from and to.

    `below` are the layers under the `from` layer whose files serve as sources too, lowest first: where the client has
    the whole image for certain. It is empty where only the files of the `from` layer itself are certain to be there.
    """

    from_diff_id: DiffID
    to_diff_id: DiffID
    below: tuple[DiffID, ...] = ()

    def __str__(self) -> str:
        return f"{self.from_diff_id.short} -> {self.to_diff_id.short}"

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            from_diff_id=read_diff_id(fields, "from"),
            to_diff_id=read_diff_id(fields, "to"),
            below=fields.diff_ids("below") if fields.has("below") else (),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"from": str(self.from_diff_id), "to": str(self.to_diff_id)}
        if self.below:
            found["below"] = [str(diff_id) for diff_id in self.below]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractionRecord:
    """When somebody retracted deltas; `deltas` are those that one blob was, where a single one was named."""

    since: datetime
    deltas: tuple[DeltaKey, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        deltas = fields.objects("deltas") if fields.has("deltas") else ()
        return cls(since=read_time(fields, "since"), deltas=tuple(map(DeltaKey.read, deltas)))

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"since": write_time(self.since)}
        if self.deltas:
            found["deltas"] = [key.to_json() for key in self.deltas]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRecord:
    """A delta that was made and proven, or the reason why there is none.

    `size` is in bytes, 0 when it was not even made; `digest` is None when it is not stored; `generator` and `options`
    say by which encoder: another one makes it again.
    """

    key: DeltaKey
    generator: str
    options: str
    size: int = 0
    digest: Digest | None = None
    refused: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            key=DeltaKey.read(fields),
            generator=fields.text("generator"),
            options=fields.text("options"),
            size=fields.size("size"),
            digest=fields.digest("digest") if fields.has("digest") else None,
            refused=fields.optional_text("refused"),
        )

    def to_json(self) -> dict[str, Any]:
        found = self.key.to_json() | {"generator": self.generator, "options": self.options, "size": self.size}
        if self.digest is not None:
            found["digest"] = str(self.digest)
        if self.refused is not None:
            found["refused"] = self.refused
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What was written under a key.

    `headers` is the fingerprint of those that were stored with it; `order` that of its writing, which deletion
    reverses. While `is_pending` it is about to be written or deleted, and nothing is certain. Since `unreferenced`
    nothing has led to it.
    """

    digest: Digest
    size: int
    order: tuple[int, int]
    headers: str = ""
    is_pending: bool = False
    unreferenced: datetime | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            digest=fields.digest("digest"),
            size=fields.size("size"),
            order=(fields.size("phase"), fields.size("rank") if fields.has("rank") else 0),
            headers=fields.text("headers", ""),
            is_pending=fields.has("pending"),
            unreferenced=read_time(fields, "unreferenced") if fields.has("unreferenced") else None,
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"digest": str(self.digest), "size": self.size, "phase": self.order[0]}
        if self.order[1]:
            found["rank"] = self.order[1]
        if self.headers:
            found["headers"] = self.headers
        if self.is_pending:
            found["pending"] = True
        if self.unreferenced is not None:
            found["unreferenced"] = write_time(self.unreferenced)
        return found


def read_time(fields: Fields, name: str) -> datetime:
    """An RFC 3339 time with its zone."""
    text = fields.text(name)
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise fields.error(name, f"must be a time, not {text[:40]!r}") from error
    if value.tzinfo is None:
        raise fields.error(name, f"must be a time with a time zone, not {text[:40]!r}")
    return value


def _read_span(fields: Fields, name: str) -> timedelta:
    try:
        return timedelta(seconds=fields.size(name))
    except OverflowError as error:
        raise fields.error(name, "is more than a time can be") from error


def read_pulls(fields: Fields) -> dict[Digest, int]:
    """How often each image manifest was pulled: the names are digests."""
    found: dict[Digest, int] = {}
    for name in fields.names():
        try:
            found[Digest.parse(name)] = fields.size(name)
        except DigestError as error:
            raise fields.error(name, str(error)) from error
    return found


def write_time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def read_diff_id(fields: Fields, name: str) -> DiffID:
    return parse_diff_id(fields, fields.text(name), name)


def parse_diff_id(fields: Fields, text: str, name: str | None = None) -> DiffID:
    """`text` is a member of `fields` under `name`, or the name of a member itself."""
    try:
        return DiffID.parse(text)
    except DigestError as error:
        raise fields.error(name or text, str(error)) from error


def _digests(fields: Fields, name: str) -> frozenset[Digest]:
    return frozenset(_digest(fields, name, text) for text in fields.list_of_texts(name))


def _digest(fields: Fields, name: str, text: str) -> Digest:
    try:
        return Digest.parse(text)
    except DigestError as error:
        raise fields.error(name, str(error)) from error
