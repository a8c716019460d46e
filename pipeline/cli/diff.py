"""`deltapress diff`: one proven delta, the reference tool `tar-diff`'s job."""

import argparse
import os
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from ..compression import CompressionError, OutputTooLargeError, decompressed
from ..content import CHUNK, hashed
from ..deltas.prove import WrongLayerError, prove
from ..efforts import DEFAULT_EFFORT, EFFORTS
from ..errors import DeltapressError, ExitCode
from ..limits import Limits
from ..oci.digest import DiffID
from ..quantities import parse_size
from ..scratch import scratch_folder
from ..tardiff.decoder import DeltaError
from ..tardiff.encoder import EncoderOptions, encode
from ..tardiff.format import MAGIC
from ..tardiff.layer.forms import summary
from ..tardiff.layer.tar import TarError
from ..tardiff.layer.tree import SourceTree, extract
from ..tardiff.pool import Pool
from .console import Console
from .files import InputFileError, open_input, whole_output
from .machine import give_back_freed_memory, usable_memory
from .options import Subparsers, add_jobs, checked, factor


class UnprovenDeltaError(DeltapressError):
    """The delta that was made does not give the new layer back. A mistake in this program; nothing is written."""

    exit_code = ExitCode.VERIFICATION_FAILED

    def __init__(self, problem: str) -> None:
        super().__init__(f"the new delta is wrong ({problem}); nothing was written, please report it")


class NotADeltaError(DeltapressError):
    """OUT is a file that is no delta: likely a layer, where the name of the delta was forgotten."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}: exists and is not a delta, so it is not overwritten; the last name is that of the delta to write"
        )


_EXAMPLES: Final = """\
examples:
  deltapress diff old.tar.gz new.tar.gz delta   from one layer to another
  deltapress diff base.tar app-1.tar app-2.tar delta --effort max
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "diff", help="make the delta from the layers of an old image to a new layer", epilog=_EXAMPLES
    )
    parser.add_argument("old", type=Path, nargs="+", metavar="OLD", help="old layers, lowest first, compressed or not")
    parser.add_argument("new", type=Path, metavar="NEW", help="the new layer, compressed or not")
    parser.add_argument("out", metavar="OUT", help="the delta; - is standard output")
    parser.add_argument(
        "--max-size",
        type=checked(parse_size),
        default=Limits().layer,
        metavar="SIZE",
        help="largest size of NEW, and of all files of OLD, uncompressed (default: 64GiB)",
    )
    parser.add_argument(
        "--ratio",
        type=factor,
        default=Limits().ratio,
        metavar="N",
        help="how many times its compressed size a layer above 64 MiB may have, uncompressed; pipes are bounded by "
        "--max-size alone (default: 1000)",
    )
    about = f"how much time to spend on a smaller delta (default: {DEFAULT_EFFORT})"
    parser.add_argument("--effort", choices=EFFORTS, default=DEFAULT_EFFORT, help=about)
    add_jobs(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    limits = Limits(layer=arguments.max_size, ratio=arguments.ratio)
    _spare_other_files(arguments.out)
    give_back_freed_memory()
    with (
        scratch_folder() as folder,
        Pool(workers=arguments.jobs, memory=limits.memory_of(usable_memory())) as pool,
    ):
        old, new, delta = (folder / name for name in ("old", "new", "delta"))
        # a thread of the pool that waits for a pipe cannot be interrupted: pipes are read by this one
        if all(layer.is_file() for layer in arguments.old):
            extracted = pool.submit(CHUNK, _extracted, arguments.old, old, limits)
            diff_id = _unpacked(arguments.new, new, limits)
            sources = extracted.result()
        else:
            sources = _extracted(arguments.old, old, limits)
            diff_id = _unpacked(arguments.new, new, limits)
        with delta.open("xb") as file:
            encoded = encode(sources, new, file, options=EncoderOptions(effort=arguments.effort), pool=pool)
        _prove(delta, sources, diff_id, size=new.stat().st_size)
        with delta.open("rb") as file, whole_output(arguments.out, console) as out:
            shutil.copyfileobj(file, out, CHUNK)
    if sources.doubts:
        console.say(summary(sources.doubts))
    console.say(f"{diff_id} in {encoded.size:,} bytes")
    return ExitCode.SUCCESS


def _spare_other_files(path: str) -> None:
    """Raises NotADeltaError; what cannot be read is refused when it is written."""
    try:
        if path == "-" or not Path(path).is_file():
            return
        with Path(path).open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError:
        return
    if start not in {b"", MAGIC}:
        raise NotADeltaError(path)


def _extracted(layers: list[Path], directory: Path, limits: Limits) -> SourceTree:
    directory.mkdir()
    with ExitStack() as stack:
        streams = [stack.enter_context(_opened(layer, limits)) for layer in layers]
        try:
            return extract(streams, directory, max_bytes=limits.layer)
        except (CompressionError, TarError) as error:
            # which of several it was, the stream of all of them does not tell
            raise InputFileError(", ".join(map(str, layers)), _problem(error)) from error


def _unpacked(layer: Path, to: Path, limits: Limits) -> DiffID:
    hasher = DiffID.of(b"").new_hasher()
    try:
        with _opened(layer, limits) as stream, to.open("xb") as file:
            shutil.copyfileobj(hashed(stream, hasher), file, CHUNK)
    except CompressionError as error:
        raise InputFileError(str(layer), _problem(error)) from error
    return DiffID.of_hasher("sha256", hasher)


def _opened(layer: Path, limits: Limits) -> BinaryIO:
    file = open_input(layer)
    status = os.fstat(file.fileno())
    return decompressed(
        file, max_bytes=limits.layer_of(status.st_size) if stat.S_ISREG(status.st_mode) else limits.layer
    )


def _problem(error: CompressionError | TarError) -> str:
    return f"{error}; --max-size and --ratio allow more" if isinstance(error, OutputTooLargeError) else str(error)


def _prove(delta: Path, sources: SourceTree, diff_id: DiffID, *, size: int) -> None:
    try:
        with delta.open("rb") as file:
            prove(file, sources, diff_id, size=size)
    except (DeltaError, WrongLayerError) as error:
        raise UnprovenDeltaError(str(error)) from error
