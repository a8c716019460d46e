"""One repository: every digest, every reference, every listing."""

from typing import Final

from ..content import chunks
from ..deltas.formats import FORMATS, DeltaFormat, DeltaListing
from ..history.ledger import Ledger
from ..history.records.images import PlatformRecord
from ..history.records.repositories import RepositoryRecord
from ..history.resolver import LayerLocator, Place, Store
from ..history.scan import record_of
from ..keys import (
    TYPED,
    Key,
    Kind,
    blob_key,
    digest_mark_key,
    kind_of,
    manifest_key,
    referrers_key,
    tag_link_key,
    tag_link_text,
    tags_key,
    typed_key,
)
from ..layout.documents import Origin
from ..layout.images import Reader
from ..layout.storage import LayoutError
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..oci.manifest import MAX_MANIFEST_SIZE, Document, Index, Manifest, parse_document, successors
from ..oci.media_types import INDEXES, OCI_INDEX
from ..oci.reference import is_reserved_tag
from ..targets.base import KeyMissingError, ReadableTarget, TargetError, read_bytes
from ..tree.published import PublishedBlobs, PublishedRepository
from .findings import Findings, FoundDelta

MAX_LISTING: Final = 64 * 1024 * 1024
MAX_LINK: Final = 4096  # bytes, more than any system takes


