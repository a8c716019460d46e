"""Pure: the little that the front page shows of a repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ...deltas.savings import Saving
from ...history.moves import last_move
from ...history.records.repositories import RepositoryRecord
from .repository import platform_names, tags_in_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One row. `whole` and `saved` are sums over its updates in bytes; `pending` of them have no delta yet."""

    name: str
    recommended: str | None
    platforms: tuple[str, ...]
    updated: datetime | None
    updates: int
    pending: int
    whole: int
    saved: int

    @property
    def state(self) -> str:
        """`saved` where any update has deltas; else `pending`, or `none`."""
        if self.saved:
            return "saved"
        return "pending" if self.pending else "none"


def summary_of(name: str, record: RepositoryRecord, savings: Sequence[Saving]) -> Summary:
    """`savings` are those of this repository, each update once."""
    tag = next(iter(tags_in_order(record)), None)
    return Summary(
        name=name,
        recommended=tag,
        platforms=platform_names(record.images[record.tags[tag].image]) if tag is not None else (),
        updated=last_move(record),
        updates=len(savings),
        pending=sum(saving.pending > 0 and not saving.deltas for saving in savings),
        whole=sum(saving.whole for saving in savings),
        saved=sum(saving.saved for saving in savings),
    )
