"""The `deltapress` command: the only user of argv, standard streams, the clock, signals and exit codes.

Rule 1. One file a command, with `add_parser` (its options) and `run` (from checked options to an exit code).
Rule 2. Every error ends here as lines on standard error and an exit code; a traceback is shown with -v only.
Rule 3. Whatever ends a run early unwinds the stack, so that locks and temporary files go with it.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from types import ModuleType
from typing import Final

from .. import __version__
from ..errors import DeltapressError, ExitCode
from .console import Console
from .options import add_config, add_quiet, add_verbose
from .parser import PREFIX, Parser

_COMMANDS: Final = (
    *("init", "publish", "plan", "list", "history", "demand"),
    *("tag", "remove", "retract", "prune"),
    *("mirror", "verify", "check", "serve", "diff", "patch"),
    *("pull", "bundle"),
)

_EPILOG: Final = f"""\
Each option can be given in the environment: {PREFIX}JOBS=2 is --jobs 2, {PREFIX}JSON=1 is --json.

exit codes:
  0  success                     4  the target failed
  1  internal error              5  partly done: something was refused
  2  bad configuration or usage  6  verification failed
  3  bad input                   130  interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` is without the program's name.

    Raises:
        SystemExit: for --help, --version and wrong usage, as argparse does.
    """
    is_process = argv is None
    if argv is None:
        argv = sys.argv[1:]
    # of numpy's linear algebra nothing is used, and its threads take as long to start as all of numpy to load
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    commands = _commands(argv)
    if is_process:
        gc.freeze()  # what is loaded stays: no search for garbage need go through it, the one at the end included
    parser = _parser(commands)
    parser.read_environment(os.environ)
    arguments = parser.parse_args(argv)
    console = Console(arguments.command, verbose=arguments.verbose, quiet=arguments.quiet)
    as_json = getattr(arguments, "json", False)
    try:
        with _signals_interrupt():
            code: ExitCode = arguments.run(arguments, console)
            return code
    except DeltapressError as error:
        console.trace(error)
        return _end(error.exit_code, str(error), console, as_json=as_json)
    except KeyboardInterrupt as error:
        console.trace(error)
        return _end(ExitCode.INTERRUPTED, "interrupted", console, as_json=as_json)
    except BrokenPipeError:
        # the reader of standard output has left, as in `deltapress diff … - | head -c 9`: it knows
        console.abandon_output()
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        console.trace(error)
        problem = "memory ran out; do less at once with --jobs 1 or a lower `memory` in [limits]"
        return _end(ExitCode.INTERNAL, problem, console, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the outermost place: a mistake in this program must not look like a result
        console.trace(error)
        hint = "please report it" if console.verbose else "please report it, with what -v adds"
        problem = f"internal error: {type(error).__name__}: {error}; {hint}"
        return _end(ExitCode.INTERNAL, problem, console, as_json=as_json)


def _end(code: ExitCode, problem: str, console: Console, *, as_json: bool) -> ExitCode:
    """Say why there is no result; as a document, too, where one was asked for."""
    console.error(problem)
    if as_json:
        from ..report import to_json  # here, because most errors do without

        with suppress(DeltapressError):  # standard output is what failed
            console.result(to_json({"exit_code": int(code), "error": problem}, console.command), is_asked_for=True)
    return code


def _commands(argv: Sequence[str]) -> list[ModuleType]:
    """All of them; or only the one whose name comes first, since a `patch` should not wait for a publisher to load."""
    names = argv[:1] if argv and argv[0] in _COMMANDS else _COMMANDS
    return [import_module(f".{name}", __name__) for name in names]


def _parser(commands: Sequence[ModuleType]) -> Parser:
    parser = Parser(
        prog="deltapress",
        description="Publish OCI image layouts as a static registry tree, with verified tar-diff deltas.",
        epilog=_EPILOG,
    )
    parser.add_argument("-V", "--version", action="version", version=f"deltapress {__version__}")
    add_config(parser, default=None)
    add_verbose(parser, default=False)
    add_quiet(parser, default=False)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in commands:
        command.add_parser(subparsers)
    helps = {listed.dest: listed.help for listed in subparsers._choices_actions}
    for name, subparser in subparsers.choices.items():
        subparser.description = subparser.description or _sentence(helps.get(name))
        add_verbose(subparser)
        add_quiet(subparser)
    return parser


def _sentence(text: str | None) -> str | None:
    return f"{text[0].upper()}{text[1:]}." if text else None


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP act as Ctrl-C does; a signal that the caller ignores (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
