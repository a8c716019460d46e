"""Progress as people see it: bars on a terminal, otherwise lines: one for each task that has ended, some on the way.

Rule 1. Untrusted text is never read as rich's markup, and never holds control characters.
Rule 2. rich is used here alone, and loaded only where there is a terminal: a nightly run does not wait for it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from ..progress import Progress, Task, Unit
from ..quantities import format_seconds, format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class _Counter:
    def __init__(self) -> None:
        self.amount = 0
        self._lock = threading.Lock()

    def advance(self, amount: int = 1) -> None:
        with self._lock:
            self.amount += amount


class LogLines:
    """A Progress of single lines; `write` takes one without its line end.

    A task that took less than `patience` seconds is not worth a line: a log of nothing but trifles is not read. One
    that takes long says every `interval` seconds how far it is.
    """

    def __init__(self, write: Callable[[str], None], *, patience: float, interval: float = 30.0) -> None:
        self._write, self._patience, self._interval = write, patience, interval

    def step(self, text: str) -> None:
        self._write(" ".join(text.splitlines()))

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:
        counter, start, ended = _Counter(), time.monotonic(), threading.Event()

        def speak() -> None:
            while not ended.wait(self._interval):
                self.step(f"{name}: {_how_far(counter.amount, total, unit, time.monotonic() - start)}")

        voice = threading.Thread(target=speak, daemon=True)
        voice.start()
        try:
            yield counter
        finally:
            ended.set()
            voice.join()
        seconds = time.monotonic() - start
        if counter.amount and seconds >= self._patience:
            self.step(f"{name}: {_amount(counter.amount, unit)} in {format_seconds(seconds)}")


def _how_far(amount: int, total: int | None, unit: Unit, seconds: float) -> str:
    """What is done after `seconds`, and how long the rest takes if it goes on like that."""
    if not total:
        return f"{_amount(amount, unit)} so far"
    done = f"{_amount(amount, unit)} of {_amount(total, unit)}"
    return f"{done}, about {format_seconds(seconds * max(total - amount, 0) / amount)} left" if amount else done


class _Bar:
    def __init__(self, shown: "RichProgress", task: "TaskID") -> None:
        self._shown, self._task = shown, task

    def advance(self, amount: int = 1) -> None:
        self._shown.advance(self._task, amount)


class _Bars:
    """A Progress of one bar for each task that is under way."""

    def __init__(self, shown: "RichProgress", clean: Callable[[str], str]) -> None:
        self._shown, self._clean = shown, clean

    def step(self, text: str) -> None:
        self._shown.console.print(self._clean(" ".join(text.splitlines())), markup=False, highlight=False, emoji=False)

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:
        task = self._shown.add_task(self._clean(name), total=total, unit=unit)
        try:
            yield _Bar(self._shown, task)
        finally:
            self._shown.remove_task(task)


@contextmanager
def bars(stream: TextIO, clean: Callable[[str], str]) -> Iterator[Progress]:
    """A Progress on the terminal `stream`; `clean` makes untrusted text harmless."""
    from rich.console import Console
    from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress
    from rich.progress import Task as RichTask
    from rich.text import Text

    class Amount(ProgressColumn):
        def render(self, task: RichTask) -> Text:
            unit: Unit = task.fields["unit"]
            done = _amount(int(task.completed), unit)
            return Text(done if task.total is None else f"{done} of {_amount(int(task.total), unit)}")

    with RichProgress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        Amount(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ) as shown:
        yield _Bars(shown, clean)


def _amount(amount: int, unit: Unit) -> str:
    return f"{amount:,}" if unit == "items" else format_size(amount)
