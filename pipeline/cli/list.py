"""`deltapress list`: what is published: repositories, or the tags, images and deltas of one."""

import argparse
from typing import Final

from .. import publish, report
from ..config import Config
from ..errors import DeltapressError, ExitCode
from ..history.records.repositories import RepositoryRecord
from ..history.retention import pinned_images
from ..oci.digest import Digest
from .console import Console
from .options import Subparsers, add_config, add_json
from .results import show
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress list                               the repositories of the target
  deltapress list team/app                      its tags, images and deltas
  deltapress list team/app --json               with everything that is remembered of them
"""


class NotPublishedError(DeltapressError):
    """There is no repository of that name."""

    exit_code = ExitCode.BAD_CONFIGURATION


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "list", help="show what is published: repositories, or the tags, images and deltas of one", epilog=_EXAMPLES
    )
    add_config(parser)
    parser.add_argument("repository", nargs="?", metavar="REPOSITORY", help="one of them (default: all, a row each)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    with console.progress() as progress:
        known = publish.recall(config, target_of(config), settings(config, arguments.command), progress=progress)
    repositories, name = known.ledger.repositories, arguments.repository
    if name is not None and name not in repositories:
        some = ", ".join(sorted(repositories)[:10]) or "nothing"
        raise NotPublishedError(f"repository {name!r} is not published; published: {some}")
    names = sorted(repositories) if name is None else [name]
    pinned = {each: _pinned(config, each, repositories[each]) for each in names}
    if name is None:
        text = report.repositories_text(known.ledger)
    else:
        own = [saving for saving in known.savings if saving.repository == name]
        text = report.repository_text(name, repositories[name], own, pinned[name])
    document = report.listing_json(known.ledger, names, known.savings, pinned)
    show(text, document, (), console, as_json=arguments.json)
    return ExitCode.SUCCESS


def _pinned(config: Config, name: str, record: RepositoryRecord) -> frozenset[Digest]:
    """The images that the configuration pins, where it names the repository."""
    pins = (pin for repository in config.repositories if repository.name == name for pin in repository.pins)
    return frozenset().union(*(pinned_images(record, pin) for pin in pins))
