"""`deltapress plan`: what `publish` would make, copy, skip and delete, and why. Writes nothing."""

import argparse
from typing import Final

from .. import publish, report
from ..config import suppose
from ..errors import ExitCode
from .console import Console
from .options import Subparsers, add_config, add_jobs, add_json
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress plan                                     what the next publish would do
  deltapress plan --what-if versions=5                how many deltas more, how large, and how much work
  deltapress plan --what-if sources_within=90d --what-if max_deltas=500MiB
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("plan", help="say what `publish` would do, and why", epilog=_EXAMPLES)
    add_config(parser)
    add_jobs(parser)
    parser.add_argument(
        "--what-if",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="also estimate what another value of a key of [policy] would cost and save; may be given again",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    supposed = suppose(config, arguments.what_if) if arguments.what_if else None
    chosen = settings(config, arguments.command, jobs=arguments.jobs)
    with console.progress() as progress:
        outcome = publish.dry_run(config, target_of(config), chosen, progress=progress)
    if supposed is None:
        return show_outcome(outcome, report.plan_text, console, as_json=arguments.json)
    comparison = publish.compare(config, supposed, outcome.ledger, now=chosen.now)
    return show_outcome(
        outcome,
        lambda outcome: f"{report.plan_text(outcome)}\n{report.what_if_text(arguments.what_if, comparison)}",
        console,
        as_json=arguments.json,
        more={"what_if": report.what_if_json(arguments.what_if, comparison)},
    )
