"""What a publish did, in the text format of Prometheus, for the collector of text files.

Rule 1. All are gauges: each tells of the last run, and nothing here counts over several. Moments are Unix times, so
        that an age can be asked for at any time.
Rule 2. How many labels there are is bounded, whatever the configuration names.
"""

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

from ..deltas.savings import distinct
from ..errors import ExitCode
from ..history.moves import last_move
from ..publish import Outcome

MAX_REPOSITORIES: Final = 200
PREFIX: Final = "deltapress_"
_LAST_SUCCESS: Final = "last_success_timestamp_seconds"
_HELP: Final[Mapping[str, str]] = {
    "last_run_timestamp_seconds": "When the last publish ended.",
    "last_run_exit_code": "The exit code of the last publish: 0 is done, 5 partly done.",
    "last_run_duration_seconds": "How long the last publish took.",
    _LAST_SUCCESS: "When a publish with exit code 0 ended.",
    "last_run_stage_duration_seconds": "How long each stage of the last publish took.",
    "last_run_deltas": "Deltas that the last publish made, refused because they save too little, or failed to make.",
    "last_run_written_bytes": "What the last publish wrote, without the ledger.",
    "last_run_deleted_bytes": "What the last publish deleted.",
    "updates_whole_bytes": "What all updates that deltas are wanted for would download without them.",
    "updates_with_deltas_bytes": "What they download with the deltas that are there.",
    "ledger_keys": "How many files the ledger remembers.",
    "ledger_stored_bytes": "The sizes of all of them, copies and links counted each.",
    "repositories": "How many repositories the configuration names.",
    "repository_problems": "Tags that were left out of the last publish; 1 where it did not publish the repository.",
    "repository_latest_version_timestamp_seconds": "When a tag of the repository moved last.",
}
NAMES: Final = frozenset(f"{PREFIX}{name}" for name in _HELP)
# name, value and labels
_Sample: TypeAlias = tuple[str, float, Mapping[str, str]]
# what remains true of a target that a run has not looked at
_OF_TARGET: Final = frozenset(
    {
        *("updates_whole_bytes", "updates_with_deltas_bytes", "ledger_keys", "ledger_stored_bytes"),
        "repository_latest_version_timestamp_seconds",
    }
)
_LINE: Final = re.compile(rf'{PREFIX}([a-z_]+)(?:{{[a-z]+="(?:[^"\\]|\\.)*"}})? [0-9]{{1,18}}(?:\.[0-9]{{3}})?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A publish that `ended` then, after so many `seconds`; without an `outcome` an error ended it."""

    ended: datetime
    seconds: float
    exit_code: ExitCode
    outcome: Outcome | None = None


def metrics_text(run: Measured, *, before: str = "") -> str:
    """The whole file, in place of the one from `before`, from which it takes what this run does not know."""
    found: dict[str, list[str]] = {}
    for name, value, labels in _samples(run):
        found.setdefault(name, []).append(f"{PREFIX}{name}{_labels(labels)} {_number(value)}")
    has_looked = run.outcome is not None and not run.outcome.is_at_rest
    found = _lasting(before, {_LAST_SUCCESS} if has_looked else {_LAST_SUCCESS, *_OF_TARGET}) | found
    lines = []
    for name, help_text in _HELP.items():
        if name in found:
            lines += [f"# HELP {PREFIX}{name} {help_text}", f"# TYPE {PREFIX}{name} gauge", *found[name]]
    return "".join(f"{line}\n" for line in lines)


def _lasting(before: str, names: Set[str]) -> dict[str, list[str]]:
    """The lines of an older file about those metrics."""
    found: dict[str, list[str]] = {}
    for line in before.split("\n"):
        match = _LINE.fullmatch(line)
        if match is not None and match[1] in names and len(found.get(match[1], ())) < MAX_REPOSITORIES:
            found.setdefault(match[1], []).append(line)
    return found


def _samples(run: Measured) -> Iterator[_Sample]:
    ended = run.ended.timestamp()
    yield "last_run_timestamp_seconds", ended, {}
    yield "last_run_exit_code", run.exit_code, {}
    yield "last_run_duration_seconds", run.seconds, {}
    if run.exit_code is ExitCode.SUCCESS:
        yield _LAST_SUCCESS, ended, {}
    if run.outcome is not None:
        yield from _of_run(run.outcome)
        yield from _of_repositories(run.outcome)
        if not run.outcome.is_at_rest:
            yield from _of_target(run.outcome)


def _of_run(outcome: Outcome) -> Iterator[_Sample]:
    for stage, seconds in outcome.seconds.items():
        yield "last_run_stage_duration_seconds", seconds, {"stage": stage}
    for result, deltas in (
        ("made", outcome.made),
        ("refused", outcome.refused),
        ("failed", outcome.delta_failures),
    ):
        yield "last_run_deltas", len(deltas), {"result": result}
    yield "last_run_written_bytes", outcome.written.size, {}
    yield "last_run_deleted_bytes", outcome.prune.size if outcome.is_pruned else 0, {}
    yield "repositories", len(outcome.repositories), {}


def _of_target(outcome: Outcome) -> Iterator[_Sample]:
    savings = distinct(outcome.savings)
    yield "updates_whole_bytes", sum(saving.whole for saving in savings), {}
    yield "updates_with_deltas_bytes", sum(saving.with_deltas for saving in savings), {}
    yield "ledger_keys", len(outcome.ledger.keys), {}
    yield "ledger_stored_bytes", sum(record.size for record in outcome.ledger.keys.values()), {}


def _of_repositories(outcome: Outcome) -> Iterator[_Sample]:
    """Of at most MAX_REPOSITORIES, those with problems first."""
    problems = {name: len(outcome.broken.get(name, ())) for name in outcome.repositories}
    problems |= dict.fromkeys(outcome.failed, 1)
    shown = sorted(sorted(problems), key=lambda name: not problems[name])[:MAX_REPOSITORIES]
    for name in sorted(shown):
        yield "repository_problems", problems[name], {"repository": name}
        record = outcome.ledger.repositories.get(name)
        if record is not None and (moved := last_move(record)) is not None:
            yield "repository_latest_version_timestamp_seconds", moved.timestamp(), {"repository": name}


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    """As the text format wants it in quotes."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"
