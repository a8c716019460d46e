"""Result values -> text for people, and JSON for programs.

Rule 1. The text is for reading and may change; of the JSON, members may be added, and `schema` changes with any other
        change. Sizes are in bytes, times in ISO 8601 with their zone.
Rule 2. What failed stands in the JSON too, but not in the text: the command line sends that to standard error.
Rule 3. Platforms, problems and the like are untrusted: in the text, none of them begins a line of its own or fills a
        screen. The JSON has them whole, as ASCII, so that nothing on its way to a terminal has to change it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from .deltas.plan import Wanted
from .deltas.savings import Saving, distinct
from .history.records import DeltaKey
from .layout import BrokenTag
from .oci.digest import Digest
from .publish import Outcome
from .publish.prune import PrunePlan, Tombstone
from .publish.reconcile import Reconciliation
from .quantities import format_share, format_size
from .text import one_line
from .verify import Verification

SCHEMA: Final = 1
_MAX_CELL: Final = 200  # characters


def to_json(document: Mapping[str, Any]) -> str:
    """The JSON text of a document of this module."""
    # DEL is the one control character that JSON leaves as it is
    return json.dumps({"schema": SCHEMA, **document}, indent=2).replace("\x7f", "\\u007f")


def failures(outcome: Outcome) -> Iterator[str]:
    """What went wrong, one line each (an error may add indented ones)."""
    for name, error in outcome.failed.items():
        yield f"{error}\n  Repository {name} was not published."
    for name, broken in outcome.broken.items():
        for found in broken:
            what = f"Tag {one_line(found.tag, most=_MAX_CELL)}" if found.tag else "This entry"
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
        lines.append(f"Made {_count(len(outcome.made), 'delta')}{refused}.")
    lines += [*_deletions(outcome), *_savings(outcome.savings)]
    return _text(lines)


def plan_text(outcome: Outcome) -> str:
    """What a dry run would do, and why."""
    return _text([*outcome.notes, *_writes(outcome), *_deltas(outcome), *_deletions(outcome)])


def prune_text(outcome: Outcome) -> str:
    """What `prune` deleted, or would delete; each key where it only would."""
    lines = [*outcome.notes, *_deletions(outcome)]
    if outcome.is_dry:
        lines += [f"  {stone.key}  unreferenced since {stone.since:%Y-%m-%d %H:%M}" for stone in outcome.prune.remove]
    return _text(lines)


def removal_text(outcome: Outcome) -> str:
    """What `remove` or `retract` un-listed or put back, or would; when it goes."""
    wrote = _writes(outcome) if outcome.is_dry else [_written(outcome)]
    return _text([*outcome.notes, *wrote, *_deletions(outcome)])


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
        "savings": [_saving_json(saving) for saving in outcome.savings],
        "prune": _prune_json(outcome.prune) | {"done": outcome.is_pruned, "problem": outcome.prune_problem},
        "repairs": [
            {"key": repair.key, "problem": repair.problem, "remedy": repair.remedy} for repair in outcome.repairs
        ],
        "lost": list(outcome.lost),
        "notes": list(outcome.notes),
    }


def reconciliation_text(found: Reconciliation) -> str:
    """What the listing of a target shows that the ledger does not."""
    lines = [f"Listed {_count(found.total, 'file')}."]
    lines += [f"  {key}  somebody else's, left as it is" for key in found.foreign]
    lines += [
        f"  {key}  unknown, {'deleted' if found.is_deleted else 'looks like a published file'}" for key in found.stray
    ]
    if found.stray and not found.is_deleted:
        lines.append(f"--force deletes the {_count(len(found.stray), 'unknown file')} that look like published ones.")
    if not (found.foreign or found.stray or found.missing):
        lines.append("The ledger knows all of them, and nothing is missing.")
    return _text(lines)


def missing_keys(found: Reconciliation) -> Iterator[str]:
    """What the ledger knows and the target has not, one line each."""
    for key in found.missing:
        yield f"{key}: is missing, and the ledger says that it was written; run `deltapress publish --repair`"


def reconciliation_json(found: Reconciliation) -> dict[str, Any]:
    """All that `prune --reconcile` found and did."""
    return {
        "exit_code": int(found.exit_code),
        "keys": found.total,
        "stray": list(found.stray),
        "foreign": list(found.foreign),
        "missing": list(found.missing),
        "deleted": found.is_deleted,
    }


def verification_text(found: Verification) -> str:
    """What `verify` looked at; the problems are not in it."""
    lines = [
        f"Read {_count(found.keys, 'file')}: {_count(found.manifests, 'manifest')}, {_count(found.blobs, 'blob')}.",
        f"Applied {_count(found.deltas - len(found.unproven), 'delta')}.",
        *found.unproven,
        f"{_count(len(found.problems), 'problem')}." if found.problems else "Nothing is wrong.",
    ]
    return _text(lines)


def verification_json(found: Verification) -> dict[str, Any]:
    """All that `verify` found."""
    return {
        "exit_code": int(found.exit_code),
        "keys": found.keys,
        "blobs": found.blobs,
        "manifests": found.manifests,
        "deltas": found.deltas,
        "unproven": list(found.unproven),
        "problems": [{"key": problem.key, "problem": problem.problem} for problem in found.problems],
    }


def _text(lines: Iterable[str]) -> str:
    return "\n".join(map(one_line, lines))


def _written(outcome: Outcome) -> str:
    if not outcome.written.keys:
        return _nothing(outcome)
    return f"Wrote {_count(outcome.written.keys, 'file')}, {format_size(outcome.written.size)}."


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
    yield f"Would write {_count(len(outcome.writes), 'file')}, {format_size(size)}{aside}:"
    by_repository: dict[str, list[int]] = {}
    for entry in outcome.writes:
        by_repository.setdefault(entry.repository or "(pages and servers)", []).append(entry.size)
    yield from _table(
        [[name, _count(len(sizes), "file"), format_size(sum(sizes))] for name, sizes in sorted(by_repository.items())],
        right={1, 2},
    )


def _deltas(outcome: Outcome) -> Iterator[str]:
    planned = {job.key for job in outcome.plan.jobs}
    wanted = _distinct(outcome.plan.wanted)
    formats = _formats(outcome.plan.wanted)
    if not outcome.plan.wanted:
        yield "No deltas are wanted."
    else:
        yield f"Would make {_count(len(planned), 'delta')}; {len(wanted)} {'is' if len(wanted) == 1 else 'are'} wanted:"
    tags = _tags(outcome.savings)
    yield from _table(
        [
            [
                want.repository,
                str(want.platform),
                _update(want, tags),
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
        what = f"{_count(len(plan.remove), 'unreferenced file')}, {format_size(plan.size)}"
        if outcome.is_pruned:
            yield f"Deleted {what}."
        elif outcome.is_dry:
            yield f"Would delete {what}."
        else:
            yield f"Left {what}, to be deleted later."
    if plan.waiting:
        yield f"{_count(len(plan.waiting), 'unreferenced file')} in the grace period."
    if not plan.remove and not plan.waiting and not outcome.written.keys and not outcome.writes:
        yield "Nothing to delete."


def _savings(savings: Sequence[Saving]) -> Iterator[str]:
    if not savings:
        return
    tags = _tags(savings)
    yield "What a client downloads to update:"
    yield from _table(
        [
            ["repository", "platform", "update", "whole layers", "with deltas", "saved"],
            *(
                [
                    saving.repository,
                    str(saving.platform),
                    _update(saving, tags),
                    format_size(saving.whole),
                    format_size(saving.with_deltas),
                    format_share(saving.saved, saving.whole),
                ]
                for saving in distinct(savings)
            ),
        ],
        right={3, 4, 5},
    )


def _distinct(wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Each delta once for the images that want it, though they may belong to several series."""
    found = {(want.repository, want.platform, want.source, want.target, want.key): want for want in wanted}
    return tuple(found.values())


