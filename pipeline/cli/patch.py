"""`deltapress patch`: what a client does with a delta, the reference tool `tar-patch`'s job."""

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..compression import Writable
from ..errors import DeltapressError, ExitCode
from ..parallel import HashingThread
from ..quantities import parse_size
from ..tardiff.decoder import DeltaError, apply
from .console import Console
from .files import InputFileError, open_input, whole_output
from .options import Subparsers, checked

if TYPE_CHECKING:
    from ..oci.digest import DiffID


class UnexpectedOutputError(DeltapressError):
    """The delta could be applied, but made something else than it was expected to."""

    exit_code = ExitCode.VERIFICATION_FAILED


_EXAMPLES: Final = """\
examples:
  deltapress patch delta old-files new.tar      old-files holds what is in the old layers
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("patch", help="apply a delta to the files of a directory", epilog=_EXAMPLES)
    parser.add_argument("delta", type=Path, metavar="DELTA")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="the old layers, extracted")
    parser.add_argument("out", metavar="OUT", help="the new layer, an uncompressed tar; - is standard output")
    parser.add_argument(
        "--expect",
        type=checked(_diff_id),
        metavar="DIGEST",
        help="the DiffID of the new layer; if it is another one, nothing is written",
    )
    parser.add_argument(
        "--max-size",
        type=checked(parse_size),
        default=64 << 30,
        metavar="SIZE",
        help="largest size of OUT (default: 64GiB)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    if not arguments.directory.is_dir():
        raise InputFileError(str(arguments.directory), "is not a directory")
    expected: DiffID | None = arguments.expect
    hasher = hashlib.new(expected.algorithm if expected else "sha256")
    with open_input(arguments.delta) as delta, whole_output(arguments.out, console) as out:
        try:
            with HashingThread(hasher) as hashing:
                bounded = _Bounded(hashing, out, limit=arguments.max_size)
                apply(delta, arguments.directory, bounded, expected_size=None)
        except DeltaError as error:
            raise InputFileError(str(arguments.delta), error.reason) from error
        made = f"{hasher.name}:{hasher.hexdigest()}"
        if expected is not None and made != str(expected):
            raise UnexpectedOutputError(
                f"{arguments.delta}: makes {made}, not the expected {expected}; nothing was written. "
                f"Is {arguments.directory} the image that the delta was made from?"
            )
    console.say(made)
    return ExitCode.SUCCESS


def _diff_id(text: str) -> "DiffID":
    # here, because `dataclasses`, which it needs, takes longer to load than a small delta to apply
    from ..oci.digest import DiffID

    return DiffID.parse(text)


class _Bounded:
    """Passes on to each of `sinks` what is written to it, and stops it at `limit` bytes."""

    def __init__(self, *sinks: Writable, limit: int) -> None:
        self._sinks, self._limit, self._left = sinks, limit, limit

    def write(self, data: bytes, /) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise UnexpectedOutputError(f"the delta makes more than {self._limit:,} bytes; --max-size allows more")
        for sink in self._sinks:
            sink.write(data)
