"""From a descriptor to an image: every document that it reaches, verified, and the blobs that those need.

Rule 1. `successors` says what is reached; a walk knows no other edges.
Rule 2. Each document and each config of a layout is read once, however many refs lead to it; every descriptor is
        compared with what it leads to all the same.
Rule 3. Only what a delta can be made of becomes a `PlatformImage`. Everything else is carried as it is, and its configs
        are nobody's business.
Rule 4. An index may name manifests that the layout does not have, as `docker save` of one platform writes it; clients
        fetch the one for their platform alone. They are `absent`. Everything else that is missing is a fault.
Rule 5. What an entry of an index is, its content says where its media type does not: clients look there too.
"""

from collections.abc import Mapping
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
    is_document,
    parse_document,
    parse_image_config,
    successors,
)
from ..oci.media_types import INDEXES, TAR_LAYERS
from .storage import COPY_AGAIN, LayoutError, Storage, blob_name, read_small

# Tools nest two deep (an index of indexes). Documents are kept in memory, so a layout may not have any number of them.
MAX_DEPTH: Final = 8
MAX_DOCUMENTS: Final = 100_000
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
# Planning compares each layer of an image with each of another. No kernel stacks so many.
MAX_LAYERS: Final = 500
# What the ledger has to remember of a layout, in bytes: many images may share documents, of which it holds copies.
ANY_MEMORY: Final = 64 * 1024 * 1024
ANY_TEXT: Final = 16 * 1024 * 1024  # of that, in labels of flatpaks and annotations of what is attached
MEMORY_RATIO: Final = 8
MAX_MEMORY: Final = 512 * 1024 * 1024
_ENTRY, _LAYER = 200, 300  # of a document or a blob, and of a layer of a platform

REBUILD: Final = "The tool that made it wrote something wrong; build the image again."

_CREATED: Final = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a descriptor stands, for messages: `manifest sha256:41aa… (tag nightly, linux/arm64)`."""

    noun: str
    digest: Digest | None = None
    tag: str | None = None
    platform: Platform | None = None

    @classmethod
    def of(cls, document: Document, *, tag: str | None, platform: Platform | None) -> "Origin":
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
    each once. `platforms` is empty for what is no container image. `created` is the youngest of its configs' dates.
    `absent` are the manifests that its indexes name and the layout does not have.
    """

    root: Document
    documents: tuple[Document, ...]
    blobs: tuple[Descriptor, ...]
    platforms: tuple[PlatformImage, ...]
    created: datetime | None
    absent: tuple[Descriptor, ...] = ()

    @property
    def digest(self) -> Digest:
        return self.root.digest


class LayoutTooLargeError(LayoutError):
    """The layout as a whole exceeds a bound."""


