"""Typed reading of a TOML document that goes on after a mistake, so that all of them can be reported at once.

Rule 1. Every reading method that complains returns its fallback; nothing that was read may be used when there are
        mistakes.
Rule 2. A key that no method asked for is unknown; `close` complains about those, once the others have been read.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final, TypeVar

from ..errors import DeltapressError, ExitCode

T = TypeVar("T")

_KINDS: Final = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a number"),
    (str, "a string"),
    (list, "a list"),
    (dict, "a table"),
    ((date, datetime, time), "a date or time"),
)
_BARE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong. `key` is the key path, as in `repository[1].series[0].match`, or empty for all of it;
    `line` is where it stands, None where that is not known."""

    key: str
    problem: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}" if self.key else self.problem


class UnfitError(DeltapressError):
    """A value that is not what its key wants; the `Table` that reads it makes a `Mistake` of it."""

    exit_code = ExitCode.BAD_CONFIGURATION


class Table:
    """A view of one TOML table. `mistakes` is shared by all tables of a document."""

    def __init__(self, values: Mapping[str, Any], path: str, mistakes: list[Mistake]) -> None:
        self._values, self._path, self.mistakes = values, path, mistakes
        self._known: list[str] = []

    def has(self, name: str) -> bool:
        return name in self._values

    def path_of(self, name: str, index: int | None = None) -> str:
        """The key path of `name`, or of one member of its list."""
        if not name or not _BARE.issuperset(name):
            name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        path = f"{self._path}.{name}" if self._path else name
        return path if index is None else f"{path}[{index}]"

    def complain(self, name: str, problem: str, index: int | None = None) -> None:
        """Report `problem` at the key `name`, or at one member of its list."""
        self.mistakes.append(Mistake(self.path_of(name, index), problem))

    def close(self, elsewhere: Mapping[str, str] | None = None) -> None:
        """Complain about every key that was not asked for. `elsewhere` says where other tables' keys belong."""
        for name in self._values:
            if name in self._known:
                continue
            if elsewhere and name in elsewhere:
                self.complain(name, f"does not belong here, but in {elsewhere[name]}")
            elif near := difflib.get_close_matches(name, self._known, n=1):
                self.complain(name, f"is an unknown key; did you mean `{near[0]}`?")
            else:
                self.complain(name, f"is an unknown key; known here are {', '.join(self._known)}")

    def _get(self, name: str, kinds: type | tuple[type, ...], wanted: str) -> Any:
        """The value of `name`, or None: it is missing, or of a wrong type, which has been complained about then."""
        self._known.append(name)
        value = self._values.get(name)
        if value is None or (isinstance(value, kinds) and not isinstance(value, bool)):
            return value
        self.complain(name, f"must be {wanted}, not {_kind(value)}")
        return None

    def parsed(self, name: str, fallback: T, parse: Callable[[str], T], *, required: bool = False) -> T:
        """What `parse` makes of a string. It raises a DeltapressError that says what is wrong with it."""
        if required and not self.has(name):
            self.complain(name, "is missing")
        text = self._get(name, str, "a string")
        if text is None:
            return fallback
        try:
            return parse(text)
        except DeltapressError as error:
            self.complain(name, str(error))
            return fallback

    def integer(self, name: str, fallback: int, *, minimum: int, maximum: int) -> int:
        value = self._get(name, int, "an integer")
        if value is None:
            return fallback
        if not minimum <= value <= maximum:
            self.complain(name, f"must be a number from {minimum:,} to {maximum:,}, not {value}")
            return fallback
        return int(value)

    def boolean(self, name: str, fallback: bool) -> bool:
        self._known.append(name)
        value = self._values.get(name, fallback)
        if not isinstance(value, bool):
            self.complain(name, f"must be true or false, not {_kind(value)}")
            return fallback
        return value

    def share(self, name: str, fallback: float, *, zero: bool = False) -> float:
        """A number above 0 (from 0 on, where `zero` is allowed) and up to 1."""
        value = self._get(name, (int, float), "a number")
        if value is None:
            return fallback
        # this way round, a NaN is refused too
        if not (0 < value <= 1 or (zero and value == 0)):
            self.complain(name, f"must be a number {'from 0 to 1' if zero else 'above 0 and up to 1'}, not {value}")
            return fallback
        return float(value)

    def parsed_list(
        self, name: str, fallback: tuple[T, ...], parse: Callable[[str], T], *, empty: bool = False
    ) -> tuple[T, ...]:
        """What `parse` makes of each string of a list, which has at least one unless it may be `empty`."""
        values = self._get(name, list, "a list of strings")
        if values is None:
            return fallback
        if not values and not empty:
            self.complain(name, "is empty; leave the key out, or name at least one")
        found = []
        for index, value in enumerate(values):
            try:
                found.append(parse(_string(value)))
            except DeltapressError as error:
                self.complain(name, str(error), index)
        return tuple(found)

    def parsed_map(self, name: str, parse: Callable[[str], T]) -> dict[str, T]:
        """What `parse` makes of each string of a table whose keys are free."""
        table, found = self.table(name), {}
        for key, value in table._values.items():
            try:
                found[key] = parse(_string(value))
            except DeltapressError as error:
                table.complain(key, str(error))
        return found

    def table(self, name: str) -> "Table":
        """The table `name`; an empty one where it is missing."""
        return Table(self._get(name, dict, f"a table, [{name}]") or {}, self.path_of(name), self.mistakes)

    def tables(self, name: str) -> "tuple[Table, ...]":
        """The list of tables `name`; none where it is missing."""
        found = []
        for index, value in enumerate(self._get(name, list, f"a list of tables, [[{name}]] with two brackets") or []):
            if isinstance(value, dict):
                found.append(Table(value, self.path_of(name, index), self.mistakes))
            else:
                self.complain(name, f"must be a table, not {_kind(value)}", index)
        return tuple(found)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitError(f"must be a string, not {_kind(value)}")
    return value


def _kind(value: object) -> str:
    return next(text for kinds, text in _KINDS if isinstance(value, kinds))
