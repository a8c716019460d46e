"""The lock of a directory: one publisher at a time, and a dead one's lock is free.

Rule 1. The kernel holds the lock (flock) and frees it with the process, however it ends. The file's text is for people.
Rule 2. The text also says whether the last holder let go in order; if not, it may have left temporary files behind.
Rule 3. The file stays where it is: removing a lock file lets two processes hold two files of one name.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .advice import during
from .base import LockHeldError
from .files import NEW_FILE, flush
from .holder import Holder

_PAUSE: Final = 0.1  # seconds between two attempts
_MAX_RECORD: Final = 4096

# A forked child would keep the lock of a killed parent: it shares the open file that the kernel has locked.
_held: set[int] = set()


def _forget_in_child() -> None:
    for lock in _held:
        os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    holder: Holder | None
    is_held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The lock as it was found: by whom it was held `last`, and whether that `has_died` with it in hand.

    `written` is the time of the file, just after it was written, in seconds since 1970.
    """

    last: Holder | None
    has_died: bool
    written: float


@contextmanager
def locked(folder: int, name: str, *, now: datetime, wait: float) -> Iterator[Taken]:
    """Hold the lock file `name` in the open `folder`.

    Raises:
        LockHeldError: another process or thread held it for `wait` seconds.
        OSError: the file cannot be opened, locked or written.
    """
    lock = _acquire(folder, name, deadline=time.monotonic() + wait)
    _held.add(lock)
    try:
        found = _read(lock)
        holder = Holder.this_process(now)
        _write(lock, holder, is_held=True)
        yield Taken(last=found.holder, has_died=found.is_held, written=os.fstat(lock).st_mtime)
        # Not in a finally, and not important: without it the next holder looks for leftovers, which costs it little.
        with suppress(OSError):
            _write(lock, holder, is_held=False)
    finally:
        if lock in _held:
            _held.remove(lock)
            os.close(lock)


def last_holder(folder: int, name: str) -> Holder | None:
    """Who took the lock last, if the file says so. Raises OSError."""
    lock = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return _read(lock).holder
    finally:
        os.close(lock)


def _acquire(folder: int, name: str, *, deadline: float) -> int:
    while True:
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, NEW_FILE, dir_fd=folder)
        try:
            with during("flock"):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_current(lock, folder, name):
                return lock
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = _read(lock).holder
                os.close(lock)
                raise LockHeldError(holder) from error
        except BaseException:  # what stays open may hold the lock
            os.close(lock)
            raise
        os.close(lock)
        time.sleep(max(0.0, min(_PAUSE, deadline - time.monotonic())))


def _is_current(lock: int, folder: int, name: str) -> bool:
    """False where somebody removed the file between opening and locking: others would lock the new one."""
    try:
        current = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(current, os.fstat(lock))


def _read(lock: int) -> _Record:
    data = os.pread(lock, _MAX_RECORD, 0)
    if not data:
        return _Record(holder=None, is_held=False)
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return _Record(holder=None, is_held=True)  # torn: its writer did not come to an end
    is_held = not (isinstance(record, dict) and record.get("held") is False)
    return _Record(holder=Holder.from_dict(record), is_held=is_held)


def _write(lock: int, holder: Holder, *, is_held: bool) -> None:
    """Overwrite in place: on a full disk, where a prune must still get the lock, that needs no new block."""
    data = json.dumps(holder.to_dict() | {"held": is_held}).encode() + b"\n"
    with during("write"):
        if os.pwrite(lock, data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(lock, len(data))
    flush(lock)
