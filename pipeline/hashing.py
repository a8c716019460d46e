"""A hash that is taken beside the work that makes its bytes: for a delta that mostly copies it is half of the work."""

from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from .oci.digest import Hasher

_AHEAD: Final = 8  # pieces that wait for the hash at most


class HashingThread:
    """Shows what is written to it to `hasher`, which has seen all of it behind the context."""

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
