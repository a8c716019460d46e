"""Typed reading of untrusted JSON: every complaint names the key path, as in `layers[2].digest`."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..errors import DeltapressError
from ..text import one_line
from .digest import DiffID, Digest, DigestError

T = TypeVar("T")

# What tools write nests seven deep, and 500 refs are 1,500 objects; parsed, an empty object takes 64 bytes for its two.
MAX_DEPTH: Final = 64
MAX_OBJECTS: Final = 250_000
_MAX_PATH: Final = 200


class FieldError(DeltapressError):
    """One field of a JSON document is not what its specification says. `path` is its key path."""

    def __init__(self, path: str, problem: str) -> None:
        self.path, self.problem = path, problem
        # the path is made of the names that the document uses
        super().__init__(f"{one_line(path, most=_MAX_PATH) or 'the document'}: {problem}")


def parse_json_object(raw: bytes, *, max_objects: int | None = MAX_OBJECTS) -> dict[str, Any]:
    """Read `raw` as one JSON object, with at most `max_objects` objects and lists in it.

    Raises:
        FieldError: if it is not UTF-8 or JSON, nested absurdly deep, not an object, or has strings that are not text.
    """
    if max_objects is not None and raw.count(b"{") + raw.count(b"[") > max_objects:  # those in strings, too
        raise FieldError("", f"has more than {max_objects:,} objects and lists")
    try:
        value = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FieldError("", f"is not UTF-8 (byte {error.start})") from error
    except ValueError as error:
        raise FieldError("", f"is not JSON ({error})") from error
    except RecursionError as error:
        raise FieldError("", f"is nested more than {MAX_DEPTH} levels deep") from error
    if not isinstance(value, dict):
        raise FieldError("", f"must be a JSON object, not {_kind(value)}")
    _check_values(value, may_have_surrogates=b"\\u" in raw)
    return value


def _check_values(value: object, *, may_have_surrogates: bool) -> None:
    """Level by level, so that no depth is too much for the check itself.

    An escape such as `\\ud800` alone is JSON, but it cannot be written.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        if may_have_surrogates and not all(map(_is_text, level)):
            raise FieldError("", "contains half of a surrogate pair, which is not text")
        below: list[object] = []
        for found in level:
            if isinstance(found, dict):
                below += found.values()
                if may_have_surrogates:
                    below += found
            elif isinstance(found, list):
                below += found
        if not below:
            return
        level = below
    raise FieldError("", f"is nested more than {MAX_DEPTH} levels deep")


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class Fields:
    """A view of one JSON object that checks types as it reads."""

    __slots__ = ("_path", "_value")

    def __init__(self, value: object, path: str = "") -> None:
        if not isinstance(value, dict):
            raise FieldError(path, f"must be an object, not {_kind(value)}")
        self._value, self._path = value, path

    def path_of(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def error(self, name: str, problem: str) -> FieldError:
        return FieldError(self.path_of(name), problem)

    def has(self, name: str) -> bool:
        """Null counts as absent: Go's encoders write it for empty lists and pointers."""
        return self._value.get(name) is not None

    def names(self) -> tuple[str, ...]:
        """The names of all members, in their order."""
        return tuple(self._value)

    def value(self, name: str) -> Any:
        """A member as it is, for the one who knows how to read it."""
        return self._value[name]

    def _get(self, name: str, kind: type, wanted: str) -> Any:
        if name not in self._value:
            raise self.error(name, "is missing")
        value = self._value[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(name, f"must be {wanted}, not {_kind(value)}")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        if default is not None and not self.has(name):
            return default
        return str(self._get(name, str, "a string"))

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def integer(self, name: str) -> int:
        return int(self._get(name, int, "an integer"))

    def size(self, name: str) -> int:
        value = self.integer(name)
        if not 0 <= value < 1 << 63:
            raise self.error(name, f"must be a size from 0 to 2^63 - 1, not {value}")
        return value

    def digest(self, name: str) -> Digest:
        try:
            return Digest.parse(self.text(name))
        except DigestError as error:
            raise self.error(name, str(error)) from error

    def digests(self, name: str) -> tuple[Digest, ...]:
        """A list of digests; empty when absent."""
        return self._parsed(name, Digest.parse) if self.has(name) else ()

    def diff_ids(self, name: str) -> tuple[DiffID, ...]:
        return self._parsed(name, DiffID.parse)

    def _parsed(self, name: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        found = []
        for index, text in enumerate(self._get(name, list, "a list")):
            if not isinstance(text, str):
                raise self.error(f"{name}[{index}]", f"must be a digest, not {_kind(text)}")
            try:
                found.append(parse(text))
            except DigestError as error:
                raise self.error(f"{name}[{index}]", str(error)) from error
        return tuple(found)

    def object(self, name: str) -> "Fields":
        return Fields(self._get(name, dict, "an object"), self.path_of(name))

    def objects(self, name: str) -> tuple["Fields", ...]:
        if not self.has(name):
            return ()
        values = self._get(name, list, "a list")
        return tuple(Fields(value, f"{self.path_of(name)}[{index}]") for index, value in enumerate(values))

    def list_of_texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, such as `urls`; empty when absent. Null is the empty string, as it is for Go."""
        if not self.has(name):
            return ()
        values = self._get(name, list, "a list")
        for index, value in enumerate(values):
            if value is not None and not isinstance(value, str):
                raise self.error(f"{name}[{index}]", f"must be a string, not {_kind(value)}")
        return tuple(value or "" for value in values)

    def texts(self, name: str) -> dict[str, str]:
        """A map of strings, such as `annotations`; empty when absent. Null is the empty string, as it is for Go."""
        if not self.has(name):
            return {}
        values = self._get(name, dict, "an object")
        for key, value in values.items():
            if value is not None and not isinstance(value, str):
                raise self.error(f"{name}.{key}", f"must be a string, not {_kind(value)}")
        return {key: value or "" for key, value in values.items()}


def _kind(value: object) -> str:
    return {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
    }.get(type(value), "an object")
