"""The metrics of a publish, in the file that the configuration names, however the run ends."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..publish import Outcome
from ..report import Measured, metrics_text
from .console import Console, OutputError
from .files import whole_output

_MODE: Final = 0o644  # the collector is another user, whatever the umask says
_MAX_SIZE: Final = 1 << 20


def is_first(path: Path | None) -> bool:
    """True where there is no file from which metrics could be taken over that a run does not look at."""
    return path is not None and not _read(path)


@dataclass(slots=True)
class Measuring:
    """A run that is under way. `outcome` is set when it has one."""

    outcome: Outcome | None = None


@contextmanager
def measured(path: Path | None, console: Console) -> Iterator[Measuring]:
    """Write to `path`, where there is one, what happened inside. That this fails is said, and changes nothing else."""
    measuring = Measuring()
    start = time.monotonic()
    code = ExitCode.INTERNAL
    try:
        yield measuring
        code = measuring.outcome.exit_code if measuring.outcome is not None else ExitCode.SUCCESS
    except DeltapressError as error:
        code = error.exit_code
        raise
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
        raise
    finally:
        if path is not None:
            run = Measured(
                ended=datetime.now(UTC),
                seconds=time.monotonic() - start,
                exit_code=code,
                outcome=measuring.outcome,
            )
            _write(run, path, console)


def _write(run: Measured, path: Path, console: Console) -> None:
    try:
        text = metrics_text(run, before=_read(path))
        with whole_output(str(path), console, mode=_MODE) as out:
            out.write(text.encode())
    except OutputError as error:
        console.error(f"no metrics were written: {error}")


def _read(path: Path) -> str:
    """What a run before has written; empty where there is nothing of the kind."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE).decode("utf-8", "replace")
    except OSError:  # if it is a lasting one, writing tells what is wrong
        return ""
