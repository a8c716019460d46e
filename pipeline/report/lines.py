"""Lines and tables of text, and JSON documents."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..text import one_line

SCHEMA: Final = 1
MAX_CELL: Final = 200  # characters


def to_json(document: Mapping[str, Any], command: str) -> str:
    """The JSON text of a document of this room, which is what that command says."""
    # DEL is the one control character that JSON leaves as it is
    return json.dumps({"schema": SCHEMA, "command": command, **document}, indent=2).replace("\x7f", "\\u007f")


def text_of(lines: Iterable[str]) -> str:
    """The lines as one text."""
    return "\n".join(map(one_line, lines))


def count(number: int, name: str, several: str | None = None) -> str:
    """`1 file`, `2 files`; `several` is the plural where it has more than an s."""
    return f"{number:,} {name if number == 1 else several or f'{name}s'}"


def table(rows: Sequence[Sequence[str]], *, right: Iterable[int]) -> Iterator[str]:
    """The rows, indented, in columns; those in `right` end together."""
    numbers = set(right)
    rows = [[one_line(cell, most=MAX_CELL) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if index in numbers else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()
