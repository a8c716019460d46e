"""Pure: the ledger + the policy -> which deltas are wanted, which of them must be made, and what is skipped and why.

Rule 1. Deltas lead into the latest image of a series only, from distinct images before it, per platform: an index whose
        image for a platform is that of the index after it is not a version of that platform. `ancestry` tells which
        image of an index is which, `sources` which of the images before the latest count.
Rule 2. The same pair wanted twice is made once.
Rule 3. A delta's sources are the files of one layer alone: clients of the `_deltaindex` format accept any image that
        has that layer, and only the layer's own files are certain to be there. One exception is rule 4.
Rule 4. flatpak looks for a delta from the *last* layer of what is installed, downloads every target layer again for
        which it finds none, and reads the sources from the whole merged image. So a multi-layer flatpak gets, from the
        old last layer, a delta to each target layer, made from the whole old image; if another known image has the same
        last layer on other layers, from the last layer alone. A layer that did not change gets one too, in a flatpak of
        one layer as well: without it, it would be downloaded for a new label.
Rule 5. A client of the oci-delta format has all of the old image: its deltas are made from all layers of that, into
        each layer that changed. Where the old image has one layer they are those of `_deltaindex`; others are made
        beside them. Its images count as a whole: where the deltas that are known already leave too little to save, no
        more is made for them.
Rule 6. A result of the same encoder with the same options is not made again.
Rule 7. For a repository that another configuration publishes nothing is made, and what it lists is not made again with
        other options because a repository of this one wants the same: two configurations for one target would undo each
        other's work every night. Only another encoder makes it again.
Rule 8. What was retracted is not wanted.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..config.values import FormatName, Policy, SourceRule
from ..history.ledger import Ledger
from ..history.records.deltas import DeltaKey, DeltaRecord
from ..history.records.images import LayerRecord, PlatformRecord
from ..history.records.repositories import RepositoryRecord
from ..history.retraction import Reach, reaches
from ..history.sources import timed_sources
from ..history.versions import Series, series_of
from ..oci.descriptor import Platform
from ..oci.digest import DiffID, Digest
from .ancestry import Ancestry
from .pairs import Pairs, changed_layers
from .sources import choose_sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One delta as one image wants it: in `repository`, for `target`, from the old image `source`, for one format.

    `most` is what the deltas into all changed layers of the image may have together, in bytes, where the format counts
    so. `rules` are what makes the old image a source.
    """

    key: DeltaKey
    repository: str
    series: str
    platform: Platform
    source: Digest
    target: Digest
    layer: LayerRecord
    max_ratio: float
    format: FormatName = "deltaindex"
    most: int = 0
    rules: tuple[SourceRule, ...] = ("versions",)

    @property
    def max_size(self) -> int:
        """The largest delta in bytes that is worth listing; less than the layer itself, unless a client of the format
        has no other way to it."""
        if self.format == "oci-delta":
            return min(self.most, self.layer.size - 1) if self.layer.is_one_member else self.most
        return min(int(self.layer.size * self.max_ratio), self.layer.size - 1)

    def accepts(self, record: DeltaRecord) -> bool:
        """True when the delta may be listed for this image."""
        return record.digest is not None and record.size <= self.max_size

    def is_worth_listing(self, record: DeltaRecord | None) -> bool:
        """True when it may be listed as far as its size goes, though it need not be stored any more."""
        return record is not None and 0 < record.size <= self.max_size


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelta:
    """A delta to make. `sources` are the layers to extract, lowest first; the last one is the `from` layer.

    `max_size` is the largest that any of the images which want it would list, in bytes.
    """

    key: DeltaKey
    sources: tuple[LayerRecord, ...]
    layer: LayerRecord
    max_size: int

    @property
    def weight(self) -> int:
        """By which the largest goes first (`DeltaPlan`): the stored bytes that it reads."""
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
    """`wanted` in the order of repositories, series, platforms and versions (newest first); `jobs` largest first, but
    behind each those that make the same layer: while one is still waiting, the tar is kept.

    `retracted` are those that would be wanted but for a retraction, by its name; `over_budget` those for which the
    policy's `max_deltas` leaves no room, see `budget`.
    """

    wanted: tuple[Wanted, ...]
    jobs: tuple[PlannedDelta, ...]
    skipped: tuple[Skipped, ...]
    retracted: Mapping[str, tuple[Wanted, ...]] = field(default_factory=dict)
    over_budget: tuple[Wanted, ...] = ()

    def retracted_counts(self) -> dict[str, int]:
        """How many deltas each retraction keeps back, whatever the number of formats and series that want them."""
        return {
            name: len({(want.repository, want.source, want.target, want.key) for want in wants})
            for name, wants in sorted(self.retracted.items())
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By what one repository is planned. It `is_foreign` when another configuration publishes it.

    `pulls` are those of its image manifests, None where they were not counted or do not matter.
    """

    policy: Policy
    scopes: tuple[str, ...] = ()
    pulls: Mapping[Digest, int] | None = None
    is_foreign: bool = False


def plan_deltas(
    ledger: Ledger, rules: Mapping[str, Rules], *, generator: str, options: str, now: datetime
) -> DeltaPlan:
    """Decide which deltas should exist. Touches nothing.

    Args:
        rules: by repository; one that is missing here is left as it is and wants nothing.
        generator: the encoder's version, `options` its options: results of others are made again.
    """
    found: list[Wanted | Skipped] = []
    retracted: dict[str, list[Wanted]] = {}
    layers: dict[DiffID, LayerRecord] = {}
    for name, record in sorted(ledger.repositories.items()):
        layers.update((layer.diff_id, layer) for layer in record.layers())
        if name not in rules:
            continue
        pairs = Pairs(record, ledger.outlines)
        covers = tuple(reaches(ledger, name))
        for series in series_of(record, rules[name].scopes):
            for entry in _wants(name, record, series, rules[name], pairs, now):
                if isinstance(entry, Wanted) and (by := _retracted_by(entry, covers)) is not None:
                    retracted.setdefault(by, []).append(entry)
                else:
                    found.append(entry)
    wanted = tuple(entry for entry in found if isinstance(entry, Wanted))
    theirs = {want.key for want in wanted if rules[want.repository].is_foreign}
    ours = [want for want in wanted if not rules[want.repository].is_foreign]
    settled = {key for key in theirs if key in ledger.deltas and ledger.deltas[key].generator == generator}
    return DeltaPlan(
        wanted=wanted,
        jobs=_jobs(
            [want for want in ours if want.key not in settled],
            layers,
            ledger.deltas,
            generator=generator,
            options=options,
        ),
        skipped=tuple(entry for entry in found if isinstance(entry, Skipped)),
        retracted={name: tuple(wants) for name, wants in retracted.items()},
    )


def _wants(
    repository: str, record: RepositoryRecord, series: Series, rules: Rules, pairs: Pairs, now: datetime
) -> Iterator[Wanted | Skipped]:
    def skip(platform: Platform | None, reason: str) -> Skipped:
        return Skipped(repository=repository, series=series.name, platform=platform, reason=reason)

    policy = rules.policy
    latest = record.images[series.latest]
    if not latest.platforms:
        yield skip(None, "the latest image has no tar layers")
        return
    timed = timed_sources(record, series, policy, now=now)
    if not policy.versions and not timed:
        yield skip(None, "the policy asks for deltas from 0 versions")
        return
    if len(series.versions) == 1:
        yield skip(None, "there is no version before the latest")
        return
    before = Ancestry(latest, [record.images[version] for version in series.versions[-2::-1]])
    for target in latest.platforms:
        sources = choose_sources(before.before(target), versions=policy.versions, timed=timed, pulls=rules.pulls)
        for source in sources.found:
            old = source.image
            for delta_format in policy.formats:
                found = pairs.between(old, target) if delta_format == "deltaindex" else _of_whole(pairs, old, target)
                most = int(policy.max_ratio * sum(layer.size for layer in changed_layers(old, target)))
                for key, layer in found:
                    yield Wanted(
                        key=key,
                        repository=repository,
                        series=series.name,
                        platform=target.platform,
                        source=old.manifest,
                        target=target.manifest,
                        layer=layer,
                        max_ratio=policy.max_ratio,
                        format=delta_format,
                        most=most if delta_format == "oci-delta" else 0,
                        rules=source.rules,
                    )
        if sources.unclear:
            yield skip(
                target.platform,
                f"{sources.unclear} of the versions before the latest have another number of images for this platform, "
                "and nothing tells which of them is which",
            )
        if sources.idle:
            yield skip(target.platform, f"{sources.idle} of the images before the latest were pulled by nobody")
        elif not sources.found and not sources.unclear:
            yield skip(target.platform, "no version before the latest has another image for this platform")


def _of_whole(pairs: Pairs, old: PlatformRecord, new: PlatformRecord) -> Iterator[tuple[DeltaKey, LayerRecord]]:
    """Nothing where it is not known by what an artifact must name the images."""
    return pairs.of_whole_images(old, new) if old.config is not None and new.config is not None else iter(())


def _jobs(
    wanted: Sequence[Wanted],
    layers: Mapping[DiffID, LayerRecord],
    known: Mapping[DeltaKey, DeltaRecord],
    *,
    generator: str,
    options: str,
) -> tuple[PlannedDelta, ...]:
    jobs: dict[DeltaKey, PlannedDelta] = {}
    hopeless = _hopeless(wanted, known, generator=generator, options=options)
    for want in wanted:
        if (want.repository, want.source, want.target, want.format) in hopeless or not _must_make(
            want, known.get(want.key), generator=generator, options=options
        ):
            continue
        earlier = jobs.get(want.key)
        jobs[want.key] = PlannedDelta(
            key=want.key,
            sources=tuple(layers[diff_id] for diff_id in (*want.key.below, want.key.from_diff_id)),
            layer=want.layer,
            max_size=max(want.max_size, earlier.max_size if earlier else 0),
        )
    return _ordered(jobs.values())


def _ordered(jobs: Collection[PlannedDelta]) -> tuple[PlannedDelta, ...]:
    heaviest: dict[DiffID, int] = {}
    for job in jobs:
        layer = job.key.to_diff_id
        heaviest[layer] = max(job.weight, heaviest.get(layer, 0))
    return tuple(
        sorted(jobs, key=lambda job: (-heaviest[job.key.to_diff_id], job.key.to_diff_id, -job.weight, job.key))
    )


def _hopeless(
    wanted: Sequence[Wanted], known: Mapping[DeltaKey, DeltaRecord], *, generator: str, options: str
) -> set[tuple[str, Digest, Digest, FormatName]]:
    """The pairs of images whose deltas are more than all of them may have, whatever those that are missing will have.

    Nobody lists those: were they made again after they were pruned, they would be in turn for ever.
    """
    found: set[tuple[str, Digest, Digest, FormatName]] = set()
    least: dict[tuple[str, Digest, Digest, FormatName], dict[DiffID, int]] = {}
    for want in wanted:
        record = known.get(want.key)
        if want.format == "oci-delta" and record and (record.generator, record.options) == (generator, options):
            pair = want.repository, want.source, want.target, want.format
            costs = least.setdefault(pair, {})
            if want.is_worth_listing(record):
                costs[want.key.to_diff_id] = record.size
            else:
                costs[want.key.to_diff_id] = want.layer.size if want.layer.is_one_member else want.most + 1
            if sum(costs.values()) > want.most:
                found.add(pair)
    return found


def _must_make(want: Wanted, record: DeltaRecord | None, *, generator: str, options: str) -> bool:
    if record is None or (record.generator, record.options) != (generator, options):
        return True
    # made once, found too large, and not stored; by today's policy it would be listed
    return record.digest is None and want.is_worth_listing(record)


def _retracted_by(want: Wanted, covers: Sequence[Reach]) -> str | None:
    """The name of the retraction that covers it, if any does."""
    return next((reach.name for reach in covers if reach.covers(want.source, want.target, want.key)), None)
