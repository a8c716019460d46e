"""`deltapress demand`: how often each image was pulled, counted in access logs, for `demand` in the configuration."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Final

from .. import publish
from ..compression import CompressionError, decompressed
from ..demand.access_log import manifest_requests
from ..demand.counting import Count
from ..demand.document import demand_document
from ..errors import ExitCode
from .console import Console
from .files import InputFileError, open_input, whole_output
from .options import Subparsers, add_config
from .settings import configuration, settings, target_of

_EXAMPLES: Final = """\
examples:
  deltapress demand access.log access.log.1.gz        what was pulled, as JSON
  deltapress demand access.log -o demand.json         the same in a file, which `demand` in [policy] names

Logs are those of nginx and Apache (combined), of S3 (server access logs) and of CloudFront (standard logs), compressed
or not. Take all of the time in which clients update, the last month say, and of a CDN its own: what it has in its
cache, no server behind it hears of. Tags are what they pointed to at the time of the request, which the ledger of the
configuration's target knows.
"""
_MAX_LOG: Final = 1 << 40  # bytes, decompressed


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demand",
        help="count in access logs how often each image was pulled, for `demand` in the configuration",
        epilog=_EXAMPLES,
    )
    add_config(parser)
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="access logs, in any order")
    parser.add_argument(
        "-o", "--output", default="-", metavar="FILE", help="where the pulls are written (default: standard output)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    config = configuration(arguments)
    with console.progress() as progress:
        known = publish.recall(config, target_of(config), settings(config, arguments.command), progress=progress)
    count = Count(known.ledger)
    for path in arguments.logs:
        try:
            with closing(decompressed(open_input(path), max_bytes=_MAX_LOG)) as log:
                count.add(manifest_requests(log))
        except CompressionError as error:
            raise InputFileError(str(path), str(error)) from error
        except OSError as error:
            raise InputFileError(str(path), f"cannot be read ({error.strerror})") from error
    with whole_output(arguments.output, console) as output:
        output.write(demand_document(count.result()))
    if not console.quiet:
        when = f", from {count.first:%Y-%m-%d} to {count.last:%Y-%m-%d}" if count.first and count.last else ""
        console.say(f"{count.pulls:,} pulls of published images{when}; {count.others:,} requests for other manifests")
    return ExitCode.SUCCESS
