"""Single files of a directory target, by the open folder that holds them and their name.

Rule 1. A web server reads as another user, so a file is readable for all (0644) whatever the umask of a hardened cron
        job says, and more where that allows more (0664, for a group that publishes together). Only where the folder has
        a set-group-ID bit and the umask leaves out others, but not the group (027), a person has said that the group
        reads and nobody else does (0640).
Rule 2. Some file systems cannot flush a folder (EINVAL on shared folders of virtual machines, EACCES over SMB); others
        flush no file that was opened for reading. The former lose a rename in a power cut, which `lock` says, and
        nothing else; for the latter the file is opened once more.
Rule 3. Failures are OSErrors that name their call (`advice.during`).
"""

import errno
import os
import stat
from typing import Final

from ..content import CHUNK
from ..oci.digest import Digest
from .advice import during

# O_NONBLOCK: opening a FIFO that somebody put there must not wait for its other end.
READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW_FILE: Final = 0o666  # less the umask
_FOR_ALL: Final = 0o644
_FOR_GROUP: Final = 0o640
_SECOND: Final = 1_000_000_000  # in the nanoseconds of a file's time
_NO_FLUSH: Final = frozenset(
    {
        *(errno.EINVAL, errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR),
        *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY),
    }
)


def lstat(folder: int, name: str) -> os.stat_result | None:
    """None where nothing has that name. Raises OSError."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def unreadable(info: os.stat_result, folder: int) -> str | None:
    """Why a web server cannot read a file of the open `folder`, None where it can (rule 1)."""
    if info.st_mode & (least := _least(folder)) == least:
        return None
    return f"cannot be read by a web server: it has mode {stat.S_IMODE(info.st_mode):04o}, not {least:04o}"


def make_readable(file: int, folder: int) -> None:
    """Let a web server read the open `file` (rule 1). Raises OSError."""
    mode = stat.S_IMODE(os.fstat(file).st_mode)
    least = _least(folder) if mode & stat.S_IRGRP else _FOR_ALL
    if mode & least != least:
        with during("chmod"):
            os.fchmod(file, mode | least)


def _least(folder: int) -> int:
    return _FOR_GROUP if os.fstat(folder).st_mode & stat.S_ISGID else _FOR_ALL


def holds(folder: int, name: str, size: int, digest: Digest) -> bool:
    """True if `name` is a file with these bytes that a web server can read; they are on the disk then."""
    try:
        file = os.open(name, READ, dir_fd=folder)
    except OSError:
        return False  # missing, or a link, or unreadable: it is written anew
    try:
        info = os.fstat(file)
        if not stat.S_ISREG(info.st_mode) or info.st_size != size or unreadable(info, folder):
            return False
        hasher = digest.new_hasher()
        while data := os.read(file, CHUNK):
            hasher.update(data)
        return hasher.hexdigest() == digest.hex and _flush_read(file, folder, name)
    finally:
        os.close(file)


def _flush_read(file: int, folder: int, name: str) -> bool:
    """Flush a `file` that was opened for reading (rule 2); False where that needs a right which we lack."""
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            error.add_note("fsync")
            raise
    else:
        return True
    try:
        again = os.open(name, _AGAIN, dir_fd=folder)
    except OSError:
        return False
    try:
        flush(again)
    finally:
        os.close(again)
    return True


def flush(file: int) -> None:
    """Raises OSError."""
    with during("fsync"):
        os.fsync(file)


def flush_folder(folder: int) -> bool:
    """Flush the names in the open `folder`; False where the file system cannot (rule 2). Raises OSError."""
    try:
        flush(folder)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
        return False
    return True


def write_all(file: int, data: bytes) -> None:
    """Raises OSError."""
    view = memoryview(data)
    with during("write"):
        while view:
            view = view[os.write(file, view) :]


def make_younger(file: int, present: os.stat_result) -> None:
    """Give the open `file` a later second than `present` has, even if that lies in the future by then."""
    taken = present.st_mtime_ns // _SECOND
    if os.fstat(file).st_mtime_ns // _SECOND <= taken:
        time = (taken + 1) * _SECOND
        with during("utime"):
            os.utime(file, ns=(time, time))
