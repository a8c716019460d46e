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

terms       media types and annotations
making      two images and their deltas -> an artifact
reading     an artifact -> its deltas, and what is wrong with it
signatures  which signatures of an image travel with it
"""

from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from ....config.values import FormatName
from ....history.records.images import PlatformRecord
from ....history.records.repositories import RepositoryRecord
from ....oci.digest import DiffID, Digest, DigestError
from ....oci.manifest import Index, Manifest
from ..contract import DeltaDocument, DeltaListing, ListedDocument, Offer, ParsedDeltas
from .making import Images, document_of
from .reading import PartLayers
from .terms import (
    ARTIFACT_TYPE,
    CONTENT,
    SIGNATURE_CONTENT,
    SOURCE,
    SOURCE_CONFIG,
    TARGET,
)


class OciDelta:
    """See `DeltaFormat`."""

    name: FormatName = "oci-delta"
    tag = None

    def documents(self, record: RepositoryRecord, offers: Sequence[Offer]) -> Iterator[DeltaDocument]:
        pairs: dict[tuple[Digest, Digest], dict[DiffID, Offer]] = {}
        for offer in offers:
            pair = offer.want.source, offer.want.target
            pairs.setdefault(pair, {})[offer.want.key.to_diff_id] = offer
        images = Images(record)
        ages: dict[Digest, int] = {}
        aged: list[tuple[int, Digest, Digest]] = []
        for source, target in pairs:  # of each target, the plan has the newest source first
            ages[target] = ages.get(target, 0) + 1
            aged.append((ages[target], source, target))
        for _, source, target in sorted(aged, key=itemgetter(0)):
            by_layer = pairs[source, target]
            old, new = images.platforms.get(source), images.platforms.get(target)
            if old is not None and new is not None:
                made = document_of(images, old, new, by_layer)
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
        layers = PartLayers(manifest, old, new, problems)
        deltas = tuple(layers.deltas())
        return ParsedDeltas(
            target=target,
            deltas=deltas,
            problems=tuple(problems),
            whole=tuple(layers.whole),
            carried=tuple(part for part in manifest.layers if part.annotations.get(CONTENT) == SIGNATURE_CONTENT),
        )


__all__ = ["ARTIFACT_TYPE", "OciDelta"]
