"""Threads with a common memory budget.

Rule 1. A task states what it will need. It starts when that fits into what is left of the budget; one that needs more
        than the whole budget starts when nothing else runs.
Rule 2. Tasks start in the order in which they were submitted, so that a large one is not overtaken for ever.
Rule 3. A task waits for no other: with every thread waiting nothing would go on.

Threads suffice: matchers, compression, hashing and numpy all release the interpreter's lock.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """`workers` threads that share `memory` bytes; to be used as a context manager and from any number of threads."""

    def __init__(self, *, workers: int, memory: int) -> None:
        self.workers = workers
        self.memory = memory
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="tardiff")
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, Callable[[], None], Future[Any]]] = deque()
        self._used = 0
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """True when nothing that is submitted will be run any more."""
        return self._is_stopped

    def submit(self, memory: int, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `function(*args, **kwargs)` in a thread once `memory` bytes are free; until then it can be cancelled."""
        future: Future[T] = Future()

        def start() -> None:
            self._executor.submit(run).add_done_callback(finished)

        def run() -> T | None:
            return function(*args, **kwargs) if future.set_running_or_notify_cancel() else None

        def finished(inner: Future[T | None]) -> None:
            with self._lock:
                self._used -= memory
            self._admit()
            if future.cancelled():
                return
            if (error := inner.exception()) is not None:
                future.set_exception(error)
            else:
                future.set_result(cast(T, inner.result()))

        with self._lock:
            is_stopped = self._is_stopped
            if not is_stopped:
                self._waiting.append((memory, start, future))
        if is_stopped:
            _cancel(future)
        self._admit()
        return future

    def stop(self) -> None:
        """Let what runs end, and cancel what has not started and whatever is submitted from now on."""
        with self._lock:
            self._is_stopped = True
            waiting, self._waiting = self._waiting, deque()
        for _, _, future in waiting:
            _cancel(future)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let what runs end; what has not started is cancelled."""
        self.stop()
        self._executor.shutdown()

    def _admit(self) -> None:
        """Start every task at the head of the queue that fits."""
        admitted = []
        with self._lock:
            while self._waiting:
                memory, start, _ = self._waiting[0]
                if self._used and self._used + memory > self.memory:
                    break
                self._waiting.popleft()
                self._used += memory
                admitted.append(start)
        # not under the lock: a task that is already done calls `finished` from here
        for start in admitted:
            start()


def _cancel(future: Future[Any]) -> None:
    """Whoever is in `concurrent.futures.wait` is woken by the second step alone."""
    if future.cancel():
        future.set_running_or_notify_cancel()
