"""Pure: which of the wanted deltas a repository lists, where it may list only so many bytes of them.

Rule 1. What is chosen or dropped is an *update*, all deltas from one old image into one new image in all formats: a
        part of them is of no use to the clients that count on all of an image.
Rule 2. Updates are taken in the order of what they save per byte, times the pulls of the old image where those were
        counted; one that has no room any more is dropped, and smaller ones after it may still have some. Of equal ones
        the first of the plan, the newer version, goes before.
Rule 3. A delta counts with the size with which it was made, whether its bytes are still there or were deleted since:
        what is dropped today has no room tomorrow either, as long as nothing else changes. One that was not made yet
        has no size, and counts when it has.
Rule 4. A delta that several updates share counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..history.records.deltas import DeltaKey, DeltaRecord
from ..oci.digest import Digest
from .plan import DeltaPlan, Rules, Wanted

_Update = tuple[Digest, Digest]


def within_budget(plan: DeltaPlan, rules: Mapping[str, Rules], known: Mapping[DeltaKey, DeltaRecord]) -> DeltaPlan:
    """The plan without what has no room; the same value where no repository has a limit. `rules` are by repository."""
    limited: dict[str, dict[_Update, list[Wanted]]] = {}
    for want in plan.wanted:
        if rules[want.repository].policy.max_deltas is not None:
            limited.setdefault(want.repository, {}).setdefault((want.source, want.target), []).append(want)
    if not limited:
        return plan
    dropped = {(name, *update) for name, updates in limited.items() for update in _dropped(updates, rules[name], known)}
    is_dropped = [(want.repository, want.source, want.target) in dropped for want in plan.wanted]
    wanted = tuple(want for want, drop in zip(plan.wanted, is_dropped, strict=True) if not drop)
    needed = {want.key for want in wanted}
    return replace(
        plan,
        wanted=wanted,
        jobs=tuple(job for job in plan.jobs if job.key in needed),
        over_budget=tuple(want for want, drop in zip(plan.wanted, is_dropped, strict=True) if drop),
    )


def _dropped(
    updates: Mapping[_Update, Sequence[Wanted]], rules: Rules, known: Mapping[DeltaKey, DeltaRecord]
) -> frozenset[_Update]:
    """Those that have no room among the deltas of one repository."""
    pulls = rules.pulls or {}
    # what was not counted was the latest a moment ago: clients have it as much as anything
    most = max(pulls.values(), default=1)

    def worth(update: _Update) -> float:
        size = sum(_sizes(updates[update], known).values())
        return pulls.get(update[0], most) * _saved(updates[update], known) / size if size else float("inf")

    room = rules.policy.max_deltas or 0
    taken: set[DeltaKey] = set()
    dropped: set[_Update] = set()
    for update in sorted(updates, key=worth, reverse=True):  # equal ones stay in their order
        sizes = {key: size for key, size in _sizes(updates[update], known).items() if key not in taken}
        if sum(sizes.values()) <= room:
            room -= sum(sizes.values())
            taken |= sizes.keys()
        else:
            dropped.add(update)
    return frozenset(dropped)


def _sizes(wants: Sequence[Wanted], known: Mapping[DeltaKey, DeltaRecord]) -> dict[DeltaKey, int]:
    """In bytes, of the deltas that would be listed."""
    return {want.key: known[want.key].size for want in wants if want.is_worth_listing(known.get(want.key))}


def _saved(wants: Sequence[Wanted], known: Mapping[DeltaKey, DeltaRecord]) -> int:
    """Bytes that a client need not download, by the better of the formats."""
    saved: dict[str, dict[DeltaKey, int]] = {}
    for want in wants:
        record = known.get(want.key)
        if record is not None and want.is_worth_listing(record):
            saved.setdefault(want.format, {})[want.key] = want.layer.size - record.size
    return max((sum(found.values()) for found in saved.values()), default=0)
