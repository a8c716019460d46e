"""Reading a blob to its end over connections that break."""

import io
from collections.abc import Callable
from typing import Final

from ...keys import Key
from ..base import TargetError
from .connections import Answer, BrokenBodyError

_MAX_BREAKS: Final = 5  # in a row, none of them with a single byte


class BlobStream(io.RawIOBase):
    """The bytes of `key` from `start` on; `resume` gives an answer with those from a byte on.

    Blobs are named by their digest, so whatever answers has the same bytes, or the reader finds out.
    """

    def __init__(self, key: Key, answer: Answer, start: int, resume: Callable[[int], Answer]) -> None:
        self._key, self._answer, self._position, self._resume = key, answer, start, resume

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        for _ in range(_MAX_BREAKS):
            try:
                data = self._answer.read(len(buffer))
            except BrokenBodyError as error:
                last = error
                self._answer.close()
                self._answer = self._resume(self._position)
            else:
                buffer[: len(data)] = data
                self._position += len(data)
                return len(data)
        raise TargetError(f"{last}, again and again; run again later", key=self._key)

    def close(self) -> None:
        self._answer.close()
        super().close()
