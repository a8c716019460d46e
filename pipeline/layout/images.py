"""From a descriptor to an image: every document that it reaches, verified, and the blobs that those need.

Rule 1. `successors` says what is reached; a walk knows no other edges.
Rule 2. Each image of a layout is walked once, however many refs lead to it; every descriptor is compared with what it
        leads to all the same.
Rule 3. Only what a delta can be made of becomes a `PlatformImage`. Everything else is carried as it is, and its configs
        are nobody's business.
Rule 4. An index may name manifests that the layout does not have, as `docker save` of one platform writes it; clients
        fetch the one for their platform alone. They are `absent`. Everything else that is missing is a fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from ..oci.descriptor import Descriptor, Platform
from ..oci.digest import DiffID, Digest
from ..oci.manifest import Document, ImageConfig, Index, Manifest, successors
from .documents import MAX_DEPTH, Documents, LayoutTooLargeError, Origin
from .storage import COPY_AGAIN, REBUILD, BlobSource, LayoutError

# Of a large index that many others hold, each is followed again.
MAX_STEPS: Final = 3_000_000
# Planning compares each layer of an image with each of another. No kernel stacks so many.
MAX_LAYERS: Final = 500
# What the ledger has to remember of a layout, in bytes: many images may share documents, of which it holds copies.
ANY_MEMORY: Final = 64 * 1024 * 1024
ANY_TEXT: Final = 16 * 1024 * 1024  # of that, in labels of flatpaks and annotations of what is attached
MEMORY_RATIO: Final = 8
MAX_MEMORY: Final = 512 * 1024 * 1024
_ENTRY, _LAYER = 200, 300  # of a document or a blob, and of a layer of a platform

_CREATED: Final = "org.opencontainers.image.created"


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


class Reader:
    """Reads images from one layout, each at most once."""

    def __init__(self, storage: BlobSource) -> None:
        self._path = storage.path
        self._documents = Documents(storage)
        self._layers: dict[Digest, tuple[Layer, ...]] = {}
        self._images: dict[tuple[Digest, Platform | None], Image] = {}
        self._faults: dict[Digest, LayoutError] = {}
        self._steps = 0
        self._remembered = 0
        self._texts = 0

    def document(self, descriptor: Descriptor, *, origin: Origin) -> Document:
        """The manifest or index behind `descriptor`, which stands in `origin`. Raises LayoutError."""
        return self._documents.document(descriptor, origin=origin)

    def image(self, descriptor: Descriptor, *, origin: Origin) -> Image:
        """Everything that `descriptor`, which stands in `origin`, leads to. Raises LayoutError."""
        self.document(descriptor, origin=origin)
        key = descriptor.digest, descriptor.platform
        known = self._images.get(key)
        if known is not None:
            return known
        if (fault := self._faults.get(descriptor.digest)) is not None:
            same = f"tag {origin.tag} leads to what tag {fault.tag} leads to: " if origin.tag and fault.tag else ""
            raise self._documents.error(same + fault.problem, descriptor, origin, advice=fault.advice) from fault
        try:
            image = self._walked(descriptor, origin)
        except LayoutError as error:
            self._faults[descriptor.digest] = error
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
        document = self._documents.document(descriptor, origin=origin)
        here = Origin.of(document, tag=origin.tag, platform=descriptor.platform)
        if document.digest not in walk.documents:
            if depth > MAX_DEPTH:
                raise self._documents.error(f"{here} is nested more than {MAX_DEPTH} indexes deep.", descriptor, origin)
            if isinstance(document, Index):
                self._visit_entries(walk, document, here, depth)
            else:
                for blob in successors(document).blobs:
                    self._step()
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
            self._step()
            if not self._documents.is_document(entry):
                self._add_blob(walk, entry, here)
            elif self._documents.is_absent(entry, here, depth):
                absent.append(entry)
                continue
            else:
                self._visit(walk, entry, origin=here, depth=depth + 1)
            is_useful |= entry.platform is None or not entry.platform.is_unknown
        if absent and not is_useful:
            what = f"manifest {absent[0].digest.short} of {here}"
            problem = f"{what} is missing, and so is each other that the index names; nobody could use it."
            raise self._documents.error(problem, absent[0], here, advice=COPY_AGAIN)
        walk.absent.update((entry.digest, entry) for entry in absent)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise LayoutTooLargeError(
                self._path,
                f"its images share so much that more than {MAX_STEPS:,} references would have to be followed.",
                advice="Divide it into several layouts.",
            )

    def _add_blob(self, walk: "_Walk", blob: Descriptor, here: Origin) -> None:
        if (other := walk.blobs.setdefault(blob.digest, blob)).size != blob.size:
            problem = f"blob {blob.digest.short} is {blob.size:,} bytes in {here}, but {other.size:,} elsewhere."
            raise self._documents.error(problem, blob, here, advice=REBUILD)

    def _platform_image(self, manifest: Manifest, here: Origin) -> PlatformImage | None:
        """None for an artifact that calls its config an image's: OPA's bundles, Wasm modules and models do."""
        config = self._documents.config(manifest, here)
        if not config.diff_ids:
            return None
        layers = self._layers.get(manifest.digest)
        if layers is None:
            what = f"config {manifest.config.digest.short} of {here}"
            if len(manifest.layers) > MAX_LAYERS:
                problem = f"{here} has {len(manifest.layers):,} layers, an image may have {MAX_LAYERS}."
                raise self._documents.error(problem, manifest.config, here, advice="Build it with fewer, larger ones.")
            if len(config.diff_ids) != len(manifest.layers):
                problem = (
                    f"{what}: rootfs.diff_ids has {len(config.diff_ids)} entries for {len(manifest.layers)} layers."
                )
                raise self._documents.error(problem, manifest.config, here, advice=REBUILD)
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

    def _remember(self, image: Image) -> None:
        """Count what the ledger will hold of it."""
        labels = {found.manifest.digest: found.config.labels | found.manifest.annotations for found in image.platforms}
        texts = sum(map(_length, labels.values()))
        texts += sum(_length(document.annotations) for document in image.documents if document.subject is not None)
        self._texts += texts
        self._remembered += (
            _ENTRY * (len(image.documents) + len(image.blobs) + len(image.absent) + len(image.platforms))
            + _LAYER * sum(len(found.layers) for found in image.platforms)
            + texts
        )
        for held, free in ((self._remembered, ANY_MEMORY), (self._texts, ANY_TEXT)):
            most = min(free + MEMORY_RATIO * self._documents.bytes_read, MAX_MEMORY)
            if held > most:
                raise LayoutTooLargeError(
                    self._path,
                    f"its images share so much that the ledger would have to hold more than {most:,} bytes of them "
                    f"({free:,} and {MEMORY_RATIO} times their manifests and configs are allowed).",
                    advice="Divide it into several layouts.",
                )


@dataclass(slots=True)
class _Walk:
    """What a walk from one root has met so far, in order."""

    documents: dict[Digest, Document] = field(default_factory=dict)
    blobs: dict[Digest, Descriptor] = field(default_factory=dict)
    platforms: dict[tuple[Digest, Platform], PlatformImage] = field(default_factory=dict)
    absent: dict[Digest, Descriptor] = field(default_factory=dict)


def _length(texts: Mapping[str, str]) -> int:
    return sum(len(name) + len(text) for name, text in texts.items())


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
