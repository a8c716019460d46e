"""Doing things at the same time: a `map` in threads, and a hash that is taken beside the work that makes its bytes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from .oci.digest import Hasher

T = TypeVar("T")
R = TypeVar("R")

_AHEAD: Final = 8  # pieces that wait for the hash at most


class HashingThread:
    """Shows what is written to it to `hasher`, which has seen all of it behind the context.

    For a delta that mostly copies, hashing is much of the work.
    """

    def __init__(self, hasher: "Hasher") -> None:
        self._hasher = hasher
        self._pieces: Queue[bytes] = Queue(maxsize=_AHEAD)
        self._thread = Thread(target=self._hash, daemon=True)  # an interrupt can come before the context

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(b"")
        self._thread.join()

    def write(self, data: bytes, /) -> None:
        if data:  # nothing means the end
            self._pieces.put(data)

    def _hash(self) -> None:
        while data := self._pieces.get():
            self._hasher.update(data)


class Each(Protocol):
    """As `map`, and in the same order."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]: ...


@contextmanager
def threads(workers: int) -> Iterator[Each]:
    """A `map` in that many threads, which stops at the first failure instead of finishing what waits."""
    from concurrent.futures import (
        ThreadPoolExecutor,  # here, because `patch`, which should start quickly, has no such map
    )

    pool = ThreadPoolExecutor(workers)

    def each(function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]:
        known = list(items)
        # most batches are of one key, and a thread takes longer to start than a small file to write
        return pool.map(function, known) if min(workers, len(known)) > 1 else map(function, known)

    try:
        yield each
    finally:
        pool.shutdown(cancel_futures=True)
