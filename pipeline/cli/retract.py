"""`deltapress retract`: take deltas back and leave the images, or list them again."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from ..history.retraction import Retractable
from .console import Console
from .options import Subparsers, add_config, add_json, add_wait
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress retract --all                      clients download whole layers, until --undo
  deltapress retract team/app                   the same for one repository, tomorrow's images included
  deltapress retract team/app:1.2               the deltas into what the tag points to
  deltapress retract team/app --source 1.1      the deltas out of an old image, a tag or a digest
  deltapress retract --undo team/app            as it was; the next publish makes what is gone
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "retract",
        help="un-list deltas in all formats, and make no more of them; the images stay",
        epilog=_EXAMPLES,
    )
    add_config(parser)
    parser.add_argument(
        "what",
        nargs="?",
        metavar="WHAT",
        help="REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST: the deltas of a repository, those into an image, or one "
        "by the digest of its blob",
    )
    parser.add_argument(
        "--source", metavar="VERSION", help="only the deltas out of this old image: its digest, or a tag of REPOSITORY"
    )
    parser.add_argument("--all", action="store_true", help="all deltas of the target")
    parser.add_argument("--undo", action="store_true", help="list them again, as far as they are still there")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be un-listed")
    add_wait(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    what = Retractable.named(arguments.what, arguments.source, is_all=arguments.all)
    config = configuration(arguments)
    with console.progress() as progress:
        outcome = publish.retract(
            what,
            config,
            target_of(config),
            settings(config, arguments.command, prune=False, wait=arguments.wait),
            is_undo=arguments.undo,
            is_dry=arguments.dry_run,
            progress=progress,
        )
    return show_outcome(outcome, report.removal_text, console, as_json=arguments.json)
