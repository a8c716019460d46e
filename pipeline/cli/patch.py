"""`deltapress patch`: what a client does with a delta, the reference tool `tar-patch`'s job."""

import argparse
from pathlib import Path

from ..compression import Writable
from ..errors import DeltapressError, ExitCode
from ..oci.digest import DiffID, Hasher
from ..quantities import parse_size
from ..tardiff.decoder import DeltaError, apply
from .console import Console
from .files import InputFileError, open_input, whole_output
from .options import Subparsers, checked


class UnexpectedOutputError(DeltapressError):
    """The delta could be applied, but made something else than it was expected to."""

    exit_code = ExitCode.VERIFICATION_FAILED


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("patch", help="apply a delta to the files of a directory")
    parser.add_argument("delta", type=Path, metavar="DELTA")
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="the old layers, extracted")
    parser.add_argument("out", metavar="OUT", help="the new layer, an uncompressed tar; - is standard output")
    parser.add_argument(
        "--expect", type=checked(DiffID.parse), metavar="DIGEST", help="write nothing if the new layer is another one"
    )
    parser.add_argument(
        "--max-size", type=checked(parse_size), default="64GiB", metavar="SIZE", help="of OUT (default: 64GiB)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    if not arguments.directory.is_dir():
        raise InputFileError(str(arguments.directory), "is no directory")
    expected: DiffID | None = arguments.expect
    hasher = (expected or DiffID.of(b"")).new_hasher()
    with open_input(arguments.delta) as delta, whole_output(arguments.out, console) as out:
        try:
            apply(delta, arguments.directory, _Bounded(out, hasher, arguments.max_size), expected_size=None)
        except DeltaError as error:
            raise InputFileError(str(arguments.delta), error.reason) from error
        made = DiffID.of_hasher(expected.algorithm if expected else "sha256", hasher)
        if expected is not None and made != expected:
            raise UnexpectedOutputError(
                f"{arguments.delta}: makes {made}, and {expected} was expected; nothing is written. "
                f"Is {arguments.directory} the image that the delta was made from?"
            )
    console.say(str(made))
    return ExitCode.SUCCESS


class _Bounded:
    """Hashes what passes on its way to `out`, and stops it at `limit` bytes."""

    def __init__(self, out: Writable, hasher: Hasher, limit: int) -> None:
        self._out, self._hasher, self._limit, self._left = out, hasher, limit, limit

    def write(self, data: bytes, /) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise UnexpectedOutputError(f"the delta makes more than {self._limit:,} bytes; --max-size allows more")
        self._hasher.update(data)
        self._out.write(data)
