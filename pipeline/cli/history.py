"""`deltapress history`: what past runs did."""

import argparse
from typing import Final

from .. import report
from ..errors import ExitCode
from ..history.reports import read_reports
from .console import Console
from .options import Subparsers, add_config, add_json, count
from .results import show
from .settings import configuration, target_of

_DEFAULT: Final = 10

_EXAMPLES: Final = """\
examples:
  deltapress history                            the last runs that did something, or failed
  deltapress history 1 --json                   the last one, with all that it said
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("history", help="show what past runs did", epilog=_EXAMPLES)
    add_config(parser)
    parser.add_argument(
        "number",
        nargs="?",
        type=count,
        default=_DEFAULT,
        metavar="N",
        help=f"how many of them, the newest first (default: {_DEFAULT})",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    target = target_of(configuration(arguments))
    runs = report.PastRuns.of(read_reports(target, arguments.number))
    show(report.history_text(runs), report.history_json(runs), runs.problems, console, as_json=arguments.json)
    return runs.exit_code
