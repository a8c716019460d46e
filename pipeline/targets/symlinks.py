"""Symbolic links of a directory target: where the key says so, its content is not a file's but where a link leads.

Rule 1. A link is made and read, never followed: servers do that.
Rule 2. It leads to a place of the tree that is not for clients, by a relative path, so that it survives a move.
Rule 3. Where a file system has no links the same content is a file, of which servers make nothing.
Rule 4. Who copies a tree and follows its links has folders in their place, each with one empty file. A new link takes
        the place of such a folder, and of no other.
"""

import errno
import os
import posixpath
import stat
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from ..keys import PRIVATE, Key
from .base import TargetError
from .files import flush_folder, lstat
from .folders import Folders

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def check_link(key: Key, text: bytes) -> str:
    """The way as the system takes it. Raises TargetError for one that leads out of what is not for clients."""
    way = os.fsdecode(text)
    place = posixpath.normpath(posixpath.join(posixpath.dirname(key), way))
    if not way or way.startswith("/") or not place.startswith(f"{PRIVATE}/"):
        raise TargetError(f"cannot be a link to {way[:80]!r}; this is a mistake in the program", key=key)
    return way


def read_link(folders: Folders, parts: Sequence[str], name: str) -> bytes | None:
    """Where the link `name` in the folder `parts` leads; None where there is none. Raises OSError."""
    try:
        with folders.opened(parts) as folder:
            info = lstat(folder, name)
            if info is None or not stat.S_ISLNK(info.st_mode):
                return None
            return os.fsencode(os.readlink(name, dir_fd=folder))
    except (FileNotFoundError, NotADirectoryError):
        return None


def put_link(
    folders: Folders, parts: Sequence[str], name: str, way: str, *, temporary: str, shape: threading.Lock
) -> bool:
    """Let a link take the place of whatever stands there, by one rename; False where there can be no links.

    `shape` is held while the folder's first name comes; the `temporary` one is in the folder only meanwhile. What leads
    there already is not touched. Raises OSError.
    """
    if read_link(folders, parts, name) == os.fsencode(way):
        with folders.opened(parts, open_up=True) as folder:
            flush_folder(folder)  # the run that made it may have been killed just before it did so
        return True
    with ExitStack() as stack:
        with shape:
            folder = stack.enter_context(folders.opened(parts, create=True))
            try:
                os.symlink(way, temporary, dir_fd=folder)
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return False
                raise
        try:
            try:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except IsADirectoryError:
                if not _removed_copy(folder, name):
                    raise
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:  # an interrupt too must leave no temporary link in the tree
            os.unlink(temporary, dir_fd=folder)
            raise
        flush_folder(folder)
    return True


def _removed_copy(folder: int, name: str) -> bool:
    """Remove the folder `name` if it is no more than a copy of where a link led (rule 4). Raises OSError."""
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        marks = os.listdir(inner)  # noqa: PTH208  # of an open folder, whatever has its name by now
        is_copy = all(":" in mark and (info := lstat(inner, mark)) is not None and not info.st_size for mark in marks)
        if len(marks) > 1 or not is_copy:
            return False
        for mark in marks:
            os.unlink(mark, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=folder)
    return True
