"""`deltapress remove`: take a repository, a tag or an image out of publication, or put it back."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from ..history.removal import Removable
from .console import Console
from .options import Subparsers, add_config, add_force, add_json, add_wait
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress remove team/app:pr-123             un-listed now, deleted after the grace period
  deltapress remove team/app@sha256:… --now     a leaked image: gone from the target in this run
  deltapress remove team/app                    a repository, though it is configured
  deltapress remove team/app --undo             it is published again, as far as it is still there
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "remove",
        help="un-list a repository, a tag or an image for good, though its layout still has it",
        epilog=_EXAMPLES,
    )
    add_config(parser)
    parser.add_argument(
        "what",
        metavar="NAME",
        help="REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST: un-listed now, and deleted after the grace period",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--undo", action="store_true", help="put it back as far as it is still there")
    how.add_argument(
        "--now", action="store_true", help="delete it in this run, without a grace period: for what must not be out"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be un-listed")
    add_wait(parser)
    add_force(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    what = Removable.parse(arguments.what)
    config = configuration(arguments)
    how = settings(config, force=arguments.force, wait=arguments.wait)
    with console.progress() as progress:
        outcome = publish.remove(
            what,
            config,
            target_of(config),
            how,
            is_undo=arguments.undo,
            is_dry=arguments.dry_run,
            is_now=arguments.now,
            progress=progress,
        )
    return show_outcome(outcome, report.removal_text, console, as_json=arguments.json)
