"""The commands of a runtime, run without a shell.

Rule 1. A command has an end: a time limit, after which it is killed, as it is when we are interrupted.
Rule 2. Of what it prints no more is read than an answer may have, and of its messages the last KiBs.
Rule 3. A failure is one line: the command, and the last line of its messages.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from threading import Event, Timer
from typing import IO, BinaryIO, Final, TypeVar, cast

from ...oci.fields import FieldError, Fields, parse_json_object
from ...text import one_line
from .contract import ContainerRuntimeError

QUICK: Final = 120.0  # seconds: questions; a store that other pulls keep busy makes them wait
LONG: Final = 6 * 3600.0  # seconds: what moves the bytes of an image, perhaps over a slow link
MAX_ANSWER: Final = 16 * 1024 * 1024
_MESSAGES: Final = 8 * 1024
_SHOWN: Final = 400  # characters

T = TypeVar("T")
Feed = Callable[[BinaryIO], None]  # writes what a command reads from its standard input


class CommandMissingError(ContainerRuntimeError):
    """The runtime's command is not installed."""

    def __init__(self, command: str) -> None:
        super().__init__(f"the command {command} is not in PATH; install it, or pull into something else")


class CommandFailedError(ContainerRuntimeError):
    """A command of the runtime failed. `command` is how it was called, `problem` what it said."""

    def __init__(self, command: str, problem: str) -> None:
        self.command, self.problem = command, problem
        super().__init__(f"{one_line(command, most=_SHOWN)}: {one_line(problem, most=_SHOWN)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command with the options that come first in all its calls, and the whole environment that it sees."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def ask(self, *arguments: str, seconds: float = QUICK, feed: Feed | None = None) -> bytes:
        """What the command prints, 16 MiB at most; `feed` writes what it reads.

        Raises:
            ContainerRuntimeError: it is missing, failed, took longer than `seconds`, or printed more.
        """
        # a file, not a pipe: what a command leaves in the background would hold a pipe open
        with TemporaryFile() as answer:
            with self._started(arguments, seconds, subprocess.PIPE if feed else subprocess.DEVNULL, answer) as process:
                if feed and process.stdin:
                    try:
                        feed(cast(BinaryIO, process.stdin))
                        process.stdin.close()
                    except BrokenPipeError:
                        pass  # it has read enough, or it says itself what is wrong
                    except OSError as error:
                        problem = f"cannot be given what it reads: {error}"
                        raise CommandFailedError(self.shown(arguments), problem) from error
            answer.seek(0)
            data = answer.read(MAX_ANSWER + 1)
        if len(data) > MAX_ANSWER:
            raise CommandFailedError(self.shown(arguments), f"answers with more than {MAX_ANSWER:,} bytes")
        return data

    def ask_json(self, *arguments: str, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """What `read` makes of each object in the JSON list that the command prints. Raises as `ask` does."""
        answer = self.ask(*arguments)
        try:
            return tuple(map(read, Fields(parse_json_object(b'{"answer":%b}' % answer)).objects("answer")))
        except FieldError as error:
            raise CommandFailedError(self.shown(arguments), f"answers what cannot be read: {error}") from error

    @contextmanager
    def reading(self, *arguments: str, seconds: float = LONG) -> Iterator[BinaryIO]:
        """What the command prints, as it comes. Whoever reads does so to the end. Raises as `ask` does."""
        with self._started(arguments, seconds, subprocess.DEVNULL, subprocess.PIPE) as process:
            yield cast(BinaryIO, process.stdout)

    def shown(self, arguments: tuple[str, ...]) -> str:
        """The call, for messages."""
        return " ".join((*self.command, *arguments))

    @contextmanager
    def _started(
        self, arguments: tuple[str, ...], seconds: float, stdin: int, stdout: int | IO[bytes]
    ) -> Iterator[subprocess.Popen[bytes]]:
        program = shutil.which(self.command[0], path=self.environment.get("PATH", ""))
        if program is None:
            raise CommandMissingError(self.command[0])
        with TemporaryFile() as messages:
            try:
                process = subprocess.Popen(
                    [program, *self.command[1:], *arguments],
                    env=self.environment,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=messages,
                )
            except OSError as error:
                raise CommandFailedError(self.shown(arguments), error.strerror or str(error)) from error
            is_late = Event()

            def end() -> None:
                is_late.set()
                process.kill()

            late = Timer(seconds, end)
            late.daemon = True
            try:
                late.start()
                yield process
                code = process.wait()
            finally:
                late.cancel()
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout):
                    _close(pipe)
            if is_late.is_set():
                raise CommandFailedError(self.shown(arguments), f"was ended after {seconds:,.0f} seconds")
            if code != 0:
                raise CommandFailedError(self.shown(arguments), _last_line(messages) or f"ended with {code}")


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe:
            pipe.close()
    except BrokenPipeError:
        pass  # what was still to be written to a process that has ended


def _last_line(messages: IO[bytes]) -> str:
    size = messages.seek(0, 2)
    messages.seek(max(0, size - _MESSAGES))
    lines = messages.read(_MESSAGES).decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
