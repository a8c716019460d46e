"""Pure: which versions are sources of deltas for the sake of the time at which they were the latest of their series.

Rule 1. `sources_within`: each version that was the latest within that time.
Rule 2. `sources_monthly`: the versions with which so many of the last calendar months ended, in UTC. What a month ended
        with does not change any more, so nothing is chosen today and dropped tomorrow.
Rule 3. A version that came together with its successor was never the latest: of a layout that is published for the
        first time, with all of its past, these rules choose nothing.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from ..config.values import Policy, SourceRule
from ..oci.digest import Digest
from .records.repositories import RepositoryRecord
from .versions import Reign, Series, losses, reigns


def timed_sources(
    record: RepositoryRecord, series: Series, policy: Policy, *, now: datetime
) -> dict[Digest, tuple[SourceRule, ...]]:
    """Versions before the latest of `series`, each with the rules that choose it."""
    if not policy.sources_within and not policy.sources_monthly:
        return {}
    past = [reign for reign in reigns(series, losses(record)) if reign.until > reign.since]
    found: dict[Digest, tuple[SourceRule, ...]] = {}
    for reign in past:
        if now - reign.until < policy.sources_within:
            found[reign.image] = ("sources_within",)
    for image in {_latest_at(past, end): None for end in _month_ends(now, policy.sources_monthly)}:
        if image is not None:
            found[image] = (*found.get(image, ()), "sources_monthly")
    return found


def month_of(now: datetime) -> datetime:
    """When the calendar month began in which `now` lies, a time in UTC."""
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _latest_at(past: list[Reign], moment: datetime) -> Digest | None:
    """The newest of those that were the latest then: several may be where an old release was built again."""
    return next((reign.image for reign in reversed(past) if reign.since < moment <= reign.until), None)


def _month_ends(now: datetime, months: int) -> Iterator[datetime]:
    """The moments at which the last `months` months ended, the latest first."""
    end = month_of(now)
    for _ in range(months):
        yield end
        if (end.year, end.month) == (1, 1):
            return
        end = (end - timedelta(days=1)).replace(day=1)
