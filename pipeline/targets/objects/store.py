"""What a store of objects must be able to do: the requests of S3, without S3.

Rule 1. Whatever goes wrong is a TargetError: KeyMissingError for a missing key, ConditionError where a condition was
        not met, UnsupportedError for what the server does not know.
Rule 2. A request that was sent again may have had its effect the first time: callers ask again after a ConditionError.
Rule 3. An ETag is opaque. Two puts of different bytes give different ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from ...keys import Key
from ..base import TargetError

Guard = Callable[[], None]
"""Asked before every attempt of a request that changes what readers see; its error ends the request."""


class ConditionError(TargetError):
    """The key did not hold what the write was to replace."""

    def __init__(self, key: str | None) -> None:
        super().__init__("was changed by somebody else at the same time", key=key)


class UnsupportedError(TargetError):
    """The server does not know what was asked of it."""


class BrokenStreamError(TargetError):
    """The connection ended in the middle of an object."""


@dataclass(frozen=True, slots=True)
class Version:
    """What a key holds: the bytes with this ETag, or nothing where it is None."""

    etag: str | None


ABSENT: Final = Version(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectHeaders:
    """What an object is stored and served with. Never a Content-Encoding: `content_encoding` is somebody else's."""

    content_type: str
    cache_control: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    content_encoding: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """What the server says of an object. `date` is its clock at that moment, None where it does not tell."""

    size: int
    etag: str
    modified: datetime
    date: datetime | None
    headers: ObjectHeaders


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an upload that the server has."""

    number: int
    etag: str
    checksum: str | None = None


class Body(Protocol):
    """The rest of an object, as it comes."""

    def read(self, size: int) -> bytes:
        """At most `size` bytes, none at the end. Raises BrokenStreamError, TargetError."""
        ...

    def close(self) -> None: ...


class Upload(Protocol):
    """An upload in parts, seen by nobody before `complete`. Parts may be sent from several threads."""

    def send(self, number: int, data: bytes | bytearray) -> Part:
        """Part `number`, from 1 on."""
        ...

    def copy(self, number: int, source: Key, *, etag: str, start: int, end: int) -> Part:
        """Part `number` from the bytes `start` to before `end` of what `source` holds."""
        ...

    def complete(self, parts: Sequence[Part], *, over: Version | None = None) -> str:
        """Make the object visible, and return its ETag; ConditionError where the key does not hold `over`."""
        ...

    def abort(self) -> None:
        """Forget the parts; nothing happens where that is done already."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """An upload that was `begun`, by the server's clock, and neither completed nor given up.

    `name` is that of the object as `ObjectStore.names` would give it.
    """

    name: str
    begun: datetime
    upload: Upload


class ObjectStore(Protocol):
    """The objects of one place, by key. Safe for threads."""

    @property
    def url(self) -> str:
        """For people and messages; never holds a secret."""
        ...

    @property
    def clock(self) -> datetime | None:
        """What the server's clock said when it stored an object last, where it tells."""
        ...

    @property
    def remedy(self) -> str:
        """What a person can do where objects do not come back as they were sent; a sentence."""
        ...

    def get(self, key: Key, *, start: int = 0, etag: str | None = None) -> tuple[Info, Body]:
        """The object from the byte `start` on; ConditionError where its ETag is not `etag`."""
        ...

    def head(self, key: Key) -> Info | None:
        """None where it is missing."""
        ...

    def put(self, key: Key, data: bytes | bytearray, headers: ObjectHeaders, *, over: Version | None = None) -> str:
        """Store `data`, in one request, and return its ETag; ConditionError where the key does not hold `over`."""
        ...

    def copy(self, source: Key, key: Key, headers: ObjectHeaders, *, etag: str) -> str:
        """Store what `source` holds under `key`, in the server; ConditionError where it is not the one with `etag`."""
        ...

    def begin_upload(self, key: Key, headers: ObjectHeaders) -> Upload:
        """An upload in parts. Nothing is visible before it is completed."""
        ...

    def uploads(self) -> Iterator[Unfinished]:
        """The uploads that were begun and not completed, also those of others. Raises UnsupportedError."""
        ...

    def delete(self, key: Key) -> None:
        """Nothing happens where it is missing."""
        ...

    def names(self) -> Iterator[str]:
        """Of every object, in the server's order."""
        ...
