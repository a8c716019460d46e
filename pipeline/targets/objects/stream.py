"""Reading an object to its end over connections that break.

Rule. Only the object that the reader began with is read on (If-Match): old and new bytes are never mixed.
"""

import io
from collections.abc import Callable
from typing import Final

from ...keys import Key
from ..base import TargetError
from .store import Body, BrokenStreamError, ConditionError

_MAX_BREAKS: Final = 5  # in a row, none of them with a single byte


class ObjectStream(io.RawIOBase):
    """The bytes of `key`; `resume` gives the rest of the same object from a byte on."""

    def __init__(self, key: Key, body: Body, resume: Callable[[int], Body]) -> None:
        self._key, self._body, self._resume = key, body, resume
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        for _ in range(_MAX_BREAKS):
            try:
                data = self._body.read(len(buffer))
            except BrokenStreamError as error:
                last = error
                self._reopen()
            else:
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
        raise last

    def close(self) -> None:
        self._body.close()
        super().close()

    def _reopen(self) -> None:
        self._body.close()
        try:
            self._body = self._resume(self._position)
        except ConditionError as error:
            raise TargetError("was replaced while it was read; run again", key=self._key) from error
