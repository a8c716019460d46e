"""A target in memory: the reference of the contract, for tests and rehearsals. Safe for threads."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO

from ..content import Content
from ..keys import Headers, Key
from ..oci.digest import Digest
from .base import KeyMissingError, LockHeldError, LockInfo, LostUpdateError, Properties, Stored
from .checks import check_object_key, verified
from .holder import Holder


class MemoryTarget:
    """A dictionary. `contents` and `headers` are what a reader would be served; tests may damage them.

    With `rival` a second publisher on the same storage.
    """

    url = "memory:"
    properties = Properties(stores_headers=True)

    def __init__(self, rival: "MemoryTarget | None" = None) -> None:
        self.contents: dict[Key, bytes] = {} if rival is None else rival.contents
        self.headers: dict[Key, Headers] = {} if rival is None else rival.headers
        self._lock: _Lock = _Lock() if rival is None else rival._lock
        self._seen: dict[Key, bytes | None] = {}

    def open(self, key: Key) -> BinaryIO:
        check_object_key(key)
        data = self._seen[key] = self.contents.get(key)
        if data is None:
            raise KeyMissingError(key)
        return io.BytesIO(data)

    def stat(self, key: Key) -> Stored | None:
        check_object_key(key)
        data = self.contents.get(key)
        if data is None:
            return None
        return Stored(size=len(data), headers=self.headers.get(key) if self.properties.stores_headers else None)

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        check_object_key(key)
        if same_as is not None:
            check_object_key(same_as)
        data = b"".join(verified(key, content, digest))
        present = self.contents.get(key)
        if not headers.is_immutable and self._seen.get(key, present) != present != data:
            raise LostUpdateError(key, None)
        self.headers[key] = headers
        self._seen[key] = self.contents[key] = data

    def delete(self, key: Key) -> None:
        check_object_key(key)
        self._seen.pop(key, None)
        self.contents.pop(key, None)
        self.headers.pop(key, None)

    def keys(self) -> Iterator[Key]:
        yield from sorted(self.contents)

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        if not self._lock.is_free.acquire(timeout=wait):
            raise LockHeldError(self._lock.holder)
        try:
            self._lock.holder = Holder.this_process(now)
            self._seen.clear()
            yield LockInfo()
        finally:
            self._lock.holder = None
            self._lock.is_free.release()


@dataclass(slots=True)
class _Lock:
    is_free: threading.Lock = field(default_factory=threading.Lock)
    holder: Holder | None = None
