"""A store of objects as a target. Safe for threads.

Rule 1. Content is verified before it is visible: what is small is read into memory first, what is large goes up in
        parts that are completed only after the digest of the whole was right, and given up otherwise.
Rule 2. Every object carries the digest of its bytes in its metadata. An object is believed to hold the wanted bytes,
        and copied or left alone, when its size and that digest say so; not when somebody else put it there.
Rule 3. What never changes is written only where nothing is. What changes is written over the version that this run has
        read or written: if that is not there any more, a rival was at work, and the run stops.
Rule 4. Uploads hold at most `concurrency` parts in memory, however many calls there are.
Rule 5. A run that holds the lock checks before each attempt of a write that it still does.
Rule 6. Others may keep things in the same bucket, and be at work there. An unfinished upload says neither who began it
        nor with which metadata, so it is ours, and given up, only where its key is one that a publisher fills, and it
        was begun before we took the lock: at that time nobody else fills such a key.
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import BinaryIO, Final, cast

from ...content import CHUNK, Content
from ...keys import CACHE_RULES, PING_FOLDER_KEY, Headers, Key, Kind, classify
from ...oci.digest import Digest, DigestError
from ..base import KeyMissingError, LockInfo, LostUpdateError, Properties, Stored, TargetError
from ..checks import check_object_key, is_object_key, verified
from .conditions import Conditions, conditions_of
from .lease import Lease, Times, read_lock
from .store import (
    ABSENT,
    Body,
    ConditionError,
    Guard,
    Info,
    ObjectHeaders,
    ObjectStore,
    Part,
    UnsupportedError,
    Upload,
    Version,
)
from .stream import ObjectStream

DIGEST_METADATA: Final = "deltapress-digest"
_CLIENTS_METADATA: Final = "docker-content-digest"
_ASK_FIRST: Final = 1 << 20  # bytes, above which asking whether an object is there costs less than sending it again
_MAX_PARTS: Final = 10_000
_COPIED_PART: Final = 1 << 30
_PARTS_AT_ONCE: Final = 4  # of one object
_MAY_BE_LARGE: Final = frozenset(
    {
        Kind.BLOB,
        Kind.MANIFEST,
        Kind.REFERRERS,
        Kind.TAGS_LIST,
        Kind.CATALOG,
        Kind.FLATPAK_INDEX,
        Kind.LEDGER,
    }
)
_TRIES: Final = 3  # against rivals that write the same key at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """How objects go up. Sizes in bytes.

    What is larger than `part` goes up in parts of that size, and what is larger than `max_copy` is copied in parts.
    `concurrency` calls at the same time serve the store best. `cache_control` is appended to that of every object.
    """

    concurrency: int
    part: int
    max_copy: int
    cache_control: str | None = None


class ObjectTarget:
    """The objects of the store that `open_store` opens with our guard; the lock is kept in `lock_store`.

    That is the same place, over connections of its own: a renewal must not queue behind blobs, nor ask for the lease
    that it renews.
    """

    def __init__(
        self,
        open_store: Callable[[Guard], ObjectStore],
        lock_store: ObjectStore,
        transfers: Transfers,
        *,
        times: Times | None = None,
    ) -> None:
        self._store, self._lock_store = open_store(self._check_lease), lock_store
        self.url = self._store.url
        self.properties = Properties(stores_headers=True, concurrency=transfers.concurrency)
        self._transfers, self._times = transfers, times or Times()
        self._slots = threading.BoundedSemaphore(transfers.concurrency)
        self._asking = threading.Lock()
        self._conditions: Conditions | None = None
        self._seen: dict[Key, Version] = {}
        self._lease: Lease | None = None

    @property
    def conditions(self) -> Conditions:
        """What this server enforces; asks it, with a write, where that is not known yet. Raises TargetError."""
        with self._asking:
            if self._conditions is None:
                self._conditions = conditions_of(self._store)
            return self._conditions

    def open(self, key: Key) -> BinaryIO:
        check_object_key(key)
        try:
            info, body = self._store.get(key)
        except KeyMissingError:
            self._seen[key] = ABSENT
            raise
        self._seen[key] = Version(info.etag)

        def resume(position: int) -> Body:
            return self._store.get(key, start=position, etag=info.etag)[1]

        return cast(BinaryIO, io.BufferedReader(ObjectStream(key, body, resume), CHUNK))

    def stat(self, key: Key) -> Stored | None:
        check_object_key(key)
        info = self._store.head(key)
        if info is None:
            return None
        # what some servers take for a folder keeps no headers, and no client reads those of /v2/
        return replace(_stored(info), headers=None) if key == PING_FOLDER_KEY else _stored(info)

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        check_object_key(key)
        if same_as is not None:
            check_object_key(same_as)
        wanted = self._object_headers(headers, digest)
        is_lasting = headers.is_immutable
        if is_lasting and content.size > _ASK_FIRST and _holds(self._store.head(key), content.size, wanted):
            return
        if same_as is not None and self._copy(same_as, key, content.size, wanted):
            return
        if is_lasting:
            self._write_once(key, content, wanted, digest)
        else:
            self._replace(key, content, wanted, digest)

    def delete(self, key: Key) -> None:
        check_object_key(key)
        self._seen.pop(key, None)
        self._store.delete(key)

    def keys(self) -> Iterator[Key]:
        # sorted here: servers that keep objects as files list folder by folder
        yield from sorted(Key(name) for name in self._store.names() if is_object_key(name))

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        conditions = self.conditions
        lease = Lease(self._lock_store, conditions, now=now, times=self._times)
        try:
            if lease.acquire(wait):
                self._give_up_leftovers()
            self._seen.clear()  # what was seen without the lock may have been changed under it
            self._lease = lease
            lost = () if conditions.lost is None else (f"{self.url}: {conditions.lost}",)
            yield LockInfo(clock=self._lock_store.clock, caveats=lost)
        finally:
            self._lease = None
            lease.release()

    def _give_up_leftovers(self) -> None:
        """Give up what a holder who died had begun to upload (rule 6); a store that cannot list it is left alone."""
        taken = self._lock_store.clock
        with suppress(UnsupportedError):
            # listed first: a listing goes on behind what it has named, and giving up changes what it names
            for found in list(self._store.uploads()):
                if is_our_upload(found.name) and (taken is None or found.begun <= taken):
                    found.upload.abort()

    def _check_lease(self) -> None:
        if (lease := self._lease) is not None:
            lease.check()

    def _object_headers(self, headers: Headers, digest: Digest) -> ObjectHeaders:
        shown = {} if headers.digest is None else {_CLIENTS_METADATA: str(headers.digest)}
        parts = [headers.cache_control, self._transfers.cache_control]
        return ObjectHeaders(
            content_type=headers.content_type,
            cache_control=", ".join(part for part in parts if part),
            metadata={DIGEST_METADATA: str(digest), **shown},
        )

    def _write_once(self, key: Key, content: Content, wanted: ObjectHeaders, digest: Digest) -> None:
        over = ABSENT
        for _ in range(_TRIES):
            try:
                self._send(key, content, wanted, digest, self.conditions.enforced(over))
            except ConditionError:
                info = self._store.head(key)
                if _holds(info, content.size, wanted):
                    return  # somebody wrote the same, or we did and the answer was lost
                # these bytes have no other form: what is there is damaged, or its headers are old
                over = Version(info.etag if info else None)
            else:
                return
        raise self._lost_update(key)

    def _replace(self, key: Key, content: Content, wanted: ObjectHeaders, digest: Digest) -> None:
        over = self._seen.pop(key, None)  # until the write has succeeded: a failure may come after the effect
        condition = self.conditions.enforced(over)
        if over is not None and condition is None:
            # the next best to a condition: look first
            info = self._store.head(key)
            if Version(info.etag if info else None) != over and not _holds(info, content.size, wanted):
                raise self._lost_update(key)
        try:
            etag = self._send(key, content, wanted, digest, condition)
        except ConditionError as error:
            info = self._store.head(key)
            if info is None or not _holds(info, content.size, wanted):
                raise self._lost_update(key) from error
            etag = info.etag
        self._seen[key] = Version(etag)

    def _lost_update(self, key: Key) -> LostUpdateError:
        lock, lease = read_lock(self._store), self._lease
        is_ours = lock is not None and lease is not None and lock.nonce == lease.nonce
        return LostUpdateError(key, lock.holder if lock is not None and not is_ours else None)

    def _send(self, key: Key, content: Content, wanted: ObjectHeaders, digest: Digest, over: Version | None) -> str:
        chunks = verified(key, content, digest)
        if content.size > self._transfers.part:
            upload = self._store.begin_upload(key, wanted)
            with _given_up_on_failure(upload):
                return upload.complete(self._send_parts(upload, chunks, content.size), over=over)
        with self._slots:
            # one byte more than there can be, so that the chunks are read to their end, where they are verified
            data = next(_parts(chunks, content.size + 1), b"")
            return self._store.put(key, data, wanted, over=over)

    def _send_parts(self, upload: Upload, chunks: Iterator[bytes], size: int) -> list[Part]:
        """Send all of `chunks`, which end with an error where they are not the promised ones."""
        parts = _parts(chunks, max(self._transfers.part, -(-size // _MAX_PARTS)))
        sent: list[Part] = []
        under_way: deque[Future[Part]] = deque()

        def send(number: int, data: bytearray) -> Part:
            try:
                return upload.send(number, data)
            finally:
                self._slots.release()

        pool = ThreadPoolExecutor(_PARTS_AT_ONCE)
        try:
            for number in count(1):
                self._slots.acquire()
                data = None
                try:
                    data = next(parts, None)
                finally:
                    if data is None:
                        self._slots.release()
                if data is None:
                    break
                under_way.append(pool.submit(send, number, data))
                del data  # while this thread waits for the next slot, the part belongs to its sender alone
                while under_way and under_way[0].done():
                    sent.append(under_way.popleft().result())
            return [*sent, *(future.result() for future in under_way)]
        finally:
            pool.shutdown()

    def _copy(self, source: Key, key: Key, size: int, wanted: ObjectHeaders) -> bool:
        """Copy `source` in the server, if it certainly holds the wanted bytes and the server can."""
        info = self._store.head(source)
        if (
            info is None
            or info.size != size
            or info.headers.metadata.get(DIGEST_METADATA) != wanted.metadata[DIGEST_METADATA]
        ):
            return False
        try:
            if size <= self._transfers.max_copy:
                etag = self._store.copy(source, key, wanted, etag=info.etag)
            else:
                etag = self._copy_parts(source, key, size, wanted, info.etag)
        except (ConditionError, UnsupportedError):
            return False
        if key in self._seen:
            self._seen[key] = Version(etag)
        return True

    def _copy_parts(self, source: Key, key: Key, size: int, wanted: ObjectHeaders, etag: str) -> str:
        step = min(_COPIED_PART, self._transfers.max_copy)
        upload = self._store.begin_upload(key, wanted)
        with _given_up_on_failure(upload):
            parts = [
                upload.copy(number, source, etag=etag, start=start, end=min(start + step, size))
                for number, start in enumerate(range(0, size, step), 1)
            ]
            return upload.complete(parts)


def is_our_upload(name: str) -> bool:
    """True for the key of an object that a publisher may send in parts; the others are smaller than a part."""
    parsed = classify(name)
    return parsed is not None and parsed.kind in _MAY_BE_LARGE


def _stored(info: Info) -> Stored:
    kept, digest = info.headers, None
    with suppress(DigestError):
        digest = Digest.parse(kept.metadata.get(_CLIENTS_METADATA, ""))
    # what the configuration appended when it was written is not ours
    rule = next((rule for rule in CACHE_RULES if f"{kept.cache_control}, ".startswith(f"{rule}, ")), kept.cache_control)
    encoding = kept.content_encoding
    return Stored(
        size=info.size,
        headers=Headers(content_type=kept.content_type, cache_control=rule, digest=digest),
        problem=None if encoding is None else f"is served with Content-Encoding {encoding!r}, which clients undo",
    )


def _holds(info: Info | None, size: int, wanted: ObjectHeaders) -> bool:
    return info is not None and info.size == size and info.headers == wanted


def _parts(chunks: Iterator[bytes], size: int) -> Iterator[bytearray]:
    """The same bytes in pieces of `size`, the last one shorter; none of no bytes.

    A piece is forgotten here when it is given away, and the next begun when it is asked for: who bounds the number of
    pieces bounds the memory.
    """
    begun: list[bytearray] = []
    filled = 0
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            if not begun:
                begun.append(bytearray(size))
            taken = min(size - filled, len(view))
            begun[0][filled : filled + taken] = view[:taken]
            filled, view = filled + taken, view[taken:]
            if filled == size:
                filled = 0
                yield begun.pop()
    if begun:
        del begun[0][filled:]
        yield begun.pop()


@contextmanager
def _given_up_on_failure(upload: Upload) -> Iterator[None]:
    try:
        yield
    except BaseException:  # parts cost money until they are given up, after an interrupt too
        with suppress(TargetError):  # what cannot be given up now is by whoever takes an expired lock
            upload.abort()
        raise
