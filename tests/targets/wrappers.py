"""Targets around a target: one that remembers what was asked of it, one that fails at a chosen call.

Rule 1. Every call but taking the lock counts, in the order in which the calls begin.
Rule 2. Nothing but what is described here differs from the target inside.
"""

import io
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, Literal, cast

from pipeline.content import Content
from pipeline.keys import Headers, Key
from pipeline.oci.digest import Digest
from pipeline.targets.base import ContentChangedError, LockInfo, Properties, Stored, Target, TargetError

Method = Literal["open", "stat", "put", "delete", "keys"]
FailureMode = Literal["before", "after", "torn"]
FAILURE_MODES: Final[tuple[FailureMode, ...]] = ("before", "after", "torn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; `size` is what a `put` offered in bytes, `key` is None for `keys`."""

    method: Method
    key: Key | None
    size: int = 0


class _Wrapper:
    def __init__(self, inner: Target) -> None:
        self.inner = inner
        self.url = inner.url

    @property
    def properties(self) -> Properties:
        return self.inner.properties

    def lock(self, *, now: datetime, wait: float) -> AbstractContextManager[LockInfo]:
        return self.inner.lock(now=now, wait=wait)


class RecordingTarget(_Wrapper):
    """Keeps the list of `calls`."""

    def __init__(self, inner: Target) -> None:
        super().__init__(inner)
        self.calls: list[Call] = []

    @property
    def counts(self) -> Counter[Method]:
        """How many calls there were of each method."""
        return Counter(call.method for call in self.calls)

    def open(self, key: Key) -> BinaryIO:
        self.calls.append(Call(method="open", key=key))
        return self.inner.open(key)

    def stat(self, key: Key) -> Stored | None:
        self.calls.append(Call(method="stat", key=key))
        return self.inner.stat(key)

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        self.calls.append(Call(method="put", key=key, size=content.size))
        self.inner.put(key, content, headers, digest=digest, same_as=same_as)

    def delete(self, key: Key) -> None:
        self.calls.append(Call(method="delete", key=key))
        self.inner.delete(key)

    def keys(self) -> Iterator[Key]:
        self.calls.append(Call(method="keys", key=None))
        return self.inner.keys()


class InjectedError(TargetError):
    """The failure that was asked for."""

    def __init__(self, method: Method, key: Key | None) -> None:
        self.method = method
        super().__init__(f"the {method} was made to fail", key=key)


class FailingTarget(_Wrapper):
    """Raises InjectedError at call number `fail_at`, counted from 1.

    mode: "before" the effect; "after" it, so that the caller does not know of it; or "torn": a `put` takes half of the
        bytes and stores nothing, a stream or a listing ends with the error after its first half, and a `stat` or
        `delete`, which have no half, fail before.
    stays_down: every later call fails too, before its effect, as if the machine were gone; else the failure passes.

    `failed` is the call, None where it was not reached: count up to there, and every point has been tried.
    """

    def __init__(self, inner: Target, *, fail_at: int, mode: FailureMode = "before", stays_down: bool = False) -> None:
        super().__init__(inner)
        self.failed: Call | None = None
        self._fail_at, self._mode, self._stays_down = fail_at, mode, stays_down
        self._calls = 0
        self._counting = threading.Lock()

    def open(self, key: Key) -> BinaryIO:
        failure = self._failure(Call(method="open", key=key))
        if failure == "before":
            raise InjectedError("open", key)
        stream = self.inner.open(key)
        if failure is None:
            return stream
        with stream:
            if failure == "after":
                raise InjectedError("open", key)
            data = stream.read()
        return cast(BinaryIO, io.BufferedReader(_Torn(data[: len(data) // 2], InjectedError("open", key))))

    def stat(self, key: Key) -> Stored | None:
        failure = self._failure(Call(method="stat", key=key))
        stored = self.inner.stat(key) if failure in {None, "after"} else None
        if failure:
            raise InjectedError("stat", key)
        return stored

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        failure = self._failure(Call(method="put", key=key, size=content.size))
        if failure == "torn":
            with suppress(ContentChangedError):
                self.inner.put(key, _HalfContent(content), headers, digest=digest)
        elif failure != "before":
            self.inner.put(key, content, headers, digest=digest, same_as=same_as)
        if failure:
            raise InjectedError("put", key)

    def delete(self, key: Key) -> None:
        failure = self._failure(Call(method="delete", key=key))
        if failure in {None, "after"}:
            self.inner.delete(key)
        if failure:
            raise InjectedError("delete", key)

    def keys(self) -> Iterator[Key]:
        failure = self._failure(Call(method="keys", key=None))
        return self.inner.keys() if failure is None else self._failing_keys(failure)

    def _failing_keys(self, failure: FailureMode) -> Iterator[Key]:
        keys = list(self.inner.keys())
        yield from keys[: {"before": 0, "torn": len(keys) // 2, "after": len(keys)}[failure]]
        raise InjectedError("keys", None)

    def _failure(self, call: Call) -> FailureMode | None:
        with self._counting:
            self._calls += 1
            if self._calls == self._fail_at:
                self.failed = call
                return self._mode
            return "before" if self.failed and self._stays_down else None


@dataclass(frozen=True, slots=True)
class _HalfContent:
    """Promises all of `whole` and ends in the middle, as a source does whose machine goes away."""

    whole: Content

    @property
    def size(self) -> int:
        return self.whole.size

    def open(self) -> BinaryIO:
        with self.whole.open() as stream:
            return cast(BinaryIO, io.BufferedReader(_Torn(stream.read(self.size // 2), OSError("torn"))))


class _Torn(io.RawIOBase):
    """`data`, and then `error` instead of an end."""

    def __init__(self, data: bytes, error: Exception) -> None:
        self._data, self._error = io.BytesIO(data), error

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        if count := self._data.readinto(buffer):
            return count
        raise self._error
