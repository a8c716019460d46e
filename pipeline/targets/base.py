"""The contract of a target: a flat store of keys, with what publishing needs and no more.

Rule 1. `put` and `delete` are idempotent; a single key changes atomically: a reader sees the old bytes or the new ones.
Rule 2. Nothing is promised about two keys: the order of the calls is the commit protocol, and the callers keep it. When
        `put` has returned, its bytes survive a crash of the machine.
Rule 3. `put` verifies what it writes: content whose size or digest differs from the promised ones leaves the key as it
        was.
Rule 4. `LOCK_KEY` and names with `TEMPORARY_PREFIX` belong to the target; no caller puts, deletes or is shown them.
Rule 5. A key whose headers say that it changes is put only over what this publisher has read or written there since it
        took the lock, if it has: what a rival wrote meanwhile is a `LostUpdateError`, and stays. Only one publisher
        holds the lock; this is for a storage whose locks do not work.
Rule 6. Every failure of the storage is a `TargetError`; a missing key is `KeyMissingError`. No other exception escapes.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final, Protocol, runtime_checkable

from ..content import CHUNK, Content
from ..errors import DeltapressError, ExitCode
from ..keys import LOCK_KEY as LOCK_KEY
from ..keys import Headers, Key
from ..oci.digest import Digest
from .holder import Holder

# How the names of unfinished files begin. Like the lock they are no keys.
TEMPORARY_PREFIX: Final = ".deltapress-"


class TargetError(DeltapressError):
    """The storage failed, or refused. `key` is None where the target as a whole is meant."""

    exit_code = ExitCode.TARGET_FAILED

    def __init__(self, problem: str, *, key: str | None = None) -> None:
        self.problem, self.key = problem, key
        super().__init__(f"{key}: {problem}" if key else problem)


class KeyMissingError(TargetError):
    """The key is not there."""

    def __init__(self, key: str) -> None:
        super().__init__("is not in the target", key=key)


class DeniedError(TargetError):
    """A server does not let us have the key. Some storages say so of whatever is missing."""


class TooLargeError(TargetError):
    """A document has more bytes than one of its kind may have."""

    def __init__(self, key: str, limit: int) -> None:
        super().__init__(f"has more than {limit:,} bytes; a document of this kind has less", key=key)


class ContentChangedError(TargetError):
    """The content of a `put` was not the promised one (a source changed while it was read, or is damaged)."""

    exit_code = ExitCode.BAD_INPUT


class LockHeldError(TargetError):
    """Another publisher holds the lock. `holder` is None where the lock does not say who.

    `expires_in` is for a lock that outlives its holder: in how many seconds it is free, unless it is renewed.
    """

    def __init__(self, holder: Holder | None, *, expires_in: float | None = None) -> None:
        self.holder, self.expires_in = holder, expires_in
        until = "" if expires_in is None else f" (if that has died, the lock is free in {max(expires_in, 1):.0f} s)"
        super().__init__(
            f"the lock is held by {_named(holder)}; wait until it has finished, or end it{until}", key=LOCK_KEY
        )


class LostUpdateError(TargetError):
    """Another publisher wrote `key` after this run had read or written it. `rival` is None where it left no name."""

    def __init__(self, key: str, rival: Holder | None) -> None:
        self.rival = rival
        super().__init__(
            f"was changed by {_named(rival)} during this run, which stops here and has overwritten nothing of it; let "
            "one publisher run at a time, and run again",
            key=key,
        )


def _named(holder: Holder | None) -> str:
    return str(holder) if holder else "a process that left no name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a target says about a key without reading it.

    size: in bytes.
    headers: those with which the storage serves it; None where it keeps none, and a web server decides.
    problem: why readers do not get it as it was put, whatever its headers; None where they do.
    """

    size: int
    headers: Headers | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """What taking the lock told.

    `last` is when somebody took it before, None where that leaves no trace. `clock` is the time of the storage itself
    just now, None where it tells none. `caveats` say which guarantees this storage cannot give, for people.
    """

    last: datetime | None = None
    clock: datetime | None = None
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What kind of storage a target is.

    stores_headers: True where `put` keeps the headers (a bucket), False where a web server must be told them (a
        directory).
    folds_case: True where keys that differ in upper and lower case alone are one.
    concurrency: how many calls at the same time serve it best; all methods may be called from that many threads.
    """

    stores_headers: bool
    folds_case: bool = False
    concurrency: int = 1


class ReadableTarget(Protocol):
    """A flat store of keys, for those who only read it."""

    @property
    def url(self) -> str:
        """For people and messages; never holds a secret."""
        ...

    @property
    def properties(self) -> Properties:
        """What it can do. Some storages know all of it only once something lies in them. Raises TargetError."""
        ...

    def open(self, key: Key) -> BinaryIO:
        """The bytes of `key`, streamed. Raises KeyMissingError, TargetError."""
        ...

    def stat(self, key: Key) -> Stored | None:
        """None when the key is missing. Raises TargetError."""
        ...

    def keys(self) -> Iterator[Key]:
        """Every key, in the order of its code points; also what somebody else put there, if its name can be a key.

        Only for rebuilding a lost ledger and for verifying; a publishing run does without. Raises TargetError.
        """
        ...


@runtime_checkable
class ResumableTarget(ReadableTarget, Protocol):
    """A target that gives the rest of something without the beginning."""

    def open_from(self, key: Key, start: int) -> BinaryIO:
        """`open`, from the byte `start` on. Raises as it does."""
        ...


class Target(ReadableTarget, Protocol):
    """A flat store of keys, for those who also write it."""

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        """Make `key` hold `content`, whose digest is `digest`.

        `same_as` names a key that this publisher wrote with these very bytes: the target may link or copy it instead of
        sending the bytes again. A key that already holds the same bytes need not be written.

        Raises:
            ContentChangedError: the content is not what `digest` and its size promise; the key is as before.
            LostUpdateError: somebody else has written it meanwhile (rule 5); the key is as they left it.
            TargetError: the storage failed; the key holds the old bytes or, if the failure came late, the new ones.
        """
        ...

    def delete(self, key: Key) -> None:
        """Remove `key`; nothing happens when it is missing. Raises TargetError."""
        ...

    def lock(self, *, now: datetime, wait: float) -> AbstractContextManager[LockInfo]:
        """Hold the target for one publisher; `wait` seconds at most for another to finish.

        Whoever puts or deletes holds it; what a killed writer left behind is removed by the next one who takes it.

        Raises:
            LockHeldError: another publisher still holds it.
            TargetError: the storage failed.
        """
        ...


def read_bytes(target: ReadableTarget, key: Key, *, limit: int) -> bytes:
    """All bytes of a small document.

    Raises:
        KeyMissingError: it is not there.
        TooLargeError: it has more than `limit` bytes.
        TargetError: the storage failed.
    """
    data = bytearray()
    with target.open(key) as stream:
        # in pieces: a stream may set aside all that it is asked for, which the limit is far above
        while len(data) <= limit and (piece := stream.read(min(CHUNK, limit + 1 - len(data)))):
            data += piece
    if len(data) > limit:
        raise TooLargeError(key, limit)
    return bytes(data)
