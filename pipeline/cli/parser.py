"""The parser of the command line: argparse, which also reads the environment and says what was likely meant.

Rule 1. Each option can be given as a variable, `DELTAPRESS_JOBS` for `--jobs`; the command line is stronger.
Rule 2. A name that is not known is answered with the nearest one that is.
"""

import argparse
import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PREFIX: Final = "DELTAPRESS_"
_SWITCHES: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


class Parser(argparse.ArgumentParser):
    """See the module. Its subparsers are of this class, too."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **how}, allow_abbrev=False)

    def read_environment(self, environ: Mapping[str, str]) -> None:
        """Take the variables for defaults, here and in the subparsers. Ends as wrong usage does where one is wrong."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                for parser in action.choices.values():
                    parser.read_environment(environ)
            elif action.default is not argparse.SUPPRESS and (name := variable_of(action)) and name in environ:
                action.default = self._read(action, name, environ[name])
                action.required = False

    def _read(self, action: argparse.Action, name: str, text: str) -> Any:
        if action.nargs == 0:
            if text.lower() not in _SWITCHES:
                self.error(f"{name} must be 1 or 0, not {text[:20]!r}")
            return _SWITCHES[text.lower()]
        try:
            values = [self._value(action, part) for part in (text.split() if is_repeated(action) else [text])]
        except argparse.ArgumentError as error:
            self.error(f"{name}: {error.message}")
        return values if is_repeated(action) else values[0]

    def _value(self, action: argparse.Action, text: str) -> Any:
        value = self._get_value(action, text)
        self._check_value(action, value)
        return value

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._unknown(unknown, args or ())
        return arguments

    def _unknown(self, unknown: Sequence[str], given: Sequence[str]) -> None:
        """Complain in the name of the command that was given."""
        commands = next((a.choices for a in self._actions if isinstance(a, argparse._SubParsersAction)), {})
        parser = next((commands[argument] for argument in given if argument in commands), self)
        options = [option for action in (*self._actions, *parser._actions) for option in action.option_strings]
        what = unknown[0].partition("=")[0]
        if what.startswith("-"):
            parser.error(f"{what} is no option of {parser.prog}{_meant(what, options)}")
        parser.error(f"{what!r} is too much: {parser.prog} takes no more arguments")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            problem = f"{str(value)[:40]!r} is none of {', '.join(choices)}{_meant(str(value), choices)}"
            raise argparse.ArgumentError(action, problem)


def variable_of(action: argparse.Action) -> str | None:
    """The name of the environment variable for an option; None for `--help`, `--version` and what is no option."""
    long = next((option for option in action.option_strings if option.startswith("--")), None)
    if long is None or isinstance(action, argparse._HelpAction | argparse._VersionAction):
        return None
    return PREFIX + long.removeprefix("--").replace("-", "_").upper()


def is_repeated(action: argparse.Action) -> bool:
    """True for an option that may stand several times; its variable has all values, between blanks."""
    return isinstance(action, argparse._AppendAction)


def _meant(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
