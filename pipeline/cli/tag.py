"""`deltapress tag`: point a tag to another published image, as to roll back."""

import argparse
from typing import Final

from .. import publish, report
from ..errors import ExitCode
from ..history.pointing import PointingError
from ..history.removal import Removable
from ..oci.digest import Digest
from ..oci.reference import is_tag
from .console import Console
from .options import Subparsers, add_config, add_json, add_wait, checked
from .results import show_outcome
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress tag team/app:latest 1.1            roll back to what 1.1 points to
  deltapress tag team/app:latest sha256:…       to an image by its digest, as `deltapress list` shows it

It stays there until the layout has another image under that tag than the one that was rolled back.
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "tag", help="point a tag to another published image, and keep it there", epilog=_EXAMPLES
    )
    add_config(parser)
    parser.add_argument("what", type=checked(_tag), metavar="NAME", help="REPOSITORY:TAG")
    parser.add_argument(
        "image", type=checked(_image), metavar="IMAGE", help="the digest of a published image, or a tag"
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would be written")
    add_wait(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    how = settings(config, arguments.command, prune=False, wait=arguments.wait)
    with console.progress() as progress:
        outcome = publish.tag(
            arguments.what,
            arguments.image,
            config,
            target_of(config),
            how,
            is_dry=arguments.dry_run,
            progress=progress,
        )
    return show_outcome(outcome, report.removal_text, console, as_json=arguments.json)


def _tag(text: str) -> Removable:
    what = Removable.parse(text)
    if what.tag is None:
        raise PointingError(f"{text[:300]!r} is no REPOSITORY:TAG")
    return what


def _image(text: str) -> Digest | str:
    return text if is_tag(text) else Digest.parse(text)
