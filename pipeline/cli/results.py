"""How every command shows what came out: the result on standard output, what is wrong on standard error."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import ExitCode, InternalError
from ..publish import Outcome
from ..report import failures, outcome_json, to_json
from .console import Console


def show(text: str, document: Mapping[str, Any], problems: Iterable[str], console: Console, *, as_json: bool) -> None:
    """`document` as JSON or `text`, then each problem as a line of its own."""
    console.result(to_json(document, console.command) if as_json else text, is_asked_for=as_json)
    for line in problems:
        console.error(line)


def show_outcome(
    outcome: Outcome,
    text: Callable[[Outcome], str],
    console: Console,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
    done: str = "published",
) -> ExitCode:
    """Show what a run did, in JSON with `more`, and return its exit code. `done` is as in `failures`."""
    document = {**outcome_json(outcome), **(more or {})}
    show(text(outcome), document, failures(outcome, done=done), console, as_json=as_json)
    for error in outcome.failed.values():
        if isinstance(error, InternalError):
            console.trace(error)
    return outcome.exit_code
