"""`deltapress publish`: the whole job."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from .console import Console
from .machine import give_back_freed_memory
from .options import Subparsers, add_config, add_force, add_jobs, add_json, add_wait
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress publish                            the job for cron; with -q it speaks only of what is wrong
  deltapress publish --dry-run                  what would be done
  deltapress publish --no-prune --wait 600      delete nothing, wait for another publisher
  deltapress publish --repair                   put back what the storage has lost
  deltapress publish --json                     what was done, for programs
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "publish", help="publish the layouts with deltas, and delete what is stale", epilog=_EXAMPLES
    )
    add_config(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done, as `plan` does")
    how.add_argument(
        "--repair",
        action="store_true",
        help="read everything that was published, and put back what is missing or damaged",
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="overwrite what was in the target before and is not from deltapress",
    )
    parser.add_argument("--no-prune", action="store_true", help="delete nothing")
    add_jobs(parser)
    add_wait(parser)
    add_force(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    give_back_freed_memory()
    how = settings(
        config,
        jobs=arguments.jobs,
        prune=not arguments.no_prune,
        force=arguments.force,
        repair=arguments.repair,
        adopt=arguments.adopt,
        wait=arguments.wait,
    )
    go, text = (publish.dry_run, report.plan_text) if arguments.dry_run else (publish.run, report.publish_text)
    with console.progress() as progress:
        outcome = go(config, target_of(config), how, progress=progress)
    return show_outcome(outcome, text, console, as_json=arguments.json)
