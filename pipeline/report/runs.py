"""What publish, plan, prune, remove and retract did, or would do."""

from collections.abc import Iterator
from typing import Any

from ..deltas.plan import Wanted
from ..history.records import DeltaKey
from ..layout import BrokenTag
from ..publish import Outcome
from ..publish.prune import PrunePlan, Tombstone
from ..quantities import format_size
from ..text import one_line
from .lines import MAX_CELL, count, table, text_of
from .updates import distinct_wants, formats_of, saving_json, savings_table, tags_of, update_of


def failures(outcome: Outcome) -> Iterator[str]:
    """What went wrong, one line each (an error may add indented ones)."""
    for name, error in outcome.failed.items():
        yield f"{error}\n  Repository {name} was not published."
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
    """What `publish` did, and what clients save by it."""
    lines = [*outcome.notes, *map(str, outcome.repairs), _written(outcome)]
    if outcome.made or outcome.refused:
        refused = f", and {len(outcome.refused)} that no client would gain by" if outcome.refused else ""
        lines.append(f"Made {count(len(outcome.made), 'delta')}{refused}.")
    lines += [*_deletions(outcome), *savings_table(outcome.savings)]
    return text_of(lines)


def plan_text(outcome: Outcome) -> str:
    """What a dry run would do, and why."""
    return text_of([*outcome.notes, *_writes(outcome), *_deltas(outcome), *_deletions(outcome)])


def prune_text(outcome: Outcome) -> str:
    """What `prune` deleted, or would delete; each key where it only would."""
    lines = [*outcome.notes, *_deletions(outcome)]
    if outcome.is_dry:
        lines += [f"  {stone.key}  unreferenced since {stone.since:%Y-%m-%d %H:%M}" for stone in outcome.prune.remove]
    return text_of(lines)


def removal_text(outcome: Outcome) -> str:
    """What `remove` or `retract` un-listed or put back, or would; when it goes."""
    wrote = _writes(outcome) if outcome.is_dry else [_written(outcome)]
    return text_of([*outcome.notes, *wrote, *_deletions(outcome)])


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """All of an outcome but the ledger."""
    return {
        "dry_run": outcome.is_dry,
        "exit_code": int(outcome.exit_code),
        "repositories": {
            name: {"problem": str(outcome.failed[name]) if name in outcome.failed else None}
            for name in outcome.repositories
        },
        "broken": [_broken_json(name, found) for name, broken in outcome.broken.items() for found in broken],
        "written": {"keys": outcome.written.keys, "size": outcome.written.size},
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
        "notes": list(outcome.notes),
    }


def _written(outcome: Outcome) -> str:
    if not outcome.written.keys:
        return _nothing(outcome)
    return f"Wrote {count(outcome.written.keys, 'file')}, {format_size(outcome.written.size)}."


def _nothing(outcome: Outcome) -> str:
    return (
        "Nothing to write."
        if outcome.failed or outcome.broken
        else "Nothing to write: everything is published already."
    )


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
    yield from table(
        [
            [
                want.repository,
                str(want.platform),
                update_of(want, tags),
                ", ".join(formats[want.repository, want.source, want.target, want.key]),
                format_size(want.layer.size),
                _state(want, outcome, planned),
            ]
            for want in wanted
        ],
        right={4},
    )
    for skipped in outcome.plan.skipped:
        where = f" {skipped.platform}" if skipped.platform else ""
        yield f"  {skipped.repository}{where}: no delta: {skipped.reason}"


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
    if not plan.remove and not plan.waiting and not outcome.written.keys and not outcome.writes:
        yield "Nothing to delete."


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
