"""Pure: what deltas take that were not made yet, told from those that were.

Deltas of the same series and platform are the best guess, then those of the same repository: the median of the shares
that they have of their layers. What has nothing alike is not guessed.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from ..history.records.deltas import DeltaKey, DeltaRecord
from .plan import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`size` in bytes; None where nothing is known. `of` is from how many deltas it is guessed, 0 where it was made."""

    size: int | None
    of: int = 0


class Estimates:
    """Of deltas like those that are `wanted`, as far as they are `known`."""

    def __init__(self, wanted: Iterable[Wanted], known: Mapping[DeltaKey, DeltaRecord]) -> None:
        self._known = known
        self._shares: dict[Hashable, dict[DeltaKey, float]] = {}
        for want in wanted:
            record = known.get(want.key)
            if record is not None and record.size and want.layer.size:
                for alike in _alike(want):
                    self._shares.setdefault(alike, {})[want.key] = record.size / want.layer.size

    def of(self, want: Wanted) -> Estimate:
        record = self._known.get(want.key)
        if record is not None:
            return Estimate(size=record.size if want.is_worth_listing(record) else 0)
        for alike in _alike(want):
            if shares := self._shares.get(alike):
                size = int(median(shares.values()) * want.layer.size)
                return Estimate(size=size if size <= want.max_size else 0, of=len(shares))
        return Estimate(size=None)


def _alike(want: Wanted) -> tuple[Hashable, ...]:
    return (want.repository, want.series, want.platform), want.repository
