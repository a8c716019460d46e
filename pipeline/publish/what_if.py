"""Pure: what another policy would cost and save, by the history that is there. An estimate: nothing is made for it.

Versions that are published no longer are no sources, though another policy would have kept them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ..config import Config
from ..deltas.estimate import Estimates
from ..deltas.plan import Wanted
from ..history.ledger import Ledger
from ..history.records.deltas import DeltaKey
from .steps import planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Deltas:
    """So many deltas of one kind: `size` in bytes, of which `estimated` have no size of their own, and of `unknown`
    nothing is known. `updates` are the pairs of an old and a new image; `whole` are the bytes of the layers that their
    deltas make, which a client downloads without."""

    number: int = 0
    updates: int = 0
    size: int = 0
    whole: int = 0
    estimated: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Another policy beside the present one: the deltas that would be `more` and `fewer`.

    `work` is what would be made at the next run, in bytes of stored layers that are read for it, and `work_now` the
    same for the deltas that are wanted now, made or not: times are as these. `alike` is the number of deltas whose
    sizes the estimate is from.
    """

    more: Deltas
    fewer: Deltas
    work: int
    work_now: int
    alike: int


def compare(now_used: Config, changed: Config, ledger: Ledger, *, now: datetime) -> Comparison:
    """What would be otherwise, had the configuration been the `changed` one."""
    present, other = (planned(config, ledger, now=now) for config in (now_used, changed))
    before, after = _distinct(present.wanted), _distinct(other.wanted)
    estimates = Estimates((*present.wanted, *present.over_budget, *other.wanted, *other.over_budget), ledger.deltas)
    more = [want for key, want in after.items() if key not in before]
    fewer = [want for key, want in before.items() if key not in after]
    return Comparison(
        more=_sum(more, estimates),
        fewer=_sum(fewer, estimates),
        work=sum(_weight(want) for want in more if want.key not in ledger.deltas),
        work_now=sum(map(_weight, before.values())),
        alike=max((estimates.of(want).of for want in more), default=0),
    )


def _distinct(wanted: Iterable[Wanted]) -> dict[tuple[str, DeltaKey], Wanted]:
    return {(want.repository, want.key): want for want in wanted}


def _sum(wants: Iterable[Wanted], estimates: Estimates) -> Deltas:
    found = [(want, estimates.of(want)) for want in wants]
    return Deltas(
        number=len(found),
        updates=len({(want.repository, want.source, want.target) for want, _ in found}),
        size=sum(estimate.size or 0 for _, estimate in found),
        whole=sum(want.layer.size for want, estimate in found if estimate.size),
        estimated=sum(estimate.of > 0 for _, estimate in found),
        unknown=sum(estimate.size is None for _, estimate in found),
    )


def _weight(want: Wanted) -> int:
    """The new layer counts for both: an old one is about as large, and all of a whole image at most once more."""
    return want.layer.size * (2 + len(want.key.below))
