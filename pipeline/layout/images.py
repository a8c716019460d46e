"""From a descriptor to an image: every document that it reaches, verified, and the blobs that those need.

Rule 1. `successors` says what is reached; a walk knows no other edges.
Rule 2. Each document and each config of a layout is read once, however many refs lead to it; every descriptor is
        compared with what it leads to all the same.
Rule 3. Only what a delta can be made of becomes a `PlatformImage`. Everything else is carried as it is, and its configs
        are nobody's business.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ..content import Content
from ..oci.descriptor import Descriptor, Platform
from ..oci.digest import DiffID, Digest
from ..oci.fields import FieldError
from ..oci.manifest import (
    MAX_CONFIG_SIZE,
    MAX_MANIFEST_SIZE,
    Document,
    ImageConfig,
    Index,
    Manifest,
    parse_document,
    parse_image_config,
    successors,
)
from ..oci.media_types import INDEXES
from .storage import COPY_AGAIN, LayoutError, Storage, blob_name, read_small

# Tools nest two deep (an index of indexes). Documents are kept in memory, so a layout may not have any number of them.
MAX_DEPTH: Final = 8
MAX_DOCUMENTS: Final = 100_000
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024

REBUILD: Final = "The tool that made it wrote something wrong; build the image again."

_CREATED: Final = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What holds a descriptor, for messages: `manifest sha256:41aa… (tag nightly, linux/arm64)`."""

    noun: str
    digest: Digest | None = None
    tag: str | None = None
    platform: Platform | None = None

    @classmethod
    def of(cls, document: Document, *, tag: str | None, platform: Platform | None) -> "Holder":
        noun = "index" if isinstance(document, Index) else "manifest"
        return cls(noun=noun, digest=document.digest, tag=tag, platform=platform)

    @property
    def says(self) -> str:
        return f"{self.noun} says" if self.digest is None else f"the {self.noun} says"

    def __str__(self) -> str:
        name = self.noun if self.digest is None else f"{self.noun} {self.digest.short}"
        marks = ([f"tag {self.tag}"] if self.tag else []) + ([str(self.platform)] if self.platform else [])
        return f"{name} ({', '.join(marks)})" if marks else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer as it is stored, with the digest that its config gives for the uncompressed tar."""

    descriptor: Descriptor
    diff_id: DiffID


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformImage:
    """An image manifest whose layers are all readable tars: it may take part in deltas."""

    platform: Platform
    manifest: Manifest
    config: ImageConfig
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What one reference leads to.

    `documents` holds all that `root` reaches, each once, children before parents, `root` last; `blobs` what those need,
    each once. `platforms` is empty for what is not a container image. `created` is the youngest of its configs' dates.
    """

    root: Document
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    platforms: tuple[PlatformImage, ...]
    created: datetime | None

    @property
    def digest(self) -> Digest:
        return self.root.digest


