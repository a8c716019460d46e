"""Options that several commands share, and the types of their values."""

import argparse
import re
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from ..errors import DeltapressError

T = TypeVar("T")
# what add_subparsers returns, for which argparse has no public name
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

DEFAULT_CONFIG: Final = "deltapress.toml"


def checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    """`parse` as an argparse type: its DeltapressError becomes the message of a usage error."""

    def converted(text: str) -> T:
        try:
            return parse(text)
        except DeltapressError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def _number(minimum: int, maximum: int) -> Callable[[str], int]:
    def converted(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise argparse.ArgumentTypeError(f"must be a number from {minimum:,} to {maximum:,}, not {text[:20]!r}")
        return int(text)

    return converted


count = _number(1, 10_000)
factor = _number(1, 1_000_000)
port = _number(0, 65_535)
seconds = _number(0, 604_800)


def add_config(parser: argparse.ArgumentParser, *, default: object = argparse.SUPPRESS) -> None:
    """`-c`. A command's own one has no default: it would undo what was given before the command."""
    parser.add_argument(
        "-c",
        "--config",
        metavar="FILE",
        default=default,
        help=f"the configuration (default: {DEFAULT_CONFIG} here, in a folder above or in /etc)",
    )


def add_verbose(parser: argparse.ArgumentParser, *, default: object = argparse.SUPPRESS) -> None:
    """`-v`, in the same two places."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", default=default, help="say more, and show where errors come from"
    )


def add_quiet(parser: argparse.ArgumentParser, *, default: object = argparse.SUPPRESS) -> None:
    """`-q`, in the same two places."""
    parser.add_argument(
        "-q", "--quiet", action="store_true", default=default, help="say nothing but what is wrong; --json stays"
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    from .machine import usable_processors  # here, because `patch`, which should start quickly, has no such option

    parser.add_argument(
        "-j", "--jobs", type=count, metavar="N", default=usable_processors(), help="threads (default: all processors)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")


def add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--force", action="store_true", help="delete or un-list more than max_delete in [policy] allows"
    )


def add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        type=seconds,
        metavar="SECONDS",
        default=0,
        help="how long to wait for another publisher to finish (default: do not wait)",
    )
