"""`deltapress serve`: a published directory over HTTP, for trying things."""

import argparse
from pathlib import Path
from typing import Final

from ..errors import ExitCode
from ..serve import serve
from .console import Console
from .options import Subparsers, port

_EXAMPLES: Final = """\
examples:
  deltapress serve public                       at http://127.0.0.1:8000
  deltapress serve public --port 0              at a free port, which is said
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "serve", help="serve a published directory over HTTP, for trying things", epilog=_EXAMPLES
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="what `publish` wrote")
    parser.add_argument("--port", type=port, default=8000, metavar="N", help="0 takes a free one (default: 8000)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    with serve(arguments.directory, host=arguments.host, port=arguments.port, log=console.say) as server:
        console.result(f"Serving {arguments.directory} at {server.url}/ until Ctrl-C.")
        server.run()
    return ExitCode.SUCCESS
