"""`deltapress bundle`: one file that brings a machine from one version of an image to another."""

import argparse
from typing import Final

from .. import report
from ..client.bundle.writing import write_bundle
from ..client.reference import ImageName
from ..errors import ExitCode
from ..oci.digest import Digest, DigestError
from ..oci.reference import TAG_RULE, is_tag
from .console import Console
from .files import whole_output
from .options import Subparsers, add_json, checked
from .origins import add_origin_options, request_of
from .results import show

_EPILOG: Final = """\
examples:
  deltapress bundle registry.example.org/team/app:2.0 --source 1.9 update.tar
  deltapress bundle team/app:2.0 --from public --source 1.9 --source 1.8 update.tar
  deltapress pull update.tar --into oci:/var/lib/app
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "bundle", help="write an update of an image into one file, for machines without a network", epilog=_EPILOG
    )
    parser.add_argument("image", type=checked(ImageName.parse), metavar="IMAGE", help="NAME:TAG or NAME@DIGEST")
    parser.add_argument("out", metavar="OUT", help="the oci-archive; - is standard output")
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        type=_source,
        metavar="VERSION",
        help="tag or digest of an old image; may be repeated, but some clients take files for one alone",
    )
    add_json(parser)
    add_origin_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    sources = list(dict.fromkeys(arguments.source))
    with console.progress() as progress, whole_output(arguments.out, console) as out:
        outcome = write_bundle(request_of(arguments, arguments.image), sources, out, progress)
    if arguments.out != "-":
        show(report.bundle_text(outcome), report.bundle_json(outcome), (), console, as_json=arguments.json)
    return ExitCode.SUCCESS


def _source(text: str) -> str | Digest:
    try:
        return Digest.parse(text)
    except DigestError as error:
        if not is_tag(text):
            problem = f"{text[:130]!r} is neither a digest nor a tag, which is {TAG_RULE}"
            raise argparse.ArgumentTypeError(problem) from error
        return text
