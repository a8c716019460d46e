"""`deltapress verify`: read the whole published tree as clients do."""

import argparse
from pathlib import Path
from typing import Final

from .. import report
from ..errors import DeltapressError, ExitCode
from ..limits import Limits
from ..targets.base import Target
from ..targets.open import open_target
from ..verify import verify
from .console import Console
from .options import Subparsers, add_config, add_jobs, add_json
from .results import show
from .settings import configuration, target_of


class NothingPublishedError(DeltapressError):
    """The target is empty. Likely a mistyped URL, which must not pass for a tree without faults."""

    exit_code = ExitCode.VERIFICATION_FAILED


_EXAMPLES: Final = """\
examples:
  deltapress verify                             the target of the configuration
  deltapress verify public                      a directory, with no configuration
  deltapress verify s3://bucket/prefix          a bucket
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "verify",
        help="check every digest and every reference of a published tree, and apply every delta again",
        epilog=_EXAMPLES,
    )
    add_config(parser)
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="a directory or an s3:// URL (default: the target of the configuration)",
    )
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    target, limits, nothing = _what(arguments)
    with console.progress() as progress:
        found = verify(target, jobs=arguments.jobs, limits=limits, progress=progress)
    if not found.keys:
        raise NothingPublishedError(nothing)
    show(
        report.verification_text(found),
        report.verification_json(found),
        map(str, found.problems),
        console,
        as_json=arguments.json,
    )
    return found.exit_code


def _what(arguments: argparse.Namespace) -> tuple[Target, Limits, str]:
    """What to read, within which limits, and what to say where nothing is there."""
    problem = "nothing is published there;"
    if (named := arguments.target) is not None:
        return open_target(named, Path.cwd()), Limits(), f"{named}: {problem} name another directory or URL"
    config = configuration(arguments)
    advice = f"run `deltapress publish`, or correct [target] url in {config.path}"
    return target_of(config), config.limits, f"{config.target_url}: {problem} {advice}"
