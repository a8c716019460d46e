"""What is known of the files of one tree or tar, found once for all deltas between it and others.

Rule 1. What is asked of a file is found when it is first asked for, and never before.
Rule 2. Deltas that are made at the same time ask the same: who comes second waits for the tasks of the first.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from .sources import Sketch

F = TypeVar("F", bound=Hashable)
R = TypeVar("R")

Batches = Iterable[tuple[Sequence[F], Future[list[R]]]]
"""Tasks, each with the files of which it finds something: its result has one value for each of them, in order."""


class Known(Generic[F, R]):
    """What was found of files, each by the first who asked for it. Usable from any thread that is no task of a pool."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[F, tuple[Future[list[R]], int]] = {}

    def of(self, files: Sequence[F], find: Callable[[Sequence[F]], Batches[F, R]]) -> list[R]:
        """What is found of each of `files`. Tasks that `find` it are begun for those alone that nobody has begun, or of
        which the task failed or was cancelled; tasks that others have begun are waited for as well.

        Raises what the tasks raise.
        """
        with self._lock:
            for batch, future in find([file for file in files if not self._is_known(file)]):
                self._found.update((file, (future, number)) for number, file in enumerate(batch))
            found = [self._found[file] for file in files]
        wait({future for future, _ in found})
        return [future.result()[number] for future, number in found]

    def _is_known(self, file: F) -> bool:
        if file not in self._found:
            return False
        future, _ = self._found[file]
        return not future.done() or not (future.cancelled() or future.exception())


class Fingerprints(Generic[F]):
    """Digests and sketches of the files of one tree or tar, kept for all deltas between it and others.

    A digest takes 32 bytes, a sketch an eighth of its file and 2 KiB at most, and each of them about 200 bytes more.
    The windows that `sections` asks for are not kept: they would take up to 16 MiB for a tree, and for a tar that is
    made from a much smaller one a quarter of its size.
    """

    def __init__(self) -> None:
        self.digests: Known[F, bytes] = Known()
        self.sketches: Known[F, Sketch] = Known()
