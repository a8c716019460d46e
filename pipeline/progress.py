"""What a long run tells while it works. The verbs tell; only `pipeline.cli` shows.

Rule 1. Implementations may be called from any number of threads.
Rule 2. Names and texts may hold what layouts say: whoever shows them makes them harmless.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

Unit = Literal["bytes", "items"]


class Task(Protocol):
    """Work that is under way."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more of the task's unit is done."""
        ...


class Progress(Protocol):
    """Where a run tells how far it is."""

    def step(self, text: str) -> None:
        """Something happened that is worth one line."""
        ...

    def task(self, name: str, total: int | None = None, unit: Unit = "items") -> AbstractContextManager[Task]:
        """Work of `total` units (None: not known) that lasts as long as the context."""
        ...


class Silent:
    """A Progress, and its tasks, that tell nobody."""

    def step(self, text: str) -> None:
        pass

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: Unit = "items") -> Iterator[Task]:
        yield self

    def advance(self, amount: int = 1) -> None:
        pass
