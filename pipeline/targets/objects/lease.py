"""The lock of a store of objects: an object that its holder renews, and that others may replace once it has expired.

Rule 1. Every change of the object carries the ETag of the one that it replaces, so one of two rivals fails. Where the
        server enforces no conditions, a taker writes, waits and reads back: that is not atomic (see `conditions`).
Rule 2. Whether a lease has expired is told by the server's clock, on both sides: its Date against its Last-Modified.
        The clocks of the publishers decide nothing.
Rule 3. The holder stops writing at two thirds of the time after which others may take over, so that a request under way
        has time to end. It measures that from the start of its last renewal, by a clock that does not jump.
"""

import json
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..base import LOCK_KEY, KeyMissingError, LockHeldError, TargetError
from ..holder import Holder
from .conditions import OWN, Conditions
from .probe import check_kept
from .store import ABSENT, ConditionError, ObjectStore, Version

_MAX_RECORD: Final = 4096
_MAX_SECONDS: Final = 86_400
_LAST_WAIT: Final = 5.0  # seconds, for a renewal under way when the lock is given back


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """In seconds: `lasts` without a renewal; `pause` between looks at a lock that somebody else holds."""

    lasts: float = 180.0
    pause: float = 1.0


class LockLostError(TargetError):
    """The lock is no longer ours; nothing more may be written."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}; this run stops here, and the next one completes it", key=LOCK_KEY)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockObject:
    """A lock object. `expires_in` seconds, by the server's clock; `nonce` and `holder` are None if it is unreadable."""

    etag: str
    expires_in: float
    nonce: str | None
    holder: Holder | None


class Lease:
    """One holder's lock. Use it once: `acquire`, `check` before each write, `release`."""

    def __init__(self, store: ObjectStore, conditions: Conditions, *, now: datetime, times: Times) -> None:
        self._store, self._conditions, self._times = store, conditions, times
        self._holder = Holder.this_process(now)
        self.nonce = secrets.token_hex(16)
        self._etag: str | None = None
        self._record = b""
        self._renewals = 0
        self._renewed = 0.0
        self._rival: str | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="deltapress-lease", daemon=True)

    def acquire(self, wait: float) -> bool:
        """Take the lock, waiting at most `wait` seconds; True where it was taken from a holder who died.

        Raises:
            LockHeldError: somebody else holds it still.
            AlteredError: the store keeps something else than it is sent.
            TargetError: the storage failed.
        """
        deadline = time.monotonic() + wait
        over = ABSENT
        while not self._write(over):
            found = read_lock(self._store, lasts=self._times.lasts)
            over = ABSENT
            if found is None:
                continue  # given back just now
            if found.expires_in <= 0:
                over = Version(found.etag)
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise LockHeldError(found.holder, expires_in=found.expires_in)
            time.sleep(min(self._times.pause, left))
        check_kept(self._store, LOCK_KEY, self._record, OWN, etag=self._etag or "")
        self._thread.start()
        return over.etag is not None

    def check(self) -> None:
        """Raises LockLostError unless the lock is certainly ours."""
        if self._rival is not None:
            raise LockLostError(f"the lock was taken over by {self._rival}")
        silence = time.monotonic() - self._renewed
        if silence > self._times.lasts * 2 / 3:
            raise LockLostError(f"the lock could not be renewed for {silence:.0f} s, and somebody else may have it now")

    def release(self) -> None:
        """Give it back, if it is ours; what fails here is mended by its expiry."""
        self._stopped.set()
        if not self._renewals:
            return  # nothing was written
        if self._thread.is_alive():
            self._thread.join(_LAST_WAIT)
        with suppress(TargetError):
            if self._etag is not None:
                self.check()
            elif self._stored_etag() is None:
                return  # else an interrupt or a failure came between the effect of the first write and its answer
            if not self._thread.is_alive():  # a renewal still under way would put the object back
                self._store.delete(LOCK_KEY)

    def _stored_etag(self) -> str | None:
        """That of the lock as it stands, if it is ours."""
        found = read_lock(self._store, lasts=self._times.lasts)
        return found.etag if found is not None and found.nonce == self.nonce else None

    def _keep(self) -> None:
        while not self._stopped.wait(self._times.lasts / 6):
            try:
                if not self._write(Version(self._etag)):
                    found = read_lock(self._store, lasts=self._times.lasts)
                    self._rival = str(found.holder if found and found.holder else "a process that left no name")
                    return
            except TargetError:
                continue  # `check` counts the seconds

    def _write(self, over: Version) -> bool:
        """Put our record over what `over` says is there; False where that is not so."""
        started = time.monotonic()
        self._renewals += 1  # in the record, so that no two of its ETags are the same
        record = self._holder.to_dict() | {
            "nonce": self.nonce,
            "renewal": self._renewals,
            "seconds": self._times.lasts,
        }
        data = json.dumps(record).encode() + b"\n"
        self._record = data
        etag = self._write_if(data, over) if self._conditions.are_enforced else self._write_and_look(data, over)
        if etag is None:
            # the answer to an earlier attempt may have been lost, and that attempt have won
            etag = self._stored_etag()
        if etag is not None:
            self._etag, self._renewed = etag, started
        return etag is not None

    def _write_if(self, data: bytes, over: Version) -> str | None:
        try:
            return self._store.put(LOCK_KEY, data, OWN, over=over)
        except ConditionError:
            return None

    def _write_and_look(self, data: bytes, over: Version) -> str | None:
        found = read_lock(self._store, lasts=self._times.lasts)
        if (found.etag if found else None) != over.etag:
            return None
        etag = self._store.put(LOCK_KEY, data, OWN)
        if over.etag is None or over.etag != self._etag:  # taking, not renewing: let a rival's write come in
            time.sleep(self._times.pause)
        return etag if self._stored_etag() is not None else None


def read_lock(store: ObjectStore, *, lasts: float = Times().lasts) -> LockObject | None:
    """The lock as it stands, None where there is none; `lasts` seconds where it does not say. Raises TargetError."""
    try:
        info, body = store.get(LOCK_KEY)
    except KeyMissingError:
        return None
    try:
        record = json.loads(body.read(_MAX_RECORD))
    except (ValueError, RecursionError):
        record = None
    finally:
        body.close()
    nonce: str | None = None
    match record:
        case {"nonce": str(said), "seconds": int(seconds) | float(seconds)} if 0 < seconds <= _MAX_SECONDS:
            nonce, lasts = said, float(seconds)
    # a server that tells no time lets no lease expire: a person may delete the object
    age = (info.date - info.modified).total_seconds() if info.date is not None else 0.0
    return LockObject(etag=info.etag, expires_in=lasts - age, nonce=nonce, holder=Holder.from_dict(record))
