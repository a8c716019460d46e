"""In which line of a TOML text a key stands; for messages, so a rare text that misleads it costs a wrong number only.

tomli tells no places, and of the libraries that do none reads as strictly.
"""

import re
from collections.abc import Iterator
from typing import Final

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(#.*)?")
_KEY: Final = re.compile(
    r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*="""
)
_QUOTED: Final = re.compile(r"""\s*\.\s*(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")
_INDEX: Final = re.compile(r"\[\d+\]$")
_TEXT: Final = re.compile(r'"""|\'\'\'')


def line_of(text: str, key: str) -> int | None:
    """The number, from 1 on, of the line of the key path `key`, as in `repository[1].layout`.

    Where the key has no line of its own it is that of the nearest table or list around it; None where there is none.
    """
    found = dict(reversed(list(_places(text))))
    while key:
        if key in found:
            return found[key]
        shorter = _INDEX.sub("", key)
        key = shorter if shorter != key else key.rpartition(".")[0]
    return None


def _places(text: str) -> Iterator[tuple[str, int]]:
    """Each key path, and its line."""
    counts: dict[str, int] = {}
    table, closing = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if closing is not None:  # inside of a text of several lines
            closing = None if closing in line else closing
            continue
        if (header := _HEADER.fullmatch(line)) is not None:
            table = _inner(header[2], counts, is_list=header[1] == "[[")
            yield table, number
        elif (key := _KEY.match(line)) is not None:
            path = _joined(key[1])
            yield (f"{table}.{path}" if table else path), number
            if (quotes := _TEXT.search(line)) is not None and line.count(quotes[0]) == 1:
                closing = quotes[0]


def _inner(name: str, counts: dict[str, int], *, is_list: bool) -> str:
    """The path of a table, with the place of each list of tables on the way."""
    path = ""
    parts = _QUOTED.split(name)
    for position, part in enumerate(parts):
        path = f"{path}.{_joined(part)}" if path else _joined(part)
        if is_list and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path


def _joined(name: str) -> str:
    """A name as key paths have it: quoted only where it must be."""
    parts = (part.strip() for part in _QUOTED.split(name))
    return ".".join(part[1:-1] if re.fullmatch(r"""(["'])[A-Za-z0-9_-]+\1""", part) else part for part in parts)
