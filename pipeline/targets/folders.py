"""Folders below a root, entered one by one so that no symbolic link leads out of it.

Rule 1. Every folder of a directory target is opened here: part by part, relative to the one above, never through a
        link. The root itself may be one: it is the user's choice, and it is resolved once.
Rule 2. A folder that was made is open to a web server (0755) whatever the umask, to more where that allows more, and to
        the group alone (0750) only by a set-group-ID bit and a umask that say so (see `files`); it survives a crash.
        One that nobody but we can enter any more, after a restore, is opened up again by who writes in it.
Rule 3. Failures are OSErrors; `directory` translates them.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .advice import during
from .files import flush_folder

_NEW_FOLDER: Final = 0o777  # less the umask
_FOR_ALL: Final = 0o755
_FOR_GROUP: Final = 0o750
_ENTER: Final = 0o011  # for the group or for others
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Folders:
    """The folders below `root`, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))  # unlike Path.resolve it takes a loop of links as it is

    @contextmanager
    def opened(self, parts: Sequence[str], *, create: bool = False, open_up: bool = False) -> Iterator[int]:
        """A descriptor of the folder `parts`, for the `dir_fd` of other calls.

        create: make what is missing of it.
        open_up: let web servers enter again where only we can (rule 2); who creates does that too.

        Raises:
            OSError: ENOENT where it is missing (and not to be created), ENOTDIR where a file stands in its place, ELOOP
                where a symbolic link does.
        """
        start, missing = self.root, list[str]()
        while create and not start.is_dir() and start.name:
            start, missing = start.parent, [start.name, *missing]
        folder = os.open(start, _OPEN)
        try:
            for part in (*missing, *parts):
                inner = _enter(folder, part, create=create, open_up=open_up or create)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def closed(self, parts: Sequence[str]) -> str | None:
        """The first folder on the way to `parts` that only its owner can enter, without the root. Raises OSError."""
        folder = os.open(self.root, _OPEN)
        try:
            for length, part in enumerate(parts, 1):
                inner = _open(folder, part)
                os.close(folder)
                folder = inner
                if not os.fstat(folder).st_mode & _ENTER:
                    return "/".join(parts[:length])
            return None
        finally:
            os.close(folder)

    def remove_empty(self, parts: Sequence[str]) -> None:
        """Remove the folder `parts` and those above it, as far as they are empty; never the root."""
        for length in range(len(parts), 0, -1):
            try:
                with self.opened(parts[: length - 1]) as above:
                    os.rmdir(parts[length - 1], dir_fd=above)
                    flush_folder(above)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                    return
                raise

    def entries(self, parts: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """The names of the files, the folders and the symbolic links in the folder `parts`, and of nothing else."""
        with self.opened(parts) as folder, os.scandir(folder) as found:
            files, folders, links = [], [], []
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False):
                    files.append(entry.name)
                elif entry.is_symlink():
                    links.append(entry.name)
        return files, folders, links


def _enter(above: int, name: str, *, create: bool, open_up: bool) -> int:
    try:
        folder = _open(above, name)
    except FileNotFoundError:
        if not create:
            raise
    else:
        if open_up:
            _open_up(folder)
        return folder
    try:
        os.mkdir(name, _NEW_FOLDER, dir_fd=above)
    except FileExistsError:  # another thread was faster
        return _open(above, name)
    folder = _open(above, name)
    try:
        _let_in(folder)
        flush_folder(above)
    except BaseException:  # whoever gets no folder closes none
        os.close(folder)
        raise
    return folder


def _open_up(folder: int) -> None:
    info = os.fstat(folder)
    if not info.st_mode & _ENTER and info.st_uid == os.geteuid():
        _let_in(folder)


def _let_in(folder: int) -> None:
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    least = _FOR_GROUP if mode & stat.S_ISGID and mode & stat.S_IRGRP else _FOR_ALL
    if mode & least != least:
        with during("chmod"):
            os.fchmod(folder, mode | least)


def _open(above: int, name: str) -> int:
    try:
        return os.open(name, _OPEN, dir_fd=above)
    except NotADirectoryError as error:
        # Linux says ENOTDIR for a link too, when a folder is asked for.
        if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name) from error
        raise
