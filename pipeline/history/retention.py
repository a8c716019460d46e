"""Pure: which images of a repository stay published, and which are left out and age away.

Rule 1. A tag that its layout has holds its image.
Rule 2. So do the policy's `keep` newest versions of each series; `keep_tags`, the globs of tags that are held though
        their layout has lost them; `keep_for`, the time for which an image stays after it was replaced as the latest of
        its series, or its tag was lost, whatever came later; the sources of deltas that `sources` chooses; and the
        repository's `pins`.
Rule 3. Where a series has no tag in the layout any more, what the repository got since then counts as newer versions of
        it: a tag that was published by mistake ages too, though nothing ever came after it in its own series.
Rule 4. What is attached to an image is held as long as the image: what names it as its subject (a signature, an SBOM),
        and what cosign attaches by a tag, `sha256-<hex>.sig`.
Rule 5. What is left out here is not deleted, but ceases to be named; the grace period begins then.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from ..config.values import Policy
from ..oci.digest import Digest
from ..oci.reference import is_reserved_tag
from .attached import with_attached
from .records.repositories import RepositoryRecord
from .sources import month_of, timed_sources
from .versions import Series, losses, reigns, series_of


def retain(
    record: RepositoryRecord, scopes: Sequence[str] = (), *, policy: Policy, pins: Sequence[str] = (), now: datetime
) -> RepositoryRecord:
    """The record without what no rule holds. A lost tag goes when its image goes."""
    # without a lost tag the others may be ordered by another rule: what the next run would leave out goes at once
    while (smaller := _retained(record, scopes, policy, pins, now)) is not record:
        record = smaller
    return record


def next_release(
    record: RepositoryRecord, scopes: Sequence[str] = (), *, policy: Policy, now: datetime
) -> datetime | None:
    """When time will next change what is held, or is a source of deltas, though nothing moves; None where it will not.

    That is when `keep_for` or `sources_within` ceases to hold the first image that it holds now, or a month ends of
    which `sources_monthly` takes the last version.
    """
    replaced = {since for _, since in _replaced(record, series_of(record, scopes))}
    ends = [end_of(since, period) for since in replaced for period in (policy.keep_for, policy.sources_within)]
    if policy.sources_monthly and replaced:
        ends.append(end_of(month_of(now), timedelta(days=32)).replace(day=1))
    return min((end for end in ends if end > now), default=None)


def end_of(since: datetime, period: timedelta) -> datetime:
    """When a period is over that began then; the last of all times for one that nobody will see end."""
    try:
        return since + period
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def pinned_images(record: RepositoryRecord, pin: str) -> frozenset[Digest]:
    """The images that a pin means: the one that a tag points to, or those that are or contain a digest."""
    if pin in record.tags:
        return frozenset({record.tags[pin].image} & record.images.keys())
    return frozenset(
        digest
        for digest, image in record.images.items()
        if any(str(document.digest) == pin for document in image.documents)
    )


def _retained(
    record: RepositoryRecord, scopes: Sequence[str], policy: Policy, pins: Sequence[str], now: datetime
) -> RepositoryRecord:
    held = {
        known.image
        for tag, known in record.tags.items()
        if known.lost is None or any(fnmatchcase(tag, glob) for glob in policy.keep_tags)
    }
    all_series = series_of(record, scopes)
    first_seen = sorted(_first_seen(record).values())
    for series in all_series:
        newer = 0 if series.lost is None else len(first_seen) - bisect_left(first_seen, series.lost)
        held.update(series.versions[max(0, len(series.versions) - max(0, policy.keep - newer)) :])
        held.update(timed_sources(record, series, policy, now=now))
    held.update(image for image, until in _replaced(record, all_series) if now - until < policy.keep_for)
    for pin in pins:
        held |= pinned_images(record, pin)
    return _only(record, with_attached(record, held))


def _first_seen(record: RepositoryRecord) -> dict[Digest, datetime]:
    """When each version that is there was first pointed to."""
    found: dict[Digest, datetime] = {}
    for tag, known in record.tags.items():
        for move in known.moves if not is_reserved_tag(tag) else ():
            if move.image in record.images:
                found[move.image] = min(move.since, found.get(move.image, move.since))
    return found


def _replaced(record: RepositoryRecord, all_series: Sequence[Series]) -> Iterator[tuple[Digest, datetime]]:
    """Each image that is not the latest of a series, and until when it was that or had a tag in its layout."""
    lost = losses(record)
    for series in all_series:
        for reign in reigns(series, lost):
            yield reign.image, reign.until
        if series.lost is not None:
            yield series.latest, series.lost


def _only(record: RepositoryRecord, held: Set[Digest]) -> RepositoryRecord:
    images = {digest: image for digest, image in record.images.items() if digest in held}
    tags = {}
    for tag, known in record.tags.items():
        if known.image in images:
            moves = tuple(move for move in known.moves if move.image in images)
            # the first one stays though its image does not: a tag that has moved stays a series of its own, and in the
            # place in its line where it was first seen
            tags[tag] = replace(known, moves=moves if moves[0] == known.moves[0] else (known.moves[0], *moves))
    if tags == record.tags and images.keys() == record.images.keys():
        return record
    return replace(record, tags=tags, images=images)
