"""Pure: what a client saves that updates from one published version to the latest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..history.ledger import Ledger
from ..history.records import RepositoryRecord
from ..oci.descriptor import Platform
from ..oci.digest import Digest
from .plan import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """An update of one platform's image. Sizes in bytes: `whole` is what a client without deltas downloads of layers,
    `with_deltas` what one with deltas does. `deltas` of the `layers` that changed have one."""

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
        sizes = [(want.layer.size, _delta_size(want, ledger)) for want in wants]
        if wants[0].format == "oci-delta" and _sum(sizes) > wants[0].most:
            sizes = [(layer, None) for layer, _ in sizes]
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
        )


def distinct(found: Iterable[Saving]) -> tuple[Saving, ...]:
    """Each update once, though it may belong to several series."""
    return tuple(
        {(saving.repository, saving.platform, saving.source, saving.target): saving for saving in found}.values()
    )


def _sum(sizes: Iterable[tuple[int, int | None]]) -> int:
    return sum(layer if delta is None else delta for layer, delta in sizes)


def _delta_size(want: Wanted, ledger: Ledger) -> int | None:
    record = ledger.deltas.get(want.key)
    return record.size if record is not None and want.accepts(record) else None


def _names(record: RepositoryRecord) -> Mapping[Digest, tuple[str, ...]]:
    """The tags that lead to each image manifest, directly or through an index."""
    found: dict[Digest, tuple[str, ...]] = {}
    for tag, known in record.tags.items():
        if known.image in record.images:
            for platform in record.images[known.image].platforms:
                found[platform.manifest] = (*found.get(platform.manifest, ()), tag)
    return found
