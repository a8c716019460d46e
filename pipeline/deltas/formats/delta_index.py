"""The format of flatpak and containers/image: the tag `_deltaindex` lists a delta manifest for each target.

(containers/image, pull request 902; flatpak 1.8 and later.)

Rule 1. `from` and `to` are DiffIDs; `target` is the manifest of one platform, never an index.
Rule 2. One delta manifest a target, one layer a pair of `from` and `to`: clients take the first that fits, whatever it
        is, and fail without a fallback when it does not.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ...config.values import FormatName
from ...history.records.deltas import DeltaKey
from ...history.records.images import PlatformRecord
from ...history.records.repositories import RepositoryRecord
from ...oci.descriptor import Descriptor
from ...oci.digest import DiffID, Digest, DigestError
from ...oci.manifest import Index, Manifest, parse_document
from ...oci.media_types import OCI_MANIFEST
from ...oci.reference import DELTA_INDEX
from ...oci.writing import EMPTY_JSON, write_manifest
from .contract import TAR_DIFF, DeltaDocument, DeltaListing, ListedDelta, ListedDocument, Offer, ParsedDeltas

CONFIG: Final = "application/vnd.redhat.delta.config.v1+json"
FROM: Final = "io.github.containers.delta.from"
TO: Final = "io.github.containers.delta.to"
TARGET: Final = "io.github.containers.delta.target"


class DeltaIndex:
    """See `DeltaFormat`."""

    name: FormatName = "deltaindex"
    tag = DELTA_INDEX

    def documents(self, record: RepositoryRecord, offers: Sequence[Offer]) -> Iterator[DeltaDocument]:
        targets: dict[Digest, dict[tuple[str, str], Offer]] = {}
        for offer in offers:
            pair = str(offer.want.key.from_diff_id), str(offer.want.key.to_diff_id)
            targets.setdefault(offer.want.target, {})[pair] = offer
        for target, by_pair in sorted(targets.items()):
            yield _document(target, by_pair)

    def owns(self, manifest: Manifest) -> bool:
        return manifest.config.media_type == CONFIG

    def parse_listing(self, listing: Index) -> DeltaListing:
        found: list[ListedDocument] = []
        problems: list[str] = []
        targets: set[Digest] = set()
        for position, entry in enumerate(listing.manifests):
            try:
                target = Digest.parse(entry.annotations.get(TARGET, ""))
            except DigestError as error:
                problems.append(f"manifests[{position}].annotations.{TARGET}: {error}")
                continue
            if target in targets:
                problems.append(f"lists {target} twice; clients read the first entry alone")
            targets.add(target)
            found.append(ListedDocument(descriptor=entry, target=target))
        return DeltaListing(documents=tuple(found), problems=tuple(problems))

    def parse(self, manifest: Manifest, images: Mapping[Digest, PlatformRecord]) -> ParsedDeltas:
        found: list[ListedDelta] = []
        problems: list[str] = []
        pairs: set[DeltaKey] = set()
        for position, layer in enumerate(manifest.layers):
            try:
                key = DeltaKey(
                    from_diff_id=DiffID.parse(layer.annotations.get(FROM, "")),
                    to_diff_id=DiffID.parse(layer.annotations.get(TO, "")),
                )
            except DigestError as error:
                problems.append(f"layers[{position}].annotations: {error}")
                continue
            if key in pairs or layer.media_type != TAR_DIFF:
                problems.append(f"layers[{position}] is of another type, or a second delta for one pair")
            pairs.add(key)
            found.append(ListedDelta(blob=layer, key=key))
        try:
            target = Digest.parse(manifest.annotations.get(TARGET, ""))
        except DigestError as error:
            problems.append(f"annotations.{TARGET}: {error}")
            target = None
        return ParsedDeltas(target=target, deltas=tuple(found), problems=tuple(problems))


def _document(target: Digest, offers: Mapping[tuple[str, str], Offer]) -> DeltaDocument:
    layers = [
        Descriptor(
            media_type=TAR_DIFF, digest=offer.digest, size=offer.size, annotations={FROM: from_diff_id, TO: to_diff_id}
        )
        for (from_diff_id, to_diff_id), offer in sorted(offers.items(), key=lambda item: item[0])
    ]
    annotations = {TARGET: str(target)}
    raw = write_manifest(
        config=Descriptor(media_type=CONFIG, digest=Digest.of(EMPTY_JSON), size=len(EMPTY_JSON)),
        layers=layers,
        annotations=annotations,
    )
    descriptor = Descriptor(
        media_type=OCI_MANIFEST,
        digest=Digest.of(raw),
        size=len(raw),
        platform=next(offer.want.platform for offer in offers.values()),
        annotations=annotations,
    )
    return DeltaDocument(document=parse_document(raw, OCI_MANIFEST, descriptor.digest), descriptor=descriptor)
