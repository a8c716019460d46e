"""`deltapress plan`: what `publish` would make, copy, skip and delete, and why. Writes nothing."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from .console import Console
from .options import Subparsers, add_config, add_jobs, add_json
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress plan                               what would be written and made, and why not more
  deltapress plan --json                        for programs
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("plan", help="say what `publish` would do, and why", epilog=_EXAMPLES)
    add_config(parser)
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    with console.progress() as progress:
        outcome = publish.dry_run(config, target_of(config), settings(config, jobs=arguments.jobs), progress=progress)
    return show_outcome(outcome, report.plan_text, console, as_json=arguments.json)
