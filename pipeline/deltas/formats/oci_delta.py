"""The format of bootc, composefs and flightctl: an artifact for each pair of an old and a new image.

(The crate and the command `oci-delta`; artifacts are found among the referrers of the new image.)

Rule 1. The sources of its deltas are all files of the old image. `to` is the digest of a stored layer, there is no
        `from`.
Rule 2. A layer that the old image has is left out; clients look for it by its DiffID. Every other is there: as a delta,
        or whole. Clients read a whole layer as one gzip member, whatever is said of it: where it is stored otherwise,
        a delta is the only way, if need be of data alone.
Rule 3. The manifest and the config of the new image are part of it, so they must be stored as blobs, too.
Rule 4. Clients take the first artifact that leads from what they run, and then download all of it: what saves too
        little is not published.
Rule 5. A client that resolved a tag of many platforms asks for the referrers of the index.
Rule 6. The signatures of the new image come along: the manifest of each, as a blob, and its blobs. Clients that check
        none pass over them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from ...config.values import FormatName
from ...history.records import DeltaKey, ImageRecord, LayerRecord, PlatformRecord, RepositoryRecord
from ...oci.descriptor import Descriptor
from ...oci.digest import DiffID, Digest, DigestError
from ...oci.manifest import Index, Manifest, parse_document
from ...oci.media_types import IMAGE_CONFIGS, INDEXES, MANIFESTS, OCI_EMPTY, OCI_GZIP_LAYER, OCI_MANIFEST
from ...oci.writing import EMPTY_JSON, write_manifest
from .contract import DeltaDocument, DeltaListing, ListedDelta, ListedDocument, Offer, ParsedDeltas
from .signatures import signatures_by_image

ARTIFACT_TYPE: Final = "application/vnd.io.github.containers.oci-delta.v1"
TAR_DIFF: Final = "application/vnd.tar-diff"  # the older application/vnd.redhat.tar-diff is refused
_PREFIX: Final = "io.github.containers.delta."
TARGET: Final = f"{_PREFIX}target"
SOURCE: Final = f"{_PREFIX}source"
SOURCE_CONFIG: Final = f"{_PREFIX}source-config"
REUSED: Final = f"{_PREFIX}reused"
REUSED_DIFF_ID: Final = f"{_PREFIX}reused-diff-id"
CONTENT: Final = f"{_PREFIX}content"
TO: Final = f"{_PREFIX}to"
MANIFEST_CONTENT: Final = "image-manifest"
CONFIG_CONTENT: Final = "image-config"
LAYER_CONTENT: Final = "image-layer"
SIGNATURE_CONTENT: Final = "cosign-signature"
SIGNATURE_PART_CONTENT: Final = "cosign-signature-content"


class OciDelta:
    """See `DeltaFormat`."""

    name: FormatName = "oci-delta"
    tag = None

    def documents(self, record: RepositoryRecord, offers: Sequence[Offer]) -> Iterator[DeltaDocument]:
        pairs: dict[tuple[Digest, Digest], dict[DiffID, Offer]] = {}
        for offer in offers:
            pair = offer.want.source, offer.want.target
            pairs.setdefault(pair, {})[offer.want.key.to_diff_id] = offer
        images = _Images(record)
        ages: dict[Digest, int] = {}
        aged: list[tuple[int, Digest, Digest]] = []
        for source, target in pairs:  # of each target, the plan has the newest source first
            ages[target] = ages.get(target, 0) + 1
            aged.append((ages[target], source, target))
        for _, source, target in sorted(aged, key=itemgetter(0)):
            by_layer = pairs[source, target]
            old, new = images.platforms.get(source), images.platforms.get(target)
            if old is not None and new is not None:
                made = _document(images, old, new, by_layer)
                if made is not None:
                    yield made

    def owns(self, manifest: Manifest) -> bool:
        return manifest.artifact_type == ARTIFACT_TYPE

    def parse_listing(self, listing: Index) -> DeltaListing:
        found: list[ListedDocument] = []
        problems: list[str] = []
        for position, entry in enumerate(listing.manifests):
            if entry.artifact_type != ARTIFACT_TYPE:
                continue
            try:
                target = Digest.parse(entry.annotations.get(TARGET, ""))
                source = Digest.parse(entry.annotations.get(SOURCE, ""))
            except DigestError as error:
                problems.append(f"manifests[{position}].annotations, {TARGET} and {SOURCE}: {error}")
                continue
            found.append(ListedDocument(descriptor=entry, target=target, source=source))
        return DeltaListing(documents=tuple(found), problems=tuple(problems))

    def parse(self, manifest: Manifest, images: Mapping[Digest, PlatformRecord]) -> ParsedDeltas:
        named: dict[str, Digest] = {}
        problems: list[str] = []
        for name in (TARGET, SOURCE, SOURCE_CONFIG):
            try:
                named[name] = Digest.parse(manifest.annotations.get(name, ""))
            except DigestError as error:
                problems.append(f"annotations.{name}: {error}")
        target = named.get(TARGET)
        if target is None or problems:
            return ParsedDeltas(target=target, deltas=(), problems=tuple(problems))
        if manifest.subject is None or manifest.subject.digest != target:
            problems.append(f"subject must be {target}, as annotations.{TARGET} is")
        new, old = images.get(target), images.get(named[SOURCE])
        if new is None:
            problems.append(f"annotations.{TARGET}: {target} is no image that is published here")
        if new is None or old is None:
            unknown = None if new is None else f"its source {named[SOURCE].short} is not published"
            return ParsedDeltas(target=target, deltas=(), problems=tuple(problems), unknown=unknown)
        if old.config != named[SOURCE_CONFIG]:
            problems.append(f"annotations.{SOURCE_CONFIG} is not the config of the source, which is {old.config}")
        layers = _Layers(manifest, old, new, problems)
        deltas = tuple(layers.deltas())
        return ParsedDeltas(
            target=target,
            deltas=deltas,
            problems=tuple(problems),
            whole=tuple(layers.whole),
            carried=tuple(part for part in manifest.layers if part.annotations.get(CONTENT) == SIGNATURE_CONTENT),
        )


class _Images:
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


def _document(
    images: _Images, old: PlatformRecord, new: PlatformRecord, offers: Mapping[DiffID, Offer]
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


class _Layers:
    """The layers of an artifact, read for images that are known; what is wrong with them goes to `problems`.

    `whole` are those of the target that are there as they are, once the deltas were read.
    """

    def __init__(self, manifest: Manifest, old: PlatformRecord, new: PlatformRecord, problems: list[str]) -> None:
        self._manifest, self._old, self._new, self._problems = manifest, old, new, problems
        self.whole: list[LayerRecord] = []
        self._targets: dict[Digest, LayerRecord] = {layer.digest: layer for layer in new.layers}
        self._there = {layer.diff_id for layer in old.layers}

    def deltas(self) -> Iterator[ListedDelta]:
        """The deltas, once each part was looked at."""
        contents: dict[str, list[Digest]] = {}
        done: set[Digest] = set()
        for position, part in enumerate(self._manifest.layers):
            content = part.annotations.get(CONTENT, "")
            contents.setdefault(content, []).append(part.digest)
            if content in {MANIFEST_CONTENT, SIGNATURE_CONTENT} and part.media_type not in MANIFESTS:
                self._complain(position, f"has the type {part.media_type!r}, which is none of a manifest")
            elif content == CONFIG_CONTENT and part.media_type not in IMAGE_CONFIGS:
                self._complain(position, f"has the type {part.media_type!r}, which is none of a config")
            elif content == LAYER_CONTENT and (layer := self._target(position, part)) is not None:
                if layer.digest in done:
                    self._complain(position, f"leads to {layer.digest} a second time")
                done.add(layer.digest)
                if part.media_type == TAR_DIFF:
                    yield ListedDelta(blob=part, key=self._key(layer), is_exact=True)
                elif part.media_type != OCI_GZIP_LAYER or part.digest != layer.digest:
                    self._complain(position, f"is neither a {TAR_DIFF} nor the gzip layer {layer.digest} itself")
                else:
                    self.whole.append(layer)
        for content, wanted in ((MANIFEST_CONTENT, self._new.manifest), (CONFIG_CONTENT, self._new.config)):
            if contents.get(content) != [wanted]:
                self._problems.append(f"layers must have one with {CONTENT} {content!r}, which is {wanted}")
        for layer in self._new.layers:
            if layer.diff_id not in self._there and layer.digest not in done:
                self._problems.append(f"layers lack {layer.digest}, which the source does not have")
                done.add(layer.digest)
        self._check_reused(done)

    def _target(self, position: int, part: Descriptor) -> LayerRecord | None:
        try:
            digest = Digest.parse(part.annotations.get(TO, ""))
        except DigestError as error:
            self._complain(position, f"annotations.{TO}: {error}")
            return None
        if digest not in self._targets:
            self._complain(position, f"annotations.{TO}: {digest} is no layer of {self._new.manifest}")
        return self._targets.get(digest)

    def _key(self, layer: LayerRecord) -> DeltaKey:
        *below, last = (source.diff_id for source in self._old.layers)
        return DeltaKey(from_diff_id=last, to_diff_id=layer.diff_id, below=tuple(below))

    def _check_reused(self, done: set[Digest]) -> None:
        """Clients do not read it today; who writes it should be right."""
        reused = {layer.digest: layer for layer in self._new.layers if layer.digest not in done}.values()
        expected: dict[str, list[str]] = {
            REUSED: [str(layer.digest) for layer in reused],
            REUSED_DIFF_ID: [str(layer.diff_id) for layer in reused],
        }
        for name, texts in expected.items():
            if name in self._manifest.annotations and _listed(self._manifest.annotations[name]) != sorted(texts):
                self._problems.append(f"annotations.{name} must list {', '.join(texts) or 'nothing'}")

    def _complain(self, position: int, problem: str) -> None:
        self._problems.append(f"layers[{position}] {problem}")


def _listed(text: str) -> list[str] | None:
    """The strings of a JSON array, sorted; None for anything else."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(found, list) and all(isinstance(entry, str) for entry in found)
    return sorted(found) if is_list else None
