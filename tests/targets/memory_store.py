"""A store of objects in memory: what a target of objects stands on, where no server is.

Rule. It does what `ObjectStore` says and enforces conditions, as a good server does, or ignores them where it is told
      to, as a bad one.
"""

import hashlib
import io
import itertools
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.keys import Key
from pipeline.targets.base import KeyMissingError
from pipeline.targets.objects.lease import Times
from pipeline.targets.objects.store import ConditionError, Guard, Info, ObjectHeaders, Part, Unfinished, Version
from pipeline.targets.objects.target import ObjectTarget, Transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    data: bytes
    headers: ObjectHeaders
    etag: str
    modified: datetime


@dataclass(slots=True, kw_only=True)
class Place:
    """What is stored, by all who have the place open. `uploads` are the unfinished ones, by their number."""

    objects: dict[Key, Object] = field(default_factory=dict)
    uploads: "dict[int, MemoryUpload]" = field(default_factory=dict)
    enforces_conditions: bool = True
    numbers: Iterator[int] = field(default_factory=itertools.count)
    changing: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore:
    url = "objects:"
    remedy = "Mend the test."

    def __init__(self, place: Place, *, guard: Guard = lambda: None) -> None:
        self.place, self._guard = place, guard
        self.clock: datetime | None = None

    def get(self, key: Key, *, start: int = 0, etag: str | None = None) -> tuple[Info, io.BytesIO]:
        info = self.head(key)
        if info is None:
            raise KeyMissingError(key)
        if etag is not None and etag != info.etag:
            raise ConditionError(key)
        return info, io.BytesIO(self.place.objects[key].data[start:])

    def head(self, key: Key) -> Info | None:
        found = self.place.objects.get(key)
        if found is None:
            return None
        return Info(
            size=len(found.data),
            etag=found.etag,
            modified=found.modified,
            date=datetime.now(UTC),
            headers=found.headers,
        )

    def put(self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, *, over: Version | None = None) -> str:
        self._guard()
        with self.place.changing:
            known = self.place.objects.get(key)
            if over is not None and self.place.enforces_conditions and over.etag != (known.etag if known else None):
                raise ConditionError(key)
            self.clock = datetime.now(UTC)
            etag = hashlib.md5(data).hexdigest()
            self.place.objects[key] = Object(data=bytes(data), headers=headers, etag=etag, modified=self.clock)
        return etag

    def copy(self, source: Key, key: Key, headers: ObjectHeaders, *, etag: str) -> str:
        _, body = self.get(source, etag=etag)
        return self.put(key, body.read(), headers)

    def begin_upload(self, key: Key, headers: ObjectHeaders) -> "MemoryUpload":
        number = next(self.place.numbers)
        upload = self.place.uploads[number] = MemoryUpload(self, key, headers, number)
        return upload

    def uploads(self) -> Iterator[Unfinished]:
        for upload in list(self.place.uploads.values()):
            yield Unfinished(name=upload.key, begun=upload.begun, upload=upload)

    def delete(self, key: Key) -> None:
        self._guard()
        self.place.objects.pop(key, None)

    def names(self) -> Iterator[str]:
        yield from list(self.place.objects)


class MemoryUpload:
    def __init__(self, store: MemoryStore, key: Key, headers: ObjectHeaders, number: int) -> None:
        self._store, self.key, self._headers, self._number = store, key, headers, number
        self.begun = datetime.now(UTC)
        self._parts: dict[int, bytes] = {}

    def send(self, number: int, data: bytes | bytearray) -> Part:
        self._parts[number] = bytes(data)
        return Part(number=number, etag=hashlib.md5(data).hexdigest())

    def copy(self, number: int, source: Key, *, etag: str, start: int, end: int) -> Part:
        _, body = self._store.get(source, etag=etag)
        return self.send(number, body.read()[start:end])

    def complete(self, parts: Sequence[Part], *, over: Version | None = None) -> str:
        data = b"".join(self._parts[part.number] for part in parts)
        etag = self._store.put(self.key, data, self._headers, over=over)
        del self._store.place.uploads[self._number]
        return etag

    def abort(self) -> None:
        self._store.place.uploads.pop(self._number, None)


def memory_objects(place: Place, *, part: int = 1 << 20, times: Times | None = None) -> ObjectTarget:
    """A target over a store in memory."""
    return ObjectTarget(
        lambda guard: MemoryStore(place, guard=guard),
        MemoryStore(place),
        Transfers(concurrency=4, part=part, max_copy=4 * part),
        times=times or Times(pause=0.05),
    )