class RepositoryCheck:
    """The checks of one repository of `target`; what they find goes to `findings`.

    `ledger` is asked for one thing alone: which manifests the layout of an index did not have when it was published.
    """

    def __init__(
        self,
        target: ReadableTarget,
        repository: PublishedRepository,
        keys: frozenset[Key],
        findings: Findings,
        *,
        ledger: Ledger,
    ) -> None:
        self._target, self._repository, self._keys, self._findings = target, repository, keys, findings
        self._ledger = ledger
        self._absent = _absent(ledger.repositories.get(repository.name))
        self._sizes: dict[Digest, int] = {}
        self._documents: dict[Digest, Document] = {}
        self._images: dict[Digest, PlatformRecord] = {}

    def check(self) -> None:
        """Raises TargetError only where the storage fails as a whole."""
        for digest, key in self._repository.blobs.items():
            self._check_blob(digest, key)
        for digest, key in self._repository.manifests.items():
            self._read_manifest(digest, key)
        for document in self._documents.values():
            self._check_successors(document)
        self._collect_layers()
        for tag, key in self._repository.tags.items():
            self._check_tag(tag, key)
        self._check_tags_list()
        for digest in self._documents:
            if referrers_key(self._repository.name, digest) not in self._keys:
                self._complain(referrers_key(self._repository.name, digest), "is missing; some clients stop at that")
        for key in self._repository.referrers.values():
            self._check_referrers(key)
        for delta_format in FORMATS:
            self._check_deltas(delta_format)

    def _complain(self, key: str, problem: str) -> None:
        self._findings.complain(key, problem)

    def _check_blob(self, digest: Digest, key: Key) -> None:
        hasher = digest.new_hasher()
        size = 0
        try:
            with self._target.open(key) as stream:
                for data in chunks(stream):
                    hasher.update(data)
                    size += len(data)
        except TargetError as error:
            self._findings.complain(key, error.problem)
            return
        self._sizes[digest] = size
        if hasher.hexdigest() != digest.hex:
            self._complain(key, f"is damaged: its {size:,} bytes have another digest")

    def _read_manifest(self, digest: Digest, key: Key) -> None:
        raw = self._read(key, MAX_MANIFEST_SIZE)
        if raw is None:
            return
        hasher = digest.new_hasher()
        hasher.update(raw)
        if hasher.hexdigest() != digest.hex:
            self._complain(key, f"is damaged: its {len(raw):,} bytes have another digest")
            return
        try:
            self._documents[digest] = parse_document(raw, "", digest)
        except FieldError as error:
            self._complain(key, str(error))

    def _check_successors(self, document: Document) -> None:
        key = manifest_key(self._repository.name, document.digest)
        edges = successors(document, self._documents)
        for child in edges.documents:
            if child.digest not in self._documents and not self._is_absent(document, child.digest):
                self._complain(key, f"leads to the manifest {child.digest}, which is missing or damaged")
        is_index = isinstance(document, Index)
        for blob in edges.blobs:
            if not (is_index and blob.digest not in self._sizes and self._is_absent(document, blob.digest)):
                self._check_reference(key, blob)
            if is_index and self._is_manifest(blob):
                self._complain(key, f"leads to the manifest {blob.digest}, which is a blob here; nobody can pull it")

    def _is_absent(self, document: Document, child: Digest) -> bool:
        """True where the layout of an index did not have one of its manifests: the index was published as it was."""
        name = self._repository.name
        if document.digest in self._absent:
            return child in self._absent[document.digest]
        # it waits for its deletion, and is remembered no more; what it leads to would go after it
        keys = self._ledger.keys
        return manifest_key(name, document.digest) in keys and manifest_key(name, child) not in keys

    def _is_manifest(self, blob: Descriptor) -> bool:
        """What clients fetch as a manifest, because an index names it and its content looks like one."""
        key = self._repository.blobs.get(blob.digest)
        if key is None or blob.size > MAX_MANIFEST_SIZE or self._sizes.get(blob.digest) != blob.size:
            return False
        raw = self._read(key, MAX_MANIFEST_SIZE)
        try:
            parse_document(raw or b"")
        except FieldError:
            return False
        return True

    def _check_reference(self, key: Key, blob: Descriptor) -> None:
        size = self._sizes.get(blob.digest)
        if size is None:
            self._complain(key, f"leads to the blob {blob.digest}, which is missing")
        elif size != blob.size:
            self._complain(key, f"says that blob {blob.digest} is {blob.size:,} bytes, it is {size:,}")

    def _collect_layers(self) -> None:
        reader = Reader(PublishedBlobs(target=self._target, repository=self._repository.name))
        for document in self._documents.values():
            if isinstance(document, Manifest) and document.is_image:
                origin = Origin.of(document, tag=None, platform=None)
                try:
                    image = record_of(reader.image(document.descriptor(), origin=origin))
                except LayoutError as error:
                    self._complain(manifest_key(self._repository.name, document.digest), error.problem)
                    continue
                place = Place(store=Store.TARGET, repository=self._repository.name)
                for platform in image.platforms:
                    self._images[platform.manifest] = platform
                    for layer in platform.layers:
                        self._findings.layers.setdefault(layer.diff_id, LayerLocator(layer=layer, places=(place,)))

    def _check_tag(self, tag: str, key: Key) -> None:
        raw = self._read(key, MAX_MANIFEST_SIZE)
        if raw is None:
            return
        try:
            document = parse_document(raw)
        except FieldError as error:
            self._complain(key, str(error))
            return
        # a listing under a tag (`_deltaindex`, the referrers fallback) changes, so it has no copy under its digest
        if not is_reserved_tag(tag) and not any(raw == known.raw for known in self._documents.values()):
            self._complain(key, f"leads to {document.digest}, which is not stored under its digest")
        if not self._target.properties.stores_headers:
            self._check_typed(tag, key, document)
            if kind_of(tag) is Kind.TAG:
                self._check_link(tag, document)

    def _check_typed(self, tag: str, key: Key, document: Document) -> None:
        """The copy that nginx and Caddy serve is the first of these that is there."""
        for media_type in TYPED:
            copy = typed_key(self._repository.name, tag, media_type)
            if copy in self._keys:
                if media_type != document.media_type or self._read(copy, MAX_MANIFEST_SIZE) != document.raw:
                    self._complain(copy, f"differs from {key}; web servers would serve it instead")
                return
        self._complain(key, "has no copy below a media type; nginx and Caddy do not find it")

    def _check_link(self, tag: str, document: Document) -> None:
        """Where there is one, servers believe it, and not the tag; where there is none, they know no digest of it."""
        link, mark = tag_link_key(self._repository.name, tag), digest_mark_key(self._repository.name, document.digest)
        text = tag_link_text(self._repository.name, document.digest).encode()
        if link not in self._keys:
            return
        if self._read(link, MAX_LINK) != text:
            self._complain(link, f"leads elsewhere than to {document.digest}; nginx and Caddy would serve that instead")
        elif mark not in self._keys:
            self._complain(mark, f"is missing; Caddy does not find the digest of the tag {tag}")

    def _check_tags_list(self) -> None:
        key = tags_key(self._repository.name)
        fields = self._read_fields(key)
        if fields is None:
            return
        try:
            listed = fields.list_of_texts("tags")
        except FieldError as error:
            self._complain(key, str(error))
            return
        for tag in listed:
            if tag not in self._repository.tags:
                self._complain(key, f"lists the tag {tag}, which is missing")

    def _check_referrers(self, key: Key) -> None:
        listing = self._index(key)
        for entry in listing.manifests if listing is not None else ():
            if entry.digest not in self._documents:
                self._complain(key, f"lists {entry.digest}, which is missing or damaged")

    def _check_deltas(self, delta_format: DeltaFormat) -> None:
        """Complain of what a client of the format would stumble over, and note the deltas that it finds."""
        if delta_format.tag is not None:
            keys = [manifest_key(self._repository.name, delta_format.tag)]
        else:
            keys = list(self._repository.referrers.values())
        checked: set[Digest] = set()
        for key in keys:
            listing = self._index(key) if key in self._keys else None
            if listing is not None:
                self._check_delta_listing(key, delta_format, delta_format.parse_listing(listing), checked)

    def _check_delta_listing(
        self, key: Key, delta_format: DeltaFormat, listing: DeltaListing, checked: set[Digest]
    ) -> None:
        """`checked` are the documents that another listing of the format has, too."""
        for problem in listing.problems:
            self._complain(key, problem)
        for entry in listing.documents:
            digest = entry.descriptor.digest
            document = self._documents.get(digest)
            if not isinstance(document, Manifest):
                self._complain(key, f"lists the delta manifest {digest}, which is missing or damaged")
                continue
            parsed = delta_format.parse(document, self._images)
            if parsed.target != entry.target:
                self._complain(key, f"says that {digest} is for {entry.target}, the manifest says otherwise")
                continue
            if digest in checked:
                continue
            checked.add(digest)
            for problem in parsed.problems:
                self._complain(manifest_key(self._repository.name, digest), problem)
            self._findings.deltas.extend(FoundDelta.of(delta, self._repository.name) for delta in parsed.deltas)
            for layer in parsed.whole:
                self._findings.whole.add((blob_key(self._repository.name, layer.digest), layer))
            for part in parsed.carried:
                self._check_carried(document, part)
            if parsed.unknown is not None:
                self._findings.unproven.append(f"{manifest_key(self._repository.name, digest)}: {parsed.unknown}")

    def _check_carried(self, document: Manifest, part: Descriptor) -> None:
        """A manifest that a document carries as a blob: what it leads to must be carried as well."""
        key = manifest_key(self._repository.name, document.digest)
        raw = self._read(blob_key(self._repository.name, part.digest), MAX_MANIFEST_SIZE)
        if raw is None:
            return
        try:
            needed = successors(parse_document(raw, part.media_type)).blobs
        except FieldError as error:
            self._complain(key, f"carries {part.digest}, which is no manifest: {error}")
            return
        there = {(layer.digest, layer.size) for layer in document.layers}
        for blob in needed:
            if (blob.digest, blob.size) not in there:
                self._complain(key, f"carries the manifest {part.digest}, and not its blob {blob.digest}")

    def _index(self, key: Key) -> Index | None:
        raw = self._read(key, MAX_LISTING)
        if raw is None:
            return None
        try:
            document = parse_document(raw, OCI_INDEX)
        except FieldError as error:
            self._complain(key, str(error))
            return None
        return document if isinstance(document, Index) else None

    def _read_fields(self, key: Key) -> Fields | None:
        raw = self._read(key, MAX_LISTING)
        try:
            return Fields(parse_json_object(raw, max_objects=None)) if raw is not None else None
        except FieldError as error:
            self._complain(key, str(error))
            return None

    def _read(self, key: Key, limit: int) -> bytes | None:
        try:
            return read_bytes(self._target, key, limit=limit)
        except KeyMissingError:
            self._complain(key, "is missing")
        except TargetError as error:
            self._complain(key, error.problem)
        return None


def _absent(record: RepositoryRecord | None) -> dict[Digest, frozenset[Digest]]:
    """For each index that is remembered the manifests that its layout did not have."""
    images = record.images.values() if record is not None else ()
    found: dict[Digest, frozenset[Digest]] = {}
    for image in images:
        for document in image.documents:
            if document.media_type in INDEXES:
                found[document.digest] = found.get(document.digest, image.absent) & image.absent
    return found