def _formats(wanted: Iterable[Wanted]) -> dict[tuple[str, Digest, Digest, DeltaKey], list[str]]:
    """The formats that list each delta, for each update of a repository."""
    found: dict[tuple[str, Digest, Digest, DeltaKey], list[str]] = {}
    for want in wanted:
        names = found.setdefault((want.repository, want.source, want.target, want.key), [])
        if want.format not in names:
            names.append(want.format)
    return found


def _tags(savings: Sequence[Saving]) -> dict[tuple[str, Digest], tuple[str, ...]]:
    """The names of each image in each repository: another one may have the same image by another name."""
    found = {(saving.repository, saving.source): saving.source_tags for saving in savings}
    return found | {(saving.repository, saving.target): saving.target_tags for saving in savings}


def _update(what: Wanted | Saving, tags: Mapping[tuple[str, Digest], tuple[str, ...]]) -> str:
    old, new = (
        ", ".join(tags.get((what.repository, digest), ())) or digest.short for digest in (what.source, what.target)
    )
    return f"{old} → {new}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _table(rows: Sequence[Sequence[str]], *, right: Iterable[int]) -> Iterator[str]:
    """The rows, indented, in columns; those in `right` end together."""
    numbers = set(right)
    rows = [[one_line(cell, most=_MAX_CELL) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


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


def _saving_json(saving: Saving) -> dict[str, Any]:
    return {
        "repository": saving.repository,
        "series": saving.series,
        "platform": str(saving.platform),
        "source": str(saving.source),
        "target": str(saving.target),
        "source_tags": list(saving.source_tags),
        "target_tags": list(saving.target_tags),
        "layers": saving.layers,
        "deltas": saving.deltas,
        "whole": saving.whole,
        "with_deltas": saving.with_deltas,
    }


def _prune_json(plan: PrunePlan) -> dict[str, Any]:
    return {
        "remove": [_tombstone_json(stone) for stone in plan.remove],
        "waiting": [_tombstone_json(stone) for stone in plan.waiting],
        "size": plan.size,
        "total": plan.total,
    }


def _tombstone_json(stone: Tombstone) -> dict[str, Any]:
    return {"key": stone.key, "since": stone.since.isoformat(), "size": stone.size}
