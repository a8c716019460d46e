"""Text of layouts, tars, deltas and servers, made harmless for terminals and logs.

Rule. What Python calls not printable is shown as an escape: controls, line ends, direction marks, lone surrogates, any
      space but the usual one. So nobody's text moves a cursor, turns a line round, or forges another line.
"""


def printable(text: str) -> str:
    """`text` with what is not printable escaped; line ends stay."""
    return "".join(char if char.isprintable() or char == "\n" else _escape(char) for char in text)


def one_line(text: str, *, most: int | None = None) -> str:
    """`text` with what is not printable escaped, line ends too; cut after `most` characters."""
    shown = text if most is None or len(text) <= most else f"{text[:most]}…"
    return "".join(char if char.isprintable() else _escape(char) for char in shown)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
