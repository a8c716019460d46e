"""`deltapress verify`: read the whole published tree as clients do."""

import argparse

from .. import report
from ..errors import DeltapressError, ExitCode
from ..verify import verify
from .console import Console
from .options import Subparsers, add_config, add_jobs, add_json
from .results import show
from .settings import configuration, target_of


class NothingPublishedError(DeltapressError):
    """The target is empty. Likely a mistyped URL, which must not pass for a tree without faults."""

    exit_code = ExitCode.VERIFICATION_FAILED


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "verify", help="check every digest and every reference of the target, and apply every delta again"
    )
    add_config(parser)
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    with console.progress() as progress:
        found = verify(
            target_of(config),
            jobs=arguments.jobs,
            limits=config.limits,
            progress=progress,
        )
    if not found.keys:
        raise NothingPublishedError(
            f"{config.target_url}: nothing is published there; run `deltapress publish`, or correct [target] url in "
            f"{config.path}"
        )
    show(
        report.verification_text(found),
        report.verification_json(found),
        map(str, found.problems),
        console,
        as_json=arguments.json,
    )
    return found.exit_code
