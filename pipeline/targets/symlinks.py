"""Symbolic links of a directory target: where the key says so, its content is not a file's but where a link leads.

Rule 1. A link is made and read, never followed: servers do that.
Rule 2. It leads to a place of the tree that is not for clients, by a relative path, so that it survives a move.
Rule 3. Where a file system has no links the same content is a file, of which servers make nothing.
"""

import errno
import os
import posixpath
import stat
from typing import Final

from ..keys import PRIVATE, Key
from .base import TargetError
from .files import lstat

_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def check_link(key: Key, text: str) -> None:
    """Raises TargetError for a way that leads out of what is not for clients."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(key), text))
    if not text or text.startswith("/") or not place.startswith(f"{PRIVATE}/"):
        raise TargetError(f"cannot be a link to {text[:80]!r}; this is a mistake in the program", key=key)


def read_link(folder: int, name: str) -> bytes | None:
    """Where the link `name` in the open `folder` leads; None where there is no link. Raises OSError."""
    info = lstat(folder, name)
    if info is None or not stat.S_ISLNK(info.st_mode):
        return None
    return os.fsencode(os.readlink(name, dir_fd=folder))


def make_link(text: str, folder: int, name: str) -> bool:
    """False where there can be no links. Raises OSError."""
    try:
        os.symlink(text, name, dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    return True
