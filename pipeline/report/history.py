"""What is kept of a run in the target, and past runs as they were kept: `deltapress history`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from ..errors import DeltapressError, ExitCode, InternalError
from ..history.reports import UnreadableReport
from ..keys import report_key
from ..oci.fields import FieldError, Fields
from ..publish import Outcome
from ..quantities import format_seconds, format_size
from ..text import one_line
from .lines import count, table, text_of
from .runs import outcome_json

_HEAD: Final = ("run", "when (UTC)", "command", "exit", "took", "moved", "deltas", "written", "deleted", "problems")
_MAX_PROBLEM: Final = 60  # characters
_SHOWN: Final = 2  # tags that moved, in one cell


def report_of(command: str, started: datetime, what: Outcome | Exception) -> dict[str, Any]:
    """What is kept of a run: what it says with --json, or why it ended."""
    if isinstance(what, Outcome):
        return {"command": command, **outcome_json(what)}
    error = what if isinstance(what, DeltapressError) else InternalError(what)
    return {
        "command": command,
        "started": started.isoformat(),
        "exit_code": int(error.exit_code),
        "error": str(error),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRuns:
    """Past runs, the newest first: each as it was kept, and as the cells of a row; `problems` are lines about those
    that cannot be read."""

    documents: tuple[Mapping[str, Any], ...]
    rows: tuple[list[str], ...]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, found: Iterable[Mapping[str, Any] | UnreadableReport]) -> "PastRuns":
        documents, rows, problems = [], [], []
        for report in found:
            if isinstance(report, UnreadableReport):
                problems.append(str(report))
                continue
            try:
                rows.append(_row(Fields(report)))
                documents.append(report)
            except FieldError as error:
                problems.append(f"{report_key(report['run'])}: is no report of this version: {error}")
        return cls(documents=tuple(documents), rows=tuple(rows), problems=tuple(problems))

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.VERIFICATION_FAILED if self.problems else ExitCode.SUCCESS


def history_text(runs: PastRuns) -> str:
    """A row for each run."""
    if not runs.rows:
        return "No run is remembered."
    return text_of(table([_HEAD, *runs.rows], right={0, 3, 4, 7, 8}))


def history_json(runs: PastRuns) -> dict[str, Any]:
    """The reports as they were kept."""
    return {"exit_code": int(runs.exit_code), "runs": list(runs.documents), "problems": list(runs.problems)}


def _row(report: Fields) -> list[str]:
    """Raises FieldError for what is no report of this program's."""
    start = [
        str(report.integer("run")),
        report.text("started")[:16].replace("T", " "),
        report.text("command"),
        str(report.integer("exit_code")),
    ]
    if report.has("error"):
        return [*start, "", "", "", "", "", one_line(report.text("error"), most=_MAX_PROBLEM)]
    return [
        *start,
        _took(report.object("seconds")),
        _moved([f"{move.text('repository')}:{move.text('tag')}" for move in report.objects("moves")]),
        ", ".join(_deltas(report.object("deltas"))),
        _size(report.object("written")),
        _deleted(report.object("prune")),
        one_line("; ".join(_problems(report)), most=_MAX_PROBLEM),
    ]


def _took(seconds: Fields) -> str:
    times = [seconds.value(name) for name in seconds.names()]
    if not all(isinstance(time, int | float) for time in times):
        raise FieldError("seconds", "must be numbers")
    return format_seconds(sum(times)) if times else ""


def _moved(tags: list[str]) -> str:
    more = f" and {len(tags) - _SHOWN:,} more" if len(tags) > _SHOWN else ""
    return ", ".join(tags[:_SHOWN]) + more


def _deltas(deltas: Fields) -> Iterator[str]:
    made = deltas.objects("made")
    refused = sum(delta.has("refused") for delta in made)
    for number, what in (
        (len(made) - refused, "made"),
        (refused, "refused"),
        (len(deltas.objects("failed")), "failed"),
    ):
        if number:
            yield f"{number:,} {what}"


def _deleted(prune: Fields) -> str:
    return _size(prune) if prune.has("done") and prune.value("done") is True else ""


def _size(part: Fields) -> str:
    size = part.size("size")
    return format_size(size) if size else ""


def _problems(report: Fields) -> Iterator[str]:
    """What went wrong, in few words: the report itself has all of them."""
    repositories = report.object("repositories")
    failed = [name for name in repositories.names() if repositories.object(name).has("problem")]
    if failed:
        yield f"{count(len(failed), 'repository', 'repositories')} not published"
    if broken := report.objects("broken"):
        yield f"{count(len(broken), 'tag')} left out"
    if lost := report.list_of_texts("lost"):
        yield f"{count(len(lost), 'image')} lost"
    if report.object("prune").has("problem"):
        yield "nothing deleted"
