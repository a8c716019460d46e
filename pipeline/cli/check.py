"""`deltapress check`: would real clients be happy with this host?"""

import argparse
from typing import Final

from .. import report
from ..check import Address, check
from ..errors import ExitCode
from ..limits import Limits
from ..oci.reference import check_repository
from .console import Console
from .options import Subparsers, add_jobs, add_json, checked
from .results import show

_DESCRIPTION: Final = """\
Ask a host over HTTP what podman, docker, containerd, crane, oras, helm, flatpak, flightctl and composefs ask, and say
for each of them whether it would be content, why not, and what to change on this kind of server. Nothing is written.
"""

_EPILOG: Final = """\
examples:
  deltapress check https://registry.example.org
  deltapress check https://registry.example.org --repository team/app --apply
  deltapress check http://127.0.0.1:8000 --json

Without --repository, some of those that /v2/_catalog lists are looked at. A certificate of an authority of your own is
trusted where SSL_CERT_FILE names it. Exit code 0: no client fails, though some may be warned; 6: some client fails; 4:
nobody answers there.
"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "check",
        help="say which clients a host would serve well, and what to change for the others",
        description=_DESCRIPTION,
        epilog=_EPILOG,
    )
    parser.add_argument(
        "url", type=checked(Address.parse), metavar="URL", help="the host, as in https://registry.example.org"
    )
    parser.add_argument(
        "--repository",
        action="append",
        default=[],
        type=checked(check_repository),
        metavar="NAME",
        help="look at this repository; may be given again (default: some of those that the host lists)",
    )
    parser.add_argument(
        "--apply", action="store_true", help="download every listed delta, and apply it to its old layer"
    )
    add_jobs(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
    with console.progress() as progress:
        found = check(
            arguments.url,
            arguments.repository,
            limits=Limits(),
            jobs=arguments.jobs,
            progress=progress,
            is_applying=arguments.apply,
        )
    show(report.check_text(found), report.check_json(found), (), console, as_json=arguments.json)
    return found.exit_code
