"""A folder out of which no name and no symbolic link leads.

Rule 1. A path is walked name by name, each opened without following links. A link on the way is followed as a process
        would that has this folder for its root: `/` is the folder, and `..` of the folder is itself.
Rule 2. The last name is never followed: whatever is done, is done to what stands there.
Rule 3. The folder is nobody else's while it is written.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS: Final = 40  # as in Linux
MAX_DEPTH: Final = 200
"""Folders in each other. Each is open while those in it are written or removed, of which a process may have 1,024."""

_NEW_FOLDER: Final = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A name in an open folder; `path` is where that is, seen from the root, free of links."""

    folder: int
    name: bytes
    path: tuple[bytes, ...]

    def lstat(self) -> os.stat_result | None:
        """What stands there; None where nothing does."""
        try:
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None


class Root:
    """The folder `path`. Use as a context."""

    def __init__(self, path: Path) -> None:
        self._top = os.open(path, _FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._top)

    @contextmanager
    def folder(self, names: tuple[bytes, ...]) -> Iterator[int]:
        """The folder of a path that is free of links, opened. Raises OSError."""
        opened = os.dup(self._top)
        try:
            for name in names:
                inner = os.open(name, _FOLDER, dir_fd=opened)
                os.close(opened)
                opened = inner
            yield opened
        finally:
            os.close(opened)

    @contextmanager
    def place(self, names: list[bytes], *, create: bool = False) -> Iterator[Place]:
        """Where `names` leads: the links on the way are followed, the last name is not.

        With `create`, folders that are missing on the way are made; and what is in their way, but is no folder, goes.

        Raises:
            OSError: a folder on the way is missing, or links lead round in circles.
        """
        *above, last = names
        path = self._resolved(above, create=create)
        with self.folder(path) as folder:
            yield Place(folder=folder, name=last, path=(*path, last))

    def _resolved(self, names: list[bytes], *, create: bool) -> tuple[bytes, ...]:
        """The path of the folder to which `names` lead, free of links."""
        found: list[bytes] = []
        opened = [self._top]
        left = list(reversed(names))
        links = 0
        try:
            while left:
                name = left.pop()
                if name == b"..":
                    if found:
                        found.pop()
                        os.close(opened.pop())
                    continue
                place = Place(folder=opened[-1], name=name, path=(*found, name))
                target = _link(place)
                if target is None:
                    if len(found) >= MAX_DEPTH:
                        raise OSError(errno.ENAMETOOLONG, f"leads more than {MAX_DEPTH} folders deep")
                    if create:
                        _make_folder(place)
                    opened.append(os.open(name, _FOLDER, dir_fd=place.folder))
                    found.append(name)
                    continue
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), b"/".join(names))
                if target.startswith(b"/"):
                    found.clear()
                    while len(opened) > 1:
                        os.close(opened.pop())
                left += reversed([part for part in target.split(b"/") if part not in (b"", b".")])
            return tuple(found)
        finally:
            for folder in opened[1:]:
                os.close(folder)


def _link(place: Place) -> bytes | None:
    try:
        return os.readlink(place.name, dir_fd=place.folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is no link
            raise
        return None


def _make_folder(place: Place) -> None:
    info = place.lstat()
    if info is not None and not stat.S_ISDIR(info.st_mode):
        os.unlink(place.name, dir_fd=place.folder)
        info = None
    if info is None:
        os.mkdir(place.name, _NEW_FOLDER, dir_fd=place.folder)
    else:
        make_enterable(place)


def remove_tree(place: Place) -> None:
    """Remove what stands at `place`, all of it; links in it are removed, not followed."""
    info = place.lstat()
    if info is None:
        return
    if not stat.S_ISDIR(info.st_mode):
        os.unlink(place.name, dir_fd=place.folder)
        return
    # level by level, and not by recursion: a layer may nest folders deeper than a stack
    levels = [_emptied(place)]
    while levels:
        place, folder, inner = levels[-1]
        if inner:
            levels.append(_emptied(Place(folder=folder, name=inner.pop(), path=())))
            continue
        os.close(folder)
        levels.pop()
        os.rmdir(place.name, dir_fd=place.folder)


def _emptied(place: Place) -> tuple[Place, int, list[bytes]]:
    """A folder, opened, in which nothing is left but the folders that are listed."""
    make_enterable(place)
    folder = os.open(place.name, _FOLDER, dir_fd=place.folder)
    inner: list[bytes] = []
    for child in children(folder):
        info = child.lstat()
        if info is not None and stat.S_ISDIR(info.st_mode):
            inner.append(child.name)
        else:
            os.unlink(child.name, dir_fd=folder)
    return place, folder, inner


def children(folder: int) -> Iterator[Place]:
    """What stands in an open folder."""
    for name in os.listdir(folder):
        yield Place(folder=folder, name=os.fsencode(name), path=())


def make_enterable(place: Place) -> None:
    """Let ourselves into a folder that may deny it: who is not root made it so."""
    info = place.lstat()
    if info is not None and info.st_mode & 0o700 != 0o700:
        os.chmod(place.name, stat.S_IMODE(info.st_mode) | 0o700, dir_fd=place.folder)
