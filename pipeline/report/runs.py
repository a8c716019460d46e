"""What publish, plan, prune, remove and retract did, or would do."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from ..deltas.plan import Wanted
from ..deltas.savings import distinct
from ..history.records.deltas import DeltaKey
from ..keys import PRIVATE, Key, Kind, classify, repository_of
from ..layout import BrokenTag
from ..publish import Outcome
from ..publish.prune import PrunePlan, Tombstone
from ..quantities import format_seconds, format_share, format_size
from ..text import one_line
from .lines import MAX_CELL, count, table, text_of
from .updates import distinct_wants, formats_of, move_json, move_lines, saving_json, savings_table, tags_of, update_of

_REASONS: Final = 3  # that are said in full


def failures(outcome: Outcome, *, done: str = "published") -> Iterator[str]:
    """What went wrong, one line each (an error may add indented ones). `done` is what was to happen to repositories."""
    for name, error in outcome.failed.items():
        yield f"{error}\n  Repository {name} was not {done}."
    for name, broken in outcome.broken.items():
        for found in broken:
            what = f"Tag {one_line(found.tag, most=MAX_CELL)}" if found.tag else "This entry"
            yield f"{found.error}\n  {what} of repository {name} was left out; what was published of it before stays."
    for failure in outcome.delta_failures:
        yield one_line(f"delta {failure.job.key}: {failure.problem}; it is not listed")
    yield from map(one_line, outcome.lost)
    if outcome.prune_problem is not None:
        yield one_line(f"nothing was deleted: {outcome.prune_problem}")


def publish_text(outcome: Outcome) -> str:
    """What `publish` did, and what clients save by it; one line where there was nothing to do."""
    if outcome.is_idle:
        return text_of([*outcome.notes, _idle(outcome)])
    changed = {repository_of(key) for key in outcome.written.sizes}
    return text_of(
        [
            *outcome.notes,
            *map(str, outcome.repairs),
            *move_lines(outcome.moves),
            *savings_table([saving for saving in outcome.savings if saving.repository in changed]),
            *table(list(_summary(outcome)), right=set()),
        ]
    )


def _idle(outcome: Outcome) -> str:
    left = len(outcome.prune.waiting)
    waiting = f" {count(left, 'unreferenced file')} in the grace period." if left else ""
    return f"{_nothing(outcome)}{waiting}{_took(outcome)}"


def _took(outcome: Outcome) -> str:
    return f" ({format_seconds(sum(outcome.seconds.values()))})" if outcome.seconds else ""


def _summary(outcome: Outcome) -> Iterator[list[str]]:
    """The rows at the end of a run: what, and how much of it."""
    repositories = {repository_of(key) for key in outcome.written.sizes} - {None}
    where = f", in {count(len(repositories), 'repository', 'repositories')}" if repositories else ""
    yield ["written", f"{count(outcome.written.keys, 'file')}, {format_size(outcome.written.size)}{where}"]
    deltas = _delta_counts(outcome)
    if deltas:
        yield ["deltas", "; ".join(deltas)]
    savings = distinct(outcome.savings)
    whole, less = sum(saving.whole for saving in savings), sum(saving.with_deltas for saving in savings)
    if whole:
        share = format_share(whole - less, whole)
        yield ["saved", f"{share} of all updates: {format_size(less)} instead of {format_size(whole)}"]
    yield from (["deleted", line] for line in _deletion_counts(outcome))
    if outcome.seconds:
        parts = [f"{name} {format_seconds(seconds)}" for name, seconds in outcome.seconds.items() if seconds >= 1]
        total = format_seconds(sum(outcome.seconds.values()))
        yield ["time", f"{total}: {', '.join(parts)}" if parts else total]


def _delta_counts(outcome: Outcome) -> list[str]:
    """In words: what was made, what was there, what was refused and why."""
    parts = []
    if outcome.made:
        parts.append(f"{len(outcome.made):,} made, {format_size(sum(record.size for record in outcome.made))}")
    done = {record.key for record in (*outcome.made, *outcome.refused)}
    stored = outcome.ledger.deltas
    there = {want.key for want in outcome.plan.wanted if want.key in stored and want.accepts(stored[want.key])} - done
    if there:
        parts.append(f"{len(there):,} there already")
    reasons = Counter(record.refused or "" for record in outcome.refused)
    parts += [f"{number:,} refused: {reason}" for reason, number in reasons.most_common(_REASONS)]
    if len(reasons) > _REASONS:
        parts.append(
            f"{sum(reasons.values()) - sum(n for _, n in reasons.most_common(_REASONS)):,} refused as --json says"
        )
    if outcome.delta_failures:
        parts.append(f"{len(outcome.delta_failures):,} failed")
    return parts


def _deletion_counts(outcome: Outcome) -> Iterator[str]:
    plan = outcome.prune
    if plan.remove:
        what = f"{count(len(plan.remove), 'unreferenced file')}, {format_size(plan.size)}"
        yield what if outcome.is_pruned else f"nothing: {what} left for later"
    if plan.waiting:
        yield f"{count(len(plan.waiting), 'unreferenced file')} later, in the grace period"


def plan_text(outcome: Outcome) -> str:
    """What a dry run would do, and why."""
    return text_of(
        [
            *outcome.notes,
            *move_lines(outcome.moves),
            *_writes(outcome),
            *_deltas(outcome),
            *_deletions(outcome),
        ]
    )


def prune_text(outcome: Outcome) -> str:
    """What `prune` deleted, or would delete; each key where it only would."""
    lines = [*outcome.notes, *_deletions(outcome)]
    if outcome.is_dry:
        lines += [f"  {stone.key}  unreferenced since {stone.since:%Y-%m-%d %H:%M}" for stone in outcome.prune.remove]
    return text_of(lines)


def removal_text(outcome: Outcome) -> str:
    """What `remove`, `retract`, `tag` or `mirror` changed, or would; when it goes."""
    wrote = _writes(outcome) if outcome.is_dry else [_written(outcome)]
    return text_of([*outcome.notes, *move_lines(outcome.moves), *wrote, *_deletions(outcome)])


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """All of an outcome but the ledger."""
    return {
        "dry_run": outcome.is_dry,
        "at_rest": outcome.is_at_rest,
        "started": outcome.started.isoformat(),
        "exit_code": int(outcome.exit_code),
        "repositories": {
            name: {"problem": str(outcome.failed[name]) if name in outcome.failed else None}
            for name in outcome.repositories
        },
        "broken": [_broken_json(name, found) for name, broken in outcome.broken.items() for found in broken],
        "written": {"keys": outcome.written.keys, "size": outcome.written.size} | _written_json(outcome),
        "writes": [{"key": entry.key, "size": entry.size} for entry in outcome.writes],
        "deltas": {
            "planned": [_key_json(job.key) | {"layer_size": job.layer.size} for job in outcome.plan.jobs],
            "skipped": [
                {
                    "repository": skipped.repository,
                    "series": skipped.series,
                    "platform": str(skipped.platform) if skipped.platform else None,
                    "reason": skipped.reason,
                }
                for skipped in outcome.plan.skipped
            ],
            "wanted": [_want_json(want, outcome, is_dropped=False) for want in outcome.plan.wanted]
            + [_want_json(want, outcome, is_dropped=True) for want in outcome.plan.over_budget],
            "made": [
                _key_json(record.key)
                | {
                    "size": record.size,
                    "digest": str(record.digest) if record.digest else None,
                    "refused": record.refused,
                }
                for record in (*outcome.made, *outcome.refused)
            ],
            "retracted": outcome.plan.retracted_counts(),
            "failed": [_key_json(failure.job.key) | {"problem": failure.problem} for failure in outcome.delta_failures],
        },
        "savings": [saving_json(saving) for saving in outcome.savings],
        "prune": _prune_json(outcome.prune) | {"done": outcome.is_pruned, "problem": outcome.prune_problem},
        "repairs": [
            {"key": repair.key, "problem": repair.problem, "remedy": repair.remedy} for repair in outcome.repairs
        ],
        "lost": list(outcome.lost),
        "moves": [move_json(move) for move in outcome.moves],
        "seconds": {name: round(seconds, 3) for name, seconds in outcome.seconds.items()},
        "notes": list(outcome.notes),
    }


def _want_json(want: Wanted, outcome: Outcome, *, is_dropped: bool) -> dict[str, Any]:
    record = outcome.ledger.deltas.get(want.key)
    return _key_json(want.key) | {
        "repository": want.repository,
        "series": want.series,
        "platform": str(want.platform),
        "source": str(want.source),
        "target": str(want.target),
        "format": want.format,
        "rules": list(want.rules),
        "layer_size": want.layer.size,
        "size": record.size if record is not None else None,
        "over_budget": is_dropped,
    }


def _written(outcome: Outcome) -> str:
    if not outcome.written.keys:
        return _nothing(outcome)
    return f"Wrote {count(outcome.written.keys, 'file')}, {format_size(outcome.written.size)}."


def _nothing(outcome: Outcome) -> str:
    if not _is_short(outcome):
        return "Nothing to write: everything is published already."
    return "Nothing would be written." if outcome.is_dry else "Nothing was written."


def _is_short(outcome: Outcome) -> bool:
    """True where something could not be looked at: that there is nothing to do is not known then."""
    return bool(outcome.failed or outcome.broken)


def _writes(outcome: Outcome) -> Iterator[str]:
    if not outcome.writes:
        yield _nothing(outcome)
        return
    size = sum(entry.size for entry in outcome.writes)
    aside = ", deltas aside" if outcome.plan.jobs else ""
    yield f"Would write {count(len(outcome.writes), 'file')}, {format_size(size)}{aside}:"
    by_repository: dict[str, list[int]] = {}
    for entry in outcome.writes:
        by_repository.setdefault(entry.repository or "(pages and servers)", []).append(entry.size)
    yield from table(
        [[name, count(len(sizes), "file"), format_size(sum(sizes))] for name, sizes in sorted(by_repository.items())],
        right={1, 2},
    )


def _deltas(outcome: Outcome) -> Iterator[str]:
    planned = {job.key for job in outcome.plan.jobs}
    wanted = distinct_wants(outcome.plan.wanted)
    formats = formats_of(outcome.plan.wanted)
    if not outcome.plan.wanted:
        yield "No deltas are wanted."
    else:
        yield f"Would make {count(len(planned), 'delta')}; {len(wanted)} {'is' if len(wanted) == 1 else 'are'} wanted:"
    tags = tags_of(outcome.savings)
    dropped = distinct_wants(outcome.plan.over_budget)
    formats |= formats_of(outcome.plan.over_budget)
    yield from table(
        [
            [
                want.repository,
                str(want.platform),
                update_of(want, tags),
                ", ".join(formats[want.repository, want.source, want.target, want.key]),
                ", ".join(want.rules),
                format_size(want.layer.size),
                state,
            ]
            for want, state in (
                *((want, _state(want, outcome, planned)) for want in wanted),
                *((want, _without_room(want, outcome)) for want in dropped),
            )
        ],
        right={5},
    )
    for skipped in outcome.plan.skipped:
        where = f" {skipped.platform}" if skipped.platform else ""
        yield f"  {skipped.repository}{where}: no delta: {skipped.reason}"


def _without_room(want: Wanted, outcome: Outcome) -> str:
    record = outcome.ledger.deltas.get(want.key)
    return f"skip: max_deltas has no room{f' for {format_size(record.size)}' if record is not None else ''}"


def _state(want: Wanted, outcome: Outcome, planned: set[DeltaKey]) -> str:
    if want.key in planned:
        return "make"
    record = outcome.ledger.deltas.get(want.key)
    if record is None:
        return "skip"
    if want.accepts(record):
        return f"have, {format_size(record.size)}"
    return f"skip: {record.refused or f'{format_size(record.size)} are more than max_ratio allows'}"


def _deletions(outcome: Outcome) -> Iterator[str]:
    plan = outcome.prune
    if plan.remove:
        what = f"{count(len(plan.remove), 'unreferenced file')}, {format_size(plan.size)}"
        if outcome.is_pruned:
            yield f"Deleted {what}."
        elif outcome.is_dry:
            yield f"Would delete {what}."
        else:
            yield f"Left {what}, to be deleted later."
    if plan.waiting:
        yield f"{count(len(plan.waiting), 'unreferenced file')} in the grace period."
    if not (plan.remove or plan.waiting or outcome.written.keys or outcome.writes or _is_short(outcome)):
        yield "Nothing to delete."


def _written_json(outcome: Outcome) -> dict[str, list[Key]]:
    """The keys that clients can ask for: a cache in front must be told of those that `changed`, and of no others."""
    served = [key for key in sorted(outcome.written.sizes) if not key.startswith(f"{PRIVATE}/")]
    parsed = {key: classify(key) for key in served}
    unchanging = [key for key, what in parsed.items() if what is not None and what.kind in {Kind.BLOB, Kind.MANIFEST}]
    return {"unchanging": unchanging, "changed": sorted(parsed.keys() - unchanging)}


def _broken_json(repository: str, found: BrokenTag) -> dict[str, Any]:
    return {
        "repository": repository,
        "tag": found.tag,
        "digest": str(found.digest) if found.digest else None,
        "problem": found.problem,
        "advice": found.advice,
    }


def _key_json(key: DeltaKey) -> dict[str, Any]:
    return {"from_diff_id": str(key.from_diff_id), "to_diff_id": str(key.to_diff_id)}


def _prune_json(plan: PrunePlan) -> dict[str, Any]:
    return {
        "remove": [_tombstone_json(stone) for stone in plan.remove],
        "waiting": [_tombstone_json(stone) for stone in plan.waiting],
        "size": plan.size,
        "total": plan.total,
    }


def _tombstone_json(stone: Tombstone) -> dict[str, Any]:
    return {"key": stone.key, "since": stone.since.isoformat(), "size": stone.size}
