"""`deltapress init`: a commented configuration to start from."""

import argparse
from pathlib import Path
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..tree.templates import read_template
from .console import Console, OutputError
from .options import DEFAULT_CONFIG, Subparsers, add_config

STARTER: Final = "deltapress.toml"  # the template


class ConfigExistsError(DeltapressError):
    """There is a configuration already, which `init` does not overwrite."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(f"{path}: already exists and was left as it is; name another file with -c")


_EXAMPLES: Final = """\
examples:
  deltapress init                               deltapress.toml in this folder
  deltapress init -c nightly.toml               by another name
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("init", help="write a commented configuration to start from", epilog=_EXAMPLES)
    add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    path = Path(arguments.config or DEFAULT_CONFIG)
    text = read_template(STARTER)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigExistsError(path) from error
    except OSError as error:
        raise OutputError(str(path), error) from error
    console.result(
        f"Wrote {path}. Set its repositories; `deltapress plan` then shows what `deltapress publish` would do."
    )
    return ExitCode.SUCCESS
