"""Where the commands that read images as a device does find them: the registry of the name, or another place."""

import argparse
import re
from pathlib import Path

from ..client.bundle.reading import BundleTarget
from ..client.reference import ImageName
from ..client.request import Request
from ..limits import Limits
from ..oci.descriptor import Platform
from ..targets.base import ReadableTarget
from ..targets.http.options import HTTPOptions
from ..targets.open import open_readable
from .machine import own_platform
from .registries import add_registry_options, http_options


def add_origin_options(parser: argparse.ArgumentParser) -> None:
    """`--from`, `--platform` and how registries are reached."""
    parser.add_argument(
        "--from",
        dest="origin",
        metavar="URL",
        help="a mirror (http:, https:, s3:), a published directory or a bundle, where IMAGE is the repository",
    )
    parser.add_argument(
        "--platform",
        type=_platform,
        metavar="OS/ARCH",
        help="of an image for several (default: this machine's)",
    )
    add_registry_options(parser)


def image_or_bundle(text: str) -> ImageName | Path:
    """A file that is there is a bundle, anything else names an image. Raises BadReferenceError."""
    path = Path(text)
    return path if path.is_file() else ImageName.parse(text)


def request_of(arguments: argparse.Namespace, image: ImageName | Path) -> Request:
    """What the options of a command that has `add_origin_options` ask for; those that it lacks are left out.

    Raises:
        NoBundleError: `image` is a file that is no bundle, or does not say which image is in it.
    """
    http, origin = http_options(arguments), arguments.origin
    if isinstance(image, Path):
        image, origin = BundleTarget.at(image).image, str(image)
    limits = Limits() if (size := getattr(arguments, "max_size", None)) is None else Limits(layer=size)
    return Request(
        name=image,
        target=_target(origin or image.registry_url, http),
        repositories=image.names_in_tree if origin else (image.registry_repository,),
        platform=arguments.platform or own_platform(),
        limits=limits,
        root=getattr(arguments, "root", None),
        source=getattr(arguments, "source", None),
        is_dry=getattr(arguments, "dry_run", False),
    )


def _platform(text: str) -> Platform:
    """`OS/ARCHITECTURE[/VARIANT]`, or the architecture alone."""
    parts = text.split("/")
    if len(parts) > 3 or not all(re.fullmatch("[a-z0-9_.-]{1,40}", part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is no platform; write OS/ARCH or OS/ARCH/VARIANT")
    os, architecture, variant = (["linux", *parts] if len(parts) == 1 else parts) + [""] * (len(parts) < 3)
    return Platform(os=os, architecture=architecture, variant=variant)


def _target(origin: str, http: HTTPOptions) -> ReadableTarget:
    path = Path(origin)
    if path.is_file() or ((path / "index.json").is_file() and not (path / "v2").is_dir()):
        return BundleTarget.at(path)
    return open_readable(origin, Path.cwd(), http=http)
