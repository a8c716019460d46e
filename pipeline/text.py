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


def innermost_reason(error: BaseException, *, most: int = 200) -> str:
    """What the innermost of errors that wrap each other says, as `one_line` of at most `most` characters.

    Libraries of HTTP put their own objects and class names around it, which say nothing to people.
    """
    while inner := error.__cause__ or next((part for part in error.args if isinstance(part, BaseException)), None):
        error = inner
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(said.rpartition(">: ")[2].rpartition("): ")[2] or type(error).__name__, most=most)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
