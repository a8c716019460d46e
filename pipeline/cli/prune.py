"""`deltapress prune`: delete what has been unreferenced for longer than the grace period."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from .console import Console
from .options import Subparsers, add_config, add_force, add_json, add_wait
from .results import show, show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress prune                              delete what is due, without a look at the layouts
  deltapress prune --dry-run                    name it
  deltapress prune --reconcile                  compare the target with what is remembered of it
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "prune", help="delete what nothing has referred to for longer than the grace period", epilog=_EXAMPLES
    )
    add_config(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument(
        "--reconcile",
        action="store_true",
        help="list the target and report files that the ledger does not know, and files that it knows but are "
        "missing; with --force, delete unknown files that look like published ones",
    )
    add_wait(parser)
    add_force(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    how = settings(config, force=arguments.force, wait=arguments.wait)
    if arguments.reconcile:
        with console.progress() as progress:
            found = publish.reconcile(target_of(config), how, is_dry=arguments.dry_run, progress=progress)
        document = report.reconciliation_json(found)
        missing = report.missing_keys(found)
        show(report.reconciliation_text(found), document, missing, console, as_json=arguments.json)
        return found.exit_code
    with console.progress() as progress:
        outcome = publish.prune(config, target_of(config), how, is_dry=arguments.dry_run, progress=progress)
    return show_outcome(outcome, report.prune_text, console, as_json=arguments.json)