class Reader:
    """Reads images from one layout, each document at most once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._documents: dict[Digest, Document] = {}
        self._configs: dict[Digest, ImageConfig] = {}
        self._bytes = 0

    def document(self, descriptor: Descriptor, *, holder: Holder) -> Document:
        """The manifest or index behind `descriptor`, which stands in `holder`.

        Raises:
            LayoutError: it is missing, not what the descriptor promises, or does not parse.
        """
        noun = "index" if descriptor.media_type in INDEXES else "manifest"
        what = f"{noun} {descriptor.digest.short} of {holder}"
        known = self._documents.get(descriptor.digest)
        if known is not None:
            self._compare(descriptor, known, what=what, holder=holder)
            return known
        raw = self._read(descriptor, limit=MAX_MANIFEST_SIZE, what=what, holder=holder)
        self._bytes += len(raw)
        if len(self._documents) == MAX_DOCUMENTS or self._bytes > MAX_DOCUMENT_BYTES:
            raise LayoutError(
                self._storage.path,
                f"holds more than {MAX_DOCUMENTS:,} manifests, or {MAX_DOCUMENT_BYTES:,} bytes of them.",
                advice="Divide it into several layouts.",
            )
        try:
            document = parse_document(raw, descriptor.media_type, descriptor.digest)
        except FieldError as error:
            raise self._error(f"{what}: {error}.", descriptor, holder) from error
        self._documents[descriptor.digest] = document
        return document

    def image(self, descriptor: Descriptor, *, holder: Holder) -> Image:
        """Everything that `descriptor`, which stands in `holder`, leads to. Raises LayoutError."""
        walk = _Walk()
        root = self._visit(walk, descriptor, holder=holder, depth=1)
        return Image(
            root=root,
            documents=tuple(walk.documents.values()),
            blobs=tuple(walk.blobs.values()),
            platforms=tuple(walk.platforms.values()),
            created=_created(root, walk),
        )

    def _visit(self, walk: "_Walk", descriptor: Descriptor, *, holder: Holder, depth: int) -> Document:
        document = self.document(descriptor, holder=holder)
        here = Holder.of(document, tag=holder.tag, platform=descriptor.platform)
        if document.digest not in walk.documents:
            if depth > MAX_DEPTH:
                raise self._error(f"{here} is nested more than {MAX_DEPTH} indexes deep.", descriptor, holder)
            edges = successors(document)
            for child in edges.documents:
                self._visit(walk, child, holder=here, depth=depth + 1)
            for blob in edges.blobs:
                if (other := walk.blobs.setdefault(blob.digest, blob)).size != blob.size:
                    problem = (
                        f"blob {blob.digest.short} is {blob.size:,} bytes in {here}, but {other.size:,} elsewhere."
                    )
                    raise self._error(problem, blob, holder, advice=REBUILD)
            walk.documents[document.digest] = document
        if isinstance(document, Manifest) and document.is_image:
            image = self._platform_image(document, here)
            if not image.platform.is_unknown:
                walk.platforms.setdefault((document.digest, image.platform), image)
        return document

    def _platform_image(self, manifest: Manifest, here: Holder) -> PlatformImage:
        what = f"config {manifest.config.digest.short} of {here}"
        config = self._configs.get(manifest.config.digest)
        if config is None:
            raw = self._read(manifest.config, limit=MAX_CONFIG_SIZE, what=what, holder=here)
            try:
                config = parse_image_config(raw)
            except FieldError as error:
                raise self._error(f"{what}: {error}.", manifest.config, here) from error
            self._configs[manifest.config.digest] = config
        if len(config.diff_ids) != len(manifest.layers):
            problem = f"{what}: rootfs.diff_ids has {len(config.diff_ids)} entries for {len(manifest.layers)} layers."
            raise self._error(problem, manifest.config, here, advice=REBUILD)
        said = here.platform
        return PlatformImage(
            platform=said if said is not None and said.os and said.architecture else config.platform,
            manifest=manifest,
            config=config,
            layers=tuple(
                Layer(descriptor=layer, diff_id=diff_id)
                for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
            ),
        )

    def _read(self, descriptor: Descriptor, *, limit: int, what: str, holder: Holder) -> bytes:
        raw = read_small(
            self._storage, what, find_blob(self._storage, descriptor, what=what, holder=holder), limit=limit
        )
        hasher = descriptor.digest.new_hasher()
        hasher.update(raw)
        if hasher.hexdigest() != descriptor.digest.hex:
            raise self._error(
                f"{what} is damaged: its bytes have another digest.", descriptor, holder, advice=COPY_AGAIN
            )
        return raw

    def _compare(self, descriptor: Descriptor, document: Document, *, what: str, holder: Holder) -> None:
        if descriptor.size != len(document.raw):
            problem = f"{what} is {len(document.raw):,} bytes, {holder.says} {descriptor.size:,}."
            raise self._error(problem, descriptor, holder, advice=REBUILD)
        if descriptor.media_type and descriptor.media_type != document.media_type:
            problem = f"{what} is of type {document.media_type!r}, {holder.says} {descriptor.media_type!r}."
            raise self._error(problem, descriptor, holder, advice=REBUILD)

    def _error(self, problem: str, descriptor: Descriptor, holder: Holder, *, advice: str = "") -> LayoutError:
        return LayoutError(self._storage.path, problem, advice=advice, digest=descriptor.digest, tag=holder.tag)


@dataclass(slots=True)
class _Walk:
    """What a walk from one root has met so far, in order."""

    documents: dict[Digest, Document] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    platforms: dict[tuple[Digest, Platform], PlatformImage] = field(default_factory=dict)


def find_blob(storage: Storage, descriptor: Descriptor, *, what: str, holder: Holder) -> Content:
    """The content of `descriptor`, there and of the promised size; its digest is still to be checked.

    Raises:
        LayoutError: it is missing, of another size, or no plain file.
    """
    content = storage.find(blob_name(descriptor.digest))
    if content is None:
        problem = f"{what} is missing."
    elif content.size != descriptor.size:
        problem = f"{what} is {content.size:,} bytes, {holder.says} {descriptor.size:,}."
    else:
        return content
    raise LayoutError(storage.path, problem, advice=COPY_AGAIN, digest=descriptor.digest, tag=holder.tag)


def _created(root: Document, walk: _Walk) -> datetime | None:
    dates = [date for image in walk.platforms.values() if (date := _date(image.config.created)) is not None]
    return max(dates) if dates else _date(root.annotations.get(_CREATED))


def _date(text: str | None) -> datetime | None:
    """RFC 3339 as far as Python reads it. Tools write odd dates, and an odd date is not a reason to refuse an image."""
    try:
        date = datetime.fromisoformat(text or "")
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