class Reader:
    """Reads images from one layout, each document, config and image at most once."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._documents: dict[Digest, Document] = {}
        self._configs: dict[Digest, ImageConfig] = {}
        self._layers: dict[Digest, tuple[Layer, ...]] = {}
        self._images: dict[tuple[Digest, Platform | None], Image] = {}
        self._faults: dict[tuple[Digest, Platform | None], LayoutError] = {}
        self._looks: dict[Digest, bool] = {}
        self._bytes = 0
        self._remembered = 0
        self._texts = 0

    def document(self, descriptor: Descriptor, *, origin: Origin) -> Document:
        """The manifest or index behind `descriptor`, which stands in `origin`.

        Raises:
            LayoutError: it is missing, not what the descriptor promises, or does not parse.
        """
        noun = "index" if descriptor.media_type in INDEXES else "manifest"
        what = f"{noun} {descriptor.digest.short} of {origin}"
        known = self._documents.get(descriptor.digest)
        if known is not None:
            self._compare(descriptor, known, what=what, origin=origin)
            return known
        raw = self._read(descriptor, limit=MAX_MANIFEST_SIZE, what=what, origin=origin)
        try:
            document = parse_document(raw, descriptor.media_type if is_document(descriptor) else "", descriptor.digest)
        except FieldError as error:
            raise self._error(f"{what}: {error}.", descriptor, origin) from error
        self._documents[descriptor.digest] = document
        return document

    def image(self, descriptor: Descriptor, *, origin: Origin) -> Image:
        """Everything that `descriptor`, which stands in `origin`, leads to. Raises LayoutError."""
        key = descriptor.digest, descriptor.platform
        known = self._images.get(key)
        if known is not None:
            self.document(descriptor, origin=origin)
            return known
        if (fault := self._faults.get(key)) is not None:
            same = f"tag {origin.tag} leads to what tag {fault.tag} leads to: " if origin.tag and fault.tag else ""
            raise self._error(same + fault.problem, descriptor, origin, advice=fault.advice) from fault
        try:
            image = self._walked(descriptor, origin)
        except LayoutError as error:
            self._faults[key] = error
            raise
        self._remember(image)
        self._images[key] = image
        return image

    def _walked(self, descriptor: Descriptor, origin: Origin) -> Image:
        walk = _Walk()
        root = self._visit(walk, descriptor, origin=origin, depth=1)
        return Image(
            root=root,
            documents=tuple(walk.documents.values()),
            blobs=tuple(walk.blobs.values()),
            platforms=tuple(walk.platforms.values()),
            created=_created(root, walk),
            absent=tuple(walk.absent.values()),
        )

    def _visit(self, walk: "_Walk", descriptor: Descriptor, *, origin: Origin, depth: int) -> Document:
        document = self.document(descriptor, origin=origin)
        here = Origin.of(document, tag=origin.tag, platform=descriptor.platform)
        if document.digest not in walk.documents:
            if depth > MAX_DEPTH:
                raise self._error(f"{here} is nested more than {MAX_DEPTH} indexes deep.", descriptor, origin)
            if isinstance(document, Index):
                self._visit_entries(walk, document, here, depth)
            else:
                for blob in successors(document).blobs:
                    self._add_blob(walk, blob, here)
            walk.documents[document.digest] = document
        if isinstance(document, Manifest) and document.is_image:
            image = self._platform_image(document, here)
            if image is not None and not image.platform.is_unknown:
                walk.platforms.setdefault((document.digest, image.platform), image)
        return document

    def _visit_entries(self, walk: "_Walk", index: Index, here: Origin, depth: int) -> None:
        absent: list[Descriptor] = []
        is_useful = False
        for entry in index.manifests:
            if not self._is_document(entry):
                self._add_blob(walk, entry, here)
            elif self._is_absent(entry, here):
                absent.append(entry)
                continue
            else:
                self._visit(walk, entry, origin=here, depth=depth + 1)
            is_useful |= entry.platform is None or not entry.platform.is_unknown
        if absent and not is_useful:
            what = f"manifest {absent[0].digest.short} of {here}"
            problem = f"{what} is missing, and so is each other that the index names; nobody could use it."
            raise self._error(problem, absent[0], here, advice=COPY_AGAIN)
        walk.absent.update((entry.digest, entry) for entry in absent)

    def _add_blob(self, walk: "_Walk", blob: Descriptor, here: Origin) -> None:
        if (other := walk.blobs.setdefault(blob.digest, blob)).size != blob.size:
            problem = f"blob {blob.digest.short} is {blob.size:,} bytes in {here}, but {other.size:,} elsewhere."
            raise self._error(problem, blob, here, advice=REBUILD)

    def _is_absent(self, entry: Descriptor, here: Origin) -> bool:
        """True for a manifest that is not there; also where nothing but the manifest itself is, as containerd has it
        of the platforms that it did not pull."""
        if self._storage.find(blob_name(entry.digest)) is None:
            return True
        document = self.document(entry, origin=here)
        if not isinstance(document, Manifest) or not document.is_image:
            return False
        return all(self._storage.find(blob_name(blob.digest)) is None for blob in (document.config, *document.layers))

    def _is_document(self, entry: Descriptor) -> bool:
        """What clients take for a manifest: by its media type, or where that is none of theirs, by its content."""
        if is_document(entry) or entry.digest in self._documents:
            return True
        found = self._looks.get(entry.digest)
        if found is None:
            found = self._looks[entry.digest] = self._looks_like_document(entry)
        return found

    def _looks_like_document(self, entry: Descriptor) -> bool:
        content = self._storage.find(blob_name(entry.digest))
        if content is None:
            return not entry.media_type
        if entry.media_type in TAR_LAYERS or content.size != entry.size or content.size > MAX_MANIFEST_SIZE:
            return False
        raw = read_small(self._storage, f"blob {entry.digest.short}", content, limit=MAX_MANIFEST_SIZE)
        try:
            parse_document(raw)
        except FieldError:
            return False
        return True

    def _platform_image(self, manifest: Manifest, here: Origin) -> PlatformImage | None:
        """None for an artifact that calls its config an image's: OPA's bundles, Wasm modules and models do."""
        config = self._config(manifest, here)
        if not config.diff_ids:
            return None
        layers = self._layers.get(manifest.digest)
        if layers is None:
            what = f"config {manifest.config.digest.short} of {here}"
            if len(manifest.layers) > MAX_LAYERS:
                problem = f"{here} has {len(manifest.layers):,} layers, an image may have {MAX_LAYERS}."
                raise self._error(problem, manifest.config, here, advice="Build it with fewer, larger ones.")
            if len(config.diff_ids) != len(manifest.layers):
                problem = (
                    f"{what}: rootfs.diff_ids has {len(config.diff_ids)} entries for {len(manifest.layers)} layers."
                )
                raise self._error(problem, manifest.config, here, advice=REBUILD)
            layers = self._layers[manifest.digest] = tuple(
                Layer(descriptor=layer, diff_id=diff_id)
                for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
            )
        said = here.platform
        return PlatformImage(
            platform=said if said is not None and said.os and said.architecture else config.platform,
            manifest=manifest,
            config=config,
            layers=layers,
        )

    def _config(self, manifest: Manifest, here: Origin) -> ImageConfig:
        config = self._configs.get(manifest.config.digest)
        if config is None:
            what = f"config {manifest.config.digest.short} of {here}"
            raw = self._read(manifest.config, limit=MAX_CONFIG_SIZE, what=what, origin=here)
            try:
                config = parse_image_config(raw)
            except FieldError as error:
                raise self._error(f"{what}: {error}.", manifest.config, here) from error
            self._configs[manifest.config.digest] = config
        return config

    def _remember(self, image: Image) -> None:
        """Count what the ledger will hold of it."""
        labels = {found.manifest.digest: found.config.labels for found in image.platforms}
        texts = sum(map(_length, labels.values()))
        texts += sum(_length(document.annotations) for document in image.documents if document.subject is not None)
        self._texts += texts
        self._remembered += (
            _ENTRY * (len(image.documents) + len(image.blobs) + len(image.absent) + len(image.platforms))
            + _LAYER * sum(len(found.layers) for found in image.platforms)
            + texts
        )
        for held, free in ((self._remembered, ANY_MEMORY), (self._texts, ANY_TEXT)):
            most = min(free + MEMORY_RATIO * self._bytes, MAX_MEMORY)
            if held > most:
                raise LayoutTooLargeError(
                    self._storage.path,
                    f"its images share so much that the ledger would have to hold more than {most:,} bytes of them "
                    f"({free:,} and {MEMORY_RATIO} times their manifests and configs are allowed).",
                    advice="Divide it into several layouts.",
                )

    def _read(self, descriptor: Descriptor, *, limit: int, what: str, origin: Origin) -> bytes:
        raw = read_small(
            self._storage, what, find_blob(self._storage, descriptor, what=what, origin=origin), limit=limit
        )
        hasher = descriptor.digest.new_hasher()
        hasher.update(raw)
        if hasher.hexdigest() != descriptor.digest.hex:
            raise self._error(f"{what} is damaged: its digest is not that.", descriptor, origin, advice=COPY_AGAIN)
        self._bytes += len(raw)
        if len(self._documents) + len(self._configs) >= MAX_DOCUMENTS or self._bytes > MAX_DOCUMENT_BYTES:
            raise LayoutTooLargeError(
                self._storage.path,
                f"holds more than {MAX_DOCUMENTS:,} manifests and configs, or {MAX_DOCUMENT_BYTES:,} bytes of them.",
                advice="Divide it into several layouts.",
            )
        return raw

    def _compare(self, descriptor: Descriptor, document: Document, *, what: str, origin: Origin) -> None:
        if descriptor.size != len(document.raw):
            problem = f"{what} is {len(document.raw):,} bytes, {origin.says} {descriptor.size:,}."
            raise self._error(problem, descriptor, origin, advice=REBUILD)
        if is_document(descriptor) and not _may_be(document, descriptor.media_type):
            problem = f"{what} is of type {document.media_type!r}, {origin.says} {descriptor.media_type!r}."
            raise self._error(problem, descriptor, origin, advice=REBUILD)

    def _error(self, problem: str, descriptor: Descriptor, origin: Origin, *, advice: str = "") -> LayoutError:
        return LayoutError(self._storage.path, problem, advice=advice, digest=descriptor.digest, tag=origin.tag)


@dataclass(slots=True)
class _Walk:
    """What a walk from one root has met so far, in order."""

    documents: dict[Digest, Document] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    platforms: dict[tuple[Digest, Platform], PlatformImage] = field(default_factory=dict)
    absent: dict[Digest, Descriptor] = field(default_factory=dict)


def find_blob(storage: Storage, descriptor: Descriptor, *, what: str, origin: Origin) -> Content:
    """The content of `descriptor`, there and of the promised size; its digest is still to be checked.

    Raises:
        LayoutError: it is missing, of another size, or no plain file.
    """
    content = storage.find(blob_name(descriptor.digest))
    if content is None:
        problem = f"{what} is missing."
    elif content.size != descriptor.size:
        problem = f"{what} is {content.size:,} bytes, {origin.says} {descriptor.size:,}."
    else:
        return content
    raise LayoutError(storage.path, problem, advice=COPY_AGAIN, digest=descriptor.digest, tag=origin.tag)


def _may_be(document: Document, media_type: str) -> bool:
    """Whether a document is what its descriptor says; it may say nothing itself."""
    if media_type == document.media_type:
        return True
    try:
        parse_document(document.raw, media_type, document.digest)
    except FieldError:
        return False
    return True


def _length(texts: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in texts.items())


def _created(root: Document, walk: _Walk) -> datetime | None:
    dates = [date for image in walk.platforms.values() if (date := _date(image.config.created)) is not None]
    return max(dates) if dates else _date(root.annotations.get(_CREATED))


def _date(text: str | None) -> datetime | None:
    """RFC 3339 as far as Python reads it. Tools write odd dates, and an odd date is no reason not to publish."""
    try:
        date = datetime.fromisoformat(text or "")
        return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
