"""`deltapress mirror`: a published tree, or a part of one, from one place to another."""

import argparse
from pathlib import Path
from typing import Final

from .. import mirror, report
from ..config import Config
from ..errors import ExitCode
from ..mirror.selection import check_repositories, parse_platform
from ..targets.open import open_readable, open_target
from .console import Console
from .options import Subparsers, add_json, add_wait, checked
from .registries import add_registry_options, http_options
from .results import show_outcome
from .settings import settings

_EXAMPLES: Final = """\
examples:
  deltapress mirror public copy                                 all of it
  deltapress mirror public copy --repository 'team/*' --tag '1.*'
  deltapress mirror public copy --platform linux/amd64 --no-deltas
  deltapress mirror public copy --dry-run                       what would be copied

SOURCE is a folder, s3://bucket/prefix or https://HOST: also a registry, of which the repositories are named where it
does not list them. TARGET is a folder or s3://bucket/prefix. A bucket's endpoint, region and credentials are those of
the environment (AWS_ENDPOINT_URL and so on).
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "mirror",
        help="copy a published tree, or a part of it, and keep the copy up to date",
        epilog=_EXAMPLES,
    )
    parser.add_argument("source", metavar="SOURCE", help="where it is published")
    parser.add_argument("target", metavar="TARGET", help="where it is to be published, too")
    parser.add_argument(
        "--repository",
        action="append",
        type=checked(check_repositories),
        metavar="GLOB",
        help="only these repositories; may be given several times",
    )
    parser.add_argument("--tag", action="append", metavar="GLOB", help="only these tags, and what is attached to them")
    parser.add_argument(
        "--platform",
        action="append",
        type=checked(parse_platform),
        metavar="OS/ARCH",
        help="only these platforms, OS/ARCH or OS/ARCH/VARIANT; indexes stay as they are",
    )
    parser.add_argument("--no-deltas", action="store_true", help="only the images")
    parser.add_argument("--no-prune", action="store_true", help="delete nothing")
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be written and deleted")
    add_wait(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="delete more than half of what is there, and take over what was mirrored from a source that has moved",
    )
    add_registry_options(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    here = Path.cwd()
    selection = mirror.Selection(
        repositories=tuple(arguments.repository or ["*"]),
        tags=tuple(arguments.tag or ["*"]),
        platforms=tuple(arguments.platform or []),
        deltas=not arguments.no_deltas,
    )
    source = open_readable(arguments.source, here, http=http_options(arguments))
    target = open_target(arguments.target, here)
    config = Config(path=here, target_url=target.url, repositories=())
    how = settings(config, arguments.command, prune=not arguments.no_prune, force=arguments.force, wait=arguments.wait)
    with console.progress() as progress:
        outcome = mirror.mirror(
            source,
            target,
            selection,
            config,
            how,
            has_ledger=not arguments.source.lower().startswith(("http:", "https:")),
            is_dry=arguments.dry_run,
            progress=progress,
        )
    return show_outcome(outcome, report.removal_text, console, as_json=arguments.json, done="mirrored")
