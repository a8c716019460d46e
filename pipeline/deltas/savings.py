"""Pure: what a client saves that updates from one published version to the latest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ..history.ledger import Ledger
from ..history.records.repositories import RepositoryRecord
from ..oci.descriptor import Platform
from ..oci.digest import Digest
from .plan import Wanted

_TOO_LARGE: Final = "the delta is larger than the policy allows"
_TOO_LARGE_TOGETHER: Final = "the deltas are together larger than the policy allows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """An update of one platform's image. Sizes in bytes: `whole` is what a client without deltas downloads of layers,
    `with_deltas` what one with deltas does. `deltas` of the `layers` that changed have one, and `pending` of them were
    not tried yet; `refused` says of the others why there is none, each reason once."""

    repository: str
    series: str
    platform: Platform
    source: Digest
    target: Digest
    source_tags: tuple[str, ...]
    target_tags: tuple[str, ...]
    layers: int
    deltas: int
    whole: int
    with_deltas: int
    pending: int = 0
    refused: tuple[str, ...] = ()

    @property
    def saved(self) -> int:
        """What a client with deltas need not download, in bytes."""
        return self.whole - self.with_deltas


def savings(ledger: Ledger, wanted: Sequence[Wanted]) -> Iterator[Saving]:
    """One for each pair of images that wants deltas, in the order of the plan; by the first format of those that its
    repository is published in."""
    names = {name: _names(record) for name, record in ledger.repositories.items()}
    for (repository, series, platform, source, target), group in groupby(
        wanted, key=lambda want: (want.repository, want.series, want.platform, want.source, want.target)
    ):
        wants = list(group)
        wants = [want for want in wants if want.format == wants[0].format]
        tried = [(want, record) for want in wants if (record := ledger.deltas.get(want.key)) is not None]
        known = [(want.layer.size, record.size if want.accepts(record) else None) for want, record in tried]
        sizes = known + [(want.layer.size, None) for want in wants if want.key not in ledger.deltas]
        refused = [record.refused or _TOO_LARGE for want, record in tried if not want.accepts(record)]
        pending = len(wants) - len(tried)
        if wants[0].format == "oci-delta" and _sum(sizes) > wants[0].most:
            sizes = [(layer, None) for layer, _ in sizes]
            if _sum(known) > wants[0].most:  # whatever the others would be
                refused, pending = [_TOO_LARGE_TOGETHER], 0
        yield Saving(
            repository=repository,
            series=series,
            platform=platform,
            source=source,
            target=target,
            source_tags=names[repository].get(source, ()),
            target_tags=names[repository].get(target, ()),
            layers=len(wants),
            deltas=sum(delta is not None for _, delta in sizes),
            whole=sum(layer for layer, _ in sizes),
            with_deltas=_sum(sizes),
            pending=pending,
            refused=tuple(dict.fromkeys(refused)),
        )


def distinct(found: Iterable[Saving]) -> tuple[Saving, ...]:
    """Each update once, though it may belong to several series."""
    return tuple(
        {(saving.repository, saving.platform, saving.source, saving.target): saving for saving in found}.values()
    )


def _sum(sizes: Iterable[tuple[int, int | None]]) -> int:
    return sum(layer if delta is None else delta for layer, delta in sizes)


def _names(record: RepositoryRecord) -> Mapping[Digest, tuple[str, ...]]:
    """The tags that lead to each image manifest, directly or through an index."""
    found: dict[Digest, tuple[str, ...]] = {}
    for tag, known in record.tags.items():
        if known.image in record.images:
            for platform in record.images[known.image].platforms:
                found[platform.manifest] = (*found.get(platform.manifest, ()), tag)
    return found
