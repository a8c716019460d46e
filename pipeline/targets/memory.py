"""A target in memory: the reference of the contract, for tests and rehearsals. Safe for threads."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO

from ..content import Content
from ..oci.digest import Digest
from ..oci.keys import Headers, Key
from .base import Held, KeyMissingError, LockHeldError, Stored
from .checks import check_object_key, verified
from .holder import Holder


class MemoryTarget:
    """A dictionary. `contents` and `headers` are what a reader would be served; tests may damage them."""

    url = "memory:"
    stores_headers = True
    concurrency = 1
    caveats = ()

    def __init__(self) -> None:
        self.contents: dict[Key, bytes] = {}
        self.headers: dict[Key, Headers] = {}
        self._lock = threading.Lock()
        self._holder: Holder | None = None

    def open(self, key: Key) -> BinaryIO:
        check_object_key(key)
        try:
            return io.BytesIO(self.contents[key])
        except KeyError:
            raise KeyMissingError(key) from None

    def stat(self, key: Key) -> Stored | None:
        check_object_key(key)
        data = self.contents.get(key)
        return None if data is None else Stored(size=len(data))

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        check_object_key(key)
        if same_as is not None:
            check_object_key(same_as)
        data = b"".join(verified(key, content, digest))
        self.headers[key] = headers
        self.contents[key] = data

    def delete(self, key: Key) -> None:
        check_object_key(key)
        self.contents.pop(key, None)
        self.headers.pop(key, None)

    def keys(self) -> Iterator[Key]:
        yield from sorted(self.contents)

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[Held]:
        if not self._lock.acquire(timeout=wait):
            raise LockHeldError(self._holder)
        try:
            self._holder = Holder.this_process(now)
            yield Held()
        finally:
            self._holder = None
            self._lock.release()
