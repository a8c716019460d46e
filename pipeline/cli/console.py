"""Standard output and standard error. Nothing else writes to them.

Rule 1. Results go to standard output; progress, errors and everything else to standard error.
Rule 2. What layouts and file names bring along cannot move the cursor: control characters are shown as escapes.
Rule 3. Any text can be written whatever the locale's encoding is, and a run goes on when nobody can be told about it.
Rule 4. What is rarely needed is loaded when it is: a small `patch` takes no longer than its imports.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TextIO

from ..errors import DeltapressError, ExitCode
from ..progress import Progress, Silent
from ..text import printable


class OutputError(DeltapressError):
    """Something cannot be written. `name` says what, as people know it."""

    exit_code = ExitCode.TARGET_FAILED

    def __init__(self, name: str, error: OSError) -> None:
        self.name = name
        super().__init__(f"{name}: cannot be written ({error.strerror})")


class Console:
    """The streams of one command, of that name."""

    def __init__(self, command: str = "", *, verbose: bool = False, quiet: bool = False) -> None:
        self.command, self.verbose, self.quiet = command, verbose, quiet

    def result(self, text: str, *, is_asked_for: bool = False) -> None:
        """Write `text` and a line end to standard output; with --quiet only what `is_asked_for`.

        A reader that has left (`deltapress plan | head`) is not an error: what the command did stays done.

        Raises:
            OutputError: it goes to a full disk, say.
        """
        if self.quiet and not is_asked_for:
            return
        try:
            _write(sys.stdout, f"{printable(text)}\n")
        except BrokenPipeError:
            self.abandon_output()
        except OSError as error:
            self.abandon_output()
            raise OutputError("standard output", error) from error

    def say(self, text: str) -> None:
        """Write one line, for people, to standard error."""
        with suppress(OSError):
            _write(sys.stderr, f"{printable(text)}\n")

    def error(self, text: str) -> None:
        self.say(f"deltapress: {text}")

    def trace(self, error: BaseException) -> None:
        """Where `error` comes from, for who asked for it."""
        if self.verbose:
            import traceback

            self.say("".join(traceback.format_exception(error)).rstrip())

    @property
    def output(self) -> BinaryIO:
        """Standard output for bytes. Raises OSError where it is closed or its reader has left."""
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        sys.stdout.flush()
        return sys.stdout.buffer

    def abandon_output(self) -> None:
        """Let later writes, and the one that the interpreter does at its end, succeed."""
        if sys.stdout is None:
            return
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """Bars on a terminal, lines otherwise, nothing with --quiet."""
        if self.quiet:
            yield Silent()
            return
        from .progress import LogLines, bars

        if sys.stderr.isatty():
            with bars(sys.stderr, printable) as shown:
                yield shown
        else:
            yield LogLines(self.say, patience=0.0 if self.verbose else 1.0)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # closed by the caller, as with `>&-`
        return
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
