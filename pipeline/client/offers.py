"""The deltas that lead from what is here to what is wanted, found as each format says.

Rule. Where a delta must be applied, each format's clients know for certain: an artifact's to all files of its old
      image, those of `_deltaindex` to the files of one layer, but of a flatpak's last layer to all of its image.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..deltas.formats import FORMATS, DeltaFormat
from ..deltas.formats.contract import ListedDelta, ListedDocument
from ..errors import DeltapressError
from ..history.records.images import LayerRecord, PlatformRecord
from ..keys import manifest_key
from ..oci.descriptor import Descriptor, Platform
from ..oci.digest import DiffID, Digest
from ..oci.manifest import MAX_CONFIG_SIZE, Index, Manifest
from ..progress import Progress
from .images import RemoteImage, record_of
from .repository import Repository
from .sources import OldImage

# A listing of 4 MiB has thousands, and each is a request; those of one image are K for each format.
_MAX_DOCUMENTS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaOffer:
    """A delta `blob` that makes the layer `to` of the files of `layers` of an old image."""

    blob: Descriptor
    to: DiffID
    source: OldImage
    layers: tuple[DiffID, ...]


def find_offers(
    repository: Repository, image: RemoteImage, old: Sequence[OldImage], progress: Progress
) -> dict[DiffID, DeltaOffer]:
    """The smallest delta into each layer that has one. What cannot be read is told, and left out."""
    search = _Search(repository, image, old, progress)
    best: dict[DiffID, DeltaOffer] = {}
    for offer in search.offers() if old else ():
        known = best.get(offer.to)
        if known is None or (offer.blob.size, str(offer.blob.digest)) < (known.blob.size, str(known.blob.digest)):
            best[offer.to] = offer
    return best


class _Search:
    def __init__(self, repository: Repository, image: RemoteImage, old: Sequence[OldImage], progress: Progress) -> None:
        self._repository, self._image, self._old, self._progress = repository, image, old, progress
        self._left = _MAX_DOCUMENTS
        # by every digest that they are known by; what more are found to be here, comes in on the way
        self._by_digest = {digest: image for image in old for digest in image.digests}
        self._records = {
            digest: _record(image.record.platform, digest, found.config, found.diff_ids)
            for digest, found in self._by_digest.items()
        }
        self._records[image.manifest.digest] = image.record

    def offers(self) -> Iterator[DeltaOffer]:
        for delta_format in FORMATS:
            for listed in self._listed(delta_format):
                try:
                    yield from self._in_document(delta_format, listed)
                except DeltapressError as error:
                    self._progress.step(f"deltas of {listed.descriptor.digest} are left out: {error}")

    def _listed(self, delta_format: DeltaFormat) -> Iterator[ListedDocument]:
        """The documents about our image, each once."""
        seen: set[Digest] = set()
        for listing in self._listings(delta_format):
            for listed in delta_format.parse_listing(listing).documents:
                if listed.target != self._image.manifest.digest or listed.descriptor.digest in seen:
                    continue
                seen.add(listed.descriptor.digest)
                if self._left and (listed.source is None or self._is_here(listed.source)):
                    self._left -= 1
                    yield listed

    def _listings(self, delta_format: DeltaFormat) -> Iterator[Index]:
        subjects = (self._image.manifest.digest, *(index.digest for index in reversed(self._image.indexes)))
        for subject in (None,) if delta_format.tag is not None else subjects:
            try:
                if subject is not None:
                    found = self._repository.referrers(subject)
                else:
                    found = self._repository.listing(manifest_key(self._repository.name, str(delta_format.tag)))
            except DeltapressError as error:
                self._progress.step(f"deltas cannot be looked for: {error}")
                continue
            if found is not None:
                yield found

    def _in_document(self, delta_format: DeltaFormat, listed: ListedDocument) -> Iterator[DeltaOffer]:
        document = self._repository.document(listed.descriptor.digest)
        if not isinstance(document, Manifest) or not delta_format.owns(document):
            return
        parsed = delta_format.parse(document, self._records)
        if parsed.problems:
            self._progress.step(f"deltas of {document.digest} are left out: {parsed.problems[0]}")
            return
        wanted = {layer.diff_id for layer in self._image.record.layers}
        for delta in parsed.deltas:
            if delta.key.to_diff_id in wanted:
                yield from self._for_delta(delta)

    def _for_delta(self, delta: ListedDelta) -> Iterator[DeltaOffer]:
        for image in self._old:
            layers = self._layers(delta, image)
            if layers is not None and image.files.gives(layers):
                yield DeltaOffer(blob=delta.blob, to=delta.key.to_diff_id, source=image, layers=layers)

    def _layers(self, delta: ListedDelta, image: OldImage) -> tuple[DiffID, ...] | None:
        """The layers of an old image to whose files the delta must be applied; None where it is not for that one."""
        key = delta.key
        if delta.is_exact:
            return image.diff_ids if image.diff_ids == (*key.below, key.from_diff_id) else None
        if key.from_diff_id not in image.diff_ids:
            return None
        is_whole = self._image.record.is_flatpak and image.diff_ids[-1] == key.from_diff_id
        return image.diff_ids if is_whole else (key.from_diff_id,)

    def _is_here(self, source: Digest) -> bool:
        """Whether an old image is the one of that manifest; of some, only what is in it is known."""
        if (known := self._by_digest.get(source)) is not None and known.config is not None:
            return True
        if not self._old:
            return False
        try:
            manifest = self._repository.document(source)
        except DeltapressError:
            return False  # it was published once; whoever has it by name was found above
        for image in self._old:
            if isinstance(manifest, Manifest) and self._is_same(image, manifest):
                self._by_digest[source] = image
                platform = self._image.record.platform
                self._records[source] = _record(platform, source, manifest.config.digest, image.diff_ids)
                return True
        return False

    def _is_same(self, image: OldImage, manifest: Manifest) -> bool:
        if image.config is not None:
            return image.config == manifest.config.digest
        raw = self._repository.blob(manifest.config, limit=MAX_CONFIG_SIZE)
        return tuple(layer.diff_id for layer in record_of(manifest, raw).layers) == image.diff_ids


def _record(platform: Platform, digest: Digest, config: Digest | None, diff_ids: Sequence[DiffID]) -> PlatformRecord:
    """An old image as the formats look it up; nobody asks them how its layers were compressed."""
    layers = tuple(
        LayerRecord(diff_id=diff_id, digest=Digest.parse(str(diff_id)), size=0, media_type="") for diff_id in diff_ids
    )
    return PlatformRecord(platform=platform, manifest=digest, layers=layers, config=config)
