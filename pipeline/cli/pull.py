"""`deltapress pull`: an image onto a device, by deltas from what is there."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .. import report
from ..client.into_runtime import pull_into_runtime
from ..client.outcome import PullOutcome
from ..client.pull import pull_into_layout
from ..client.request import Request
from ..errors import DeltapressError, ExitCode
from ..limits import Limits
from ..oci.digest import Digest
from ..oci.reference import TAG_RULE, is_tag
from ..progress import Progress
from ..quantities import parse_size
from ..scratch import scratch_folder
from .console import Console, OutputError
from .options import Subparsers, add_json, checked
from .origins import add_origin_options, image_or_bundle, request_of
from .results import show
from .runtimes import RUNTIMES, runtime_named, state_folder

_OCI: Final = "oci:"

_NAMES: Final = ", ".join(RUNTIMES)

_EPILOG: Final = """\
examples:
  deltapress pull registry.example.org/team/app:latest --into oci:/var/lib/app
  deltapress pull registry.example.org/team/app:latest --into podman
  deltapress pull team/app:latest --from https://mirror.example.org/public --into oci:/var/lib/app
  deltapress pull /media/stick/app.tar --into oci:/var/lib/app
  deltapress pull team/app:2.0 --from /media/stick/apps.tar --into oci:/var/lib/app

What is new is in --json: "changed" says whether another image is there now. Exit code 0 is also for nothing new.
"""


class PlaceError(DeltapressError):
    """What the options say does not fit together."""

    exit_code = ExitCode.BAD_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an image goes: a layout with a tag, or a runtime. `text` is as it was written."""

    text: str
    layout: Path | None = None
    tag: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read `oci:DIRECTORY[:TAG]` or the name of a runtime. Raises PlaceError."""
        if text in RUNTIMES:
            return cls(text=text)
        path, colon, tag = text.removeprefix(_OCI).rpartition(":")
        if not colon or "/" in tag:
            path, tag = text.removeprefix(_OCI), ""
        if not text.startswith(_OCI) or not path or "\0" in path:
            raise PlaceError(f"{text[:200]!r} is no place; write oci:DIRECTORY, oci:DIRECTORY:TAG or one of {_NAMES}")
        if tag and not is_tag(tag):
            raise PlaceError(f"{tag[:130]!r} is no tag; one is {TAG_RULE}")
        return cls(text=text, layout=Path(path), tag=tag or None)


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("pull", help="pull an image by deltas from what is here", epilog=_EPILOG)
    parser.add_argument(
        "image",
        type=checked(image_or_bundle),
        metavar="IMAGE",
        help="NAME:TAG, NAME@DIGEST, or a file that `deltapress bundle` wrote",
    )
    parser.add_argument(
        "--into",
        required=True,
        metavar="PLACE",
        type=checked(Place.parse),
        help=f"oci:DIRECTORY[:TAG], an image layout, or {_NAMES}",
    )
    parser.add_argument(
        "--root", type=Path, metavar="DIRECTORY", help="the files of an old image, such as a mount or /"
    )
    parser.add_argument(
        "--source", type=checked(Digest.parse), metavar="DIGEST", help="the manifest, or the index, of that old image"
    )
    parser.add_argument("--unpack", type=Path, metavar="DIRECTORY", help="also have the image's files there")
    parser.add_argument(
        "--max-size",
        type=checked(parse_size),
        default=Limits().layer,
        metavar="SIZE",
        help="largest layer, uncompressed (default: 64GiB)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be downloaded, and download nothing")
    add_json(parser)
    add_origin_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    place: Place = arguments.into
    if (arguments.root is None) != (arguments.source is None):
        raise PlaceError("--root and --source belong together: the files of an old image, and which image that is")
    if isinstance(arguments.image, Path) and arguments.origin is not None:
        raise PlaceError(f"{arguments.image} is a bundle; --from needs the name of an image beside it")
    if place.layout is None and arguments.unpack is not None:
        raise PlaceError("--unpack needs a layout, --into oci:DIRECTORY: a runtime has its own way to show files")
    if arguments.unpack is not None and arguments.unpack.absolute().name in {"", ".."}:
        raise PlaceError(f"--unpack {arguments.unpack}: another folder cannot take its place; name one that can go")
    request = request_of(arguments, arguments.image)
    if place.layout is None and not request.name.host and (arguments.origin or isinstance(arguments.image, Path)):
        raise PlaceError(
            f"{place.text} pulls by the whole name in the end, and without a host that is docker.io's: write "
            f"HOST/{request.name}, with --from beside it"
        )
    try:
        with console.progress() as progress:
            outcome = _pull(request, place, arguments, progress)
    except OSError as error:
        raise OutputError(error.filename or place.text, error) from error
    show(report.pull_text(outcome), report.pull_json(outcome), (), console, as_json=arguments.json)
    return ExitCode.SUCCESS


def _pull(request: Request, place: Place, arguments: argparse.Namespace, progress: Progress) -> PullOutcome:
    if place.layout is not None:
        tag = place.tag or request.name.tag
        return pull_into_layout(request, place.layout, tag, progress=progress, unpack=arguments.unpack)
    state = state_folder() / place.text
    # beside it there is room: what has temporary files may be in memory
    with scratch_folder(_existing(state)) as scratch:
        runtime = runtime_named(place.text, max_bytes=request.limits.layer, place=scratch)
        return pull_into_runtime(request, runtime, state, progress=progress)


def _existing(path: Path) -> Path:
    """The nearest folder above `path` that is there."""
    return next(folder for folder in path.absolute().parents if folder.is_dir())
