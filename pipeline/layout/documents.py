"""The documents and configs of one layout, verified against their descriptors, each read once.

Rule 1. What is wrong with the bytes is remembered: however many tags lead there, they are read once.
Rule 2. What an entry of an index is, its content says where its media type does not: clients look there too.
"""

from dataclasses import dataclass
from typing import Final

from ..content import Content
from ..oci.descriptor import Descriptor, Platform
from ..oci.digest import Digest
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
)
from ..oci.media_types import INDEXES, TAR_LAYERS
from .storage import COPY_AGAIN, REBUILD, BlobSource, LayoutError, read_small

# Tools nest two deep (an index of indexes). Documents are kept in memory, so a layout may not have any number of them.
MAX_DEPTH: Final = 8
MAX_DOCUMENTS: Final = 100_000
MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024


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


class LayoutTooLargeError(LayoutError):
    """The layout as a whole exceeds a bound."""


class Documents:
    """Reads documents of one layout. `bytes_read` counts those of manifests, indexes and configs."""

    def __init__(self, storage: BlobSource) -> None:
        self.bytes_read = 0
        self._storage = storage
        self._documents: dict[Digest, Document] = {}
        self._configs: dict[Digest, ImageConfig] = {}
        self._damaged: set[Digest] = set()
        self._unreadable: dict[tuple[Digest, str], str] = {}
        self._looks: dict[Digest, bool] = {}
        self._absence: dict[Digest, bool] = {}
        self._types: dict[tuple[Digest, str], bool] = {}

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
        said = descriptor.media_type if is_document(descriptor) else ""
        if (problem := self._unreadable.get((descriptor.digest, said))) is not None:
            raise self.error(f"{what}: {problem}.", descriptor, origin)
        raw = self._read(descriptor, limit=MAX_MANIFEST_SIZE, what=what, origin=origin)
        try:
            document = parse_document(raw, said, descriptor.digest)
        except FieldError as error:
            self._unreadable[descriptor.digest, said] = str(error)
            raise self.error(f"{what}: {error}.", descriptor, origin) from error
        self._documents[descriptor.digest] = document
        return document

    def config(self, manifest: Manifest, here: Origin) -> ImageConfig:
        config = self._configs.get(manifest.config.digest)
        if config is None:
            what = f"config {manifest.config.digest.short} of {here}"
            if (problem := self._unreadable.get((manifest.config.digest, ""))) is not None:
                raise self.error(f"{what}: {problem}.", manifest.config, here)
            raw = self._read(manifest.config, limit=MAX_CONFIG_SIZE, what=what, origin=here)
            try:
                config = parse_image_config(raw)
            except FieldError as error:
                self._unreadable[manifest.config.digest, ""] = str(error)
                raise self.error(f"{what}: {error}.", manifest.config, here) from error
            self._configs[manifest.config.digest] = config
        return config

    def is_absent(self, entry: Descriptor, here: Origin, depth: int) -> bool:
        """True for a manifest that is not there; also where nothing but the manifest itself is, as containerd has it
        of the platforms that it did not pull, and for an index of nothing but such ones."""
        found = self._absence.get(entry.digest)
        if found is None:
            found = self._absence[entry.digest] = self._is_nowhere(entry, here, depth)
        return found

    def _is_nowhere(self, entry: Descriptor, here: Origin, depth: int) -> bool:
        if self._storage.blob(entry.digest) is None:
            return True
        document = self.document(entry, origin=here)
        if isinstance(document, Index):
            inner = Origin.of(document, tag=here.tag, platform=entry.platform)
            return (
                bool(document.manifests)
                and depth < MAX_DEPTH
                and all(self.is_document(child) for child in document.manifests)
                and all(self.is_absent(child, inner, depth + 1) for child in document.manifests)
            )
        if not document.is_image:
            return False
        return all(self._storage.blob(blob.digest) is None for blob in (document.config, *document.layers))

    def is_document(self, entry: Descriptor) -> bool:
        """What clients take for a manifest: by its media type, or where that is none of theirs, by its content."""
        if is_document(entry) or entry.digest in self._documents:
            return True
        found = self._looks.get(entry.digest)
        if found is None:
            found = self._looks[entry.digest] = self._looks_like_document(entry)
        return found

    def _looks_like_document(self, entry: Descriptor) -> bool:
        content = self._storage.blob(entry.digest)
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

    def _read(self, descriptor: Descriptor, *, limit: int, what: str, origin: Origin) -> bytes:
        if descriptor.digest in self._damaged:
            raise self.error(
                f"{what} is damaged: its bytes have another digest.", descriptor, origin, advice=COPY_AGAIN
            )
        raw = read_small(
            self._storage, what, find_blob(self._storage, descriptor, what=what, origin=origin), limit=limit
        )
        hasher = descriptor.digest.new_hasher()
        hasher.update(raw)
        if hasher.hexdigest() != descriptor.digest.hex:
            self._damaged.add(descriptor.digest)
            raise self.error(
                f"{what} is damaged: its bytes have another digest.", descriptor, origin, advice=COPY_AGAIN
            )
        self.bytes_read += len(raw)
        if len(self._documents) + len(self._configs) >= MAX_DOCUMENTS or self.bytes_read > MAX_DOCUMENT_BYTES:
            raise LayoutTooLargeError(
                self._storage.path,
                f"holds more than {MAX_DOCUMENTS:,} manifests and configs, or {MAX_DOCUMENT_BYTES:,} bytes of them.",
                advice="Divide it into several layouts.",
            )
        return raw

    def _compare(self, descriptor: Descriptor, document: Document, *, what: str, origin: Origin) -> None:
        if descriptor.size != len(document.raw):
            problem = f"{what} is {len(document.raw):,} bytes, {origin.says} {descriptor.size:,}."
            raise self.error(problem, descriptor, origin, advice=REBUILD)
        if is_document(descriptor) and not self._may_be(document, descriptor.media_type):
            problem = f"{what} is of type {document.media_type!r}, {origin.says} {descriptor.media_type!r}."
            raise self.error(problem, descriptor, origin, advice=REBUILD)

    def _may_be(self, document: Document, media_type: str) -> bool:
        """Whether a document is what its descriptor says; it may say nothing itself."""
        if media_type == document.media_type:
            return True
        found = self._types.get((document.digest, media_type))
        if found is None:
            try:
                parse_document(document.raw, media_type, document.digest)
            except FieldError:
                found = False
            else:
                found = True
            self._types[document.digest, media_type] = found
        return found

    def error(self, problem: str, descriptor: Descriptor, origin: Origin, *, advice: str = "") -> LayoutError:
        return LayoutError(self._storage.path, problem, advice=advice, digest=descriptor.digest, tag=origin.tag)


def find_blob(storage: BlobSource, descriptor: Descriptor, *, what: str, origin: Origin) -> Content:
    """The content of `descriptor`, there and of the promised size; its digest is still to be checked.

    Raises:
        LayoutError: it is missing, of another size, or no plain file.
    """
    content = storage.blob(descriptor.digest)
    if content is None:
        problem = f"{what} is missing."
    elif content.size != descriptor.size:
        problem = f"{what} is {content.size:,} bytes, {origin.says} {descriptor.size:,}."
    else:
        return content
    raise LayoutError(storage.path, problem, advice=COPY_AGAIN, digest=descriptor.digest, tag=origin.tag)
