"""Pure: the ledger + the policy -> which deltas are wanted, which of them must be made, and what is skipped and why.

Rule 1. Deltas lead into the latest image of a series only, from the `versions` distinct images before it, per platform:
        an index whose image for a platform is that of the index after it is not a version of that platform.
Rule 2. The same pair wanted twice is made once.
Rule 3. A delta's sources are the files of one layer alone: clients of the `_deltaindex` format accept any image that
        has that layer, and only the layer's own files are certain to be there. One exception is rule 4.
Rule 4. flatpak looks for a delta from the *last* layer of what is installed, downloads every target layer again for
        which it finds none, and reads the sources from the whole merged image. So a multi-layer flatpak gets, from the
        old last layer, a delta to each target layer, made from the whole old image; if another known image has the same
        last layer on other layers, from the last layer alone.
Rule 5. A result of the same encoder with the same options is not made again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..config.values import Policy
from ..history.ledger import Ledger
from ..history.records import DeltaKey, DeltaRecord, LayerRecord, PlatformRecord, RepositoryRecord
from ..history.versions import Series, series_of
from ..oci.descriptor import Platform
from ..oci.digest import DiffID, Digest
from ..tardiff.layer.outline import Outline


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One delta as one image wants it: in `repository`, for `target`, from the old image `source`."""

    key: DeltaKey
    repository: str
    series: str
    platform: Platform
    source: Digest
    target: Digest
    layer: LayerRecord
    max_ratio: float

    @property
    def max_size(self) -> int:
        """The largest delta in bytes that is worth listing; always less than the layer itself."""
        return min(int(self.layer.size * self.max_ratio), self.layer.size - 1)

    def accepts(self, record: DeltaRecord) -> bool:
        """True when the delta may be listed for this image."""
        return record.digest is not None and record.size <= self.max_size


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaJob:
    """A delta to make. `sources` are the layers to extract, lowest first; the last one is the `from` layer.

    `max_size` is the largest that any of the images which want it would list, in bytes.
    """

    key: DeltaKey
    sources: tuple[LayerRecord, ...]
    layer: LayerRecord
    max_size: int

    @property
    def weight(self) -> int:
        """By which the largest goes first: the stored bytes that it reads."""
        return self.layer.size + sum(source.size for source in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A delta that nobody will make, and why."""

    repository: str
    series: str
    platform: Platform | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaPlan:
    """`wanted` in the order of repositories, series, platforms and versions (newest first); `jobs` largest first."""

    wanted: tuple[Wanted, ...]
    jobs: tuple[DeltaJob, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the configuration says of one repository."""

    policy: Policy
    scopes: tuple[str, ...] = ()


def plan_deltas(ledger: Ledger, rules: Mapping[str, Rules], *, generator: str, options: str) -> DeltaPlan:
    """Decide which deltas should exist. Touches nothing.

    Args:
        rules: by repository; one that is missing here is left as it is and wants nothing.
        generator: the encoder's version, `options` its options: results of others are made again.
    """
    found: list[Wanted | Skipped] = []
    layers: dict[DiffID, LayerRecord] = {}
    for name, record in sorted(ledger.repositories.items()):
        layers.update((layer.diff_id, layer) for layer in record.layers())
        if name not in rules:
            continue
        for series in series_of(record, rules[name].scopes):
            found.extend(_wants(name, record, series, rules[name].policy, ledger.outlines))
    wanted = tuple(entry for entry in found if isinstance(entry, Wanted))
    return DeltaPlan(
        wanted=wanted,
        jobs=_jobs(wanted, layers, ledger.deltas, generator=generator, options=options),
        skipped=tuple(entry for entry in found if isinstance(entry, Skipped)),
    )


def _wants(
    repository: str, record: RepositoryRecord, series: Series, policy: Policy, outlines: Mapping[DiffID, Outline]
) -> Iterator[Wanted | Skipped]:
    def skip(platform: Platform | None, reason: str) -> Skipped:
        return Skipped(repository=repository, series=series.name, platform=platform, reason=reason)

    latest = record.images[series.latest]
    if not latest.platforms:
        yield skip(None, "the latest image has no tar layers")
        return
    if not policy.versions:
        yield skip(None, "the policy asks for deltas from 0 versions")
        return
    if len(series.versions) == 1:
        yield skip(None, "there is no version before the latest")
        return
    for target in latest.platforms:
        sources = _versions_of(target, series, record)[: policy.versions]
        for old in sources:
            for key, layer in _pairs(record, old, target, outlines):
                yield Wanted(
                    key=key,
                    repository=repository,
                    series=series.name,
                    platform=target.platform,
                    source=old.manifest,
                    target=target.manifest,
                    layer=layer,
                    max_ratio=policy.max_ratio,
                )
        if not sources:
            yield skip(target.platform, "no version before the latest has another image for this platform")


def _versions_of(target: PlatformRecord, series: Series, record: RepositoryRecord) -> list[PlatformRecord]:
    """The distinct images of the target's platform before it, the newest first."""
    found: dict[Digest, PlatformRecord] = {}
    for version in series.versions[-2::-1]:
        platforms = record.images[version].platforms
        same = [image for image in platforms if image.platform == target.platform]
        # one build says arm64 and the next arm64/v8, and each update of Windows has a number of its own
        same = same or [image for image in platforms if image.platform.kind == target.platform.kind]
        if len(same) == 1 and same[0].manifest != target.manifest:
            found.setdefault(same[0].manifest, same[0])
    return list(found.values())


def _pairs(
    record: RepositoryRecord, old: PlatformRecord, new: PlatformRecord, outlines: Mapping[DiffID, Outline]
) -> Iterator[tuple[DeltaKey, LayerRecord]]:
    """What leads from one image to another."""
    if not old.layers:
        return
    if new.is_flatpak and len(old.layers) + len(new.layers) > 2:
        below = tuple(layer.diff_id for layer in old.layers[:-1])
        if _is_ambiguous(record, old):
            below = ()
        for layer in new.layers:
            yield DeltaKey(from_diff_id=old.layers[-1].diff_id, to_diff_id=layer.diff_id, below=below), layer
        return
    there = {layer.diff_id for layer in old.layers}
    for position, layer in enumerate(new.layers):
        if layer.diff_id not in there:
            best = _best_source(old.layers, layer, len(new.layers) - position, outlines)
            yield DeltaKey(from_diff_id=best.diff_id, to_diff_id=layer.diff_id), layer


def _is_ambiguous(record: RepositoryRecord, old: PlatformRecord) -> bool:
    """True when another image of the repository has the same last layer on other layers."""
    chain = [layer.diff_id for layer in old.layers]
    others = ([layer.diff_id for layer in image.layers] for image in record.platform_images())
    return any(other[-1:] == chain[-1:] and other != chain for other in others)


def _best_source(
    layers: Sequence[LayerRecord], target: LayerRecord, depth: int, outlines: Mapping[DiffID, Outline]
) -> LayerRecord:
    """The layer that has most bytes of the target's large files; ties go to the one that lies as deep below the top."""

    def score(position: int) -> tuple[int, int]:
        mine, theirs = outlines.get(target.diff_id), outlines.get(layers[position].diff_id)
        shared = mine.shared_bytes(theirs) if mine is not None and theirs is not None else 0
        return shared, -abs((len(layers) - position) - depth)

    return layers[max(range(len(layers)), key=score)]


def _jobs(
    wanted: Sequence[Wanted],
    layers: Mapping[DiffID, LayerRecord],
    known: Mapping[DeltaKey, DeltaRecord],
    *,
    generator: str,
    options: str,
) -> tuple[DeltaJob, ...]:
    jobs: dict[DeltaKey, DeltaJob] = {}
    for want in wanted:
        if not _must_make(want, known.get(want.key), generator=generator, options=options):
            continue
        earlier = jobs.get(want.key)
        jobs[want.key] = DeltaJob(
            key=want.key,
            sources=tuple(layers[diff_id] for diff_id in (*want.key.below, want.key.from_diff_id)),
            layer=want.layer,
            max_size=max(want.max_size, earlier.max_size if earlier else 0),
        )
    return tuple(sorted(jobs.values(), key=lambda job: (-job.weight, job.key)))


def _must_make(want: Wanted, record: DeltaRecord | None, *, generator: str, options: str) -> bool:
    if record is None or (record.generator, record.options) != (generator, options):
        return True
    # made once, found too large, and not stored; by today's policy it would be listed
    return record.digest is None and 0 < record.size <= want.max_size
