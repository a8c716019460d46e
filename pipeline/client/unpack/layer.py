"""One layer on top of those below it (image-spec, layer.md).

Rule 1. What is in the way of an entry is removed, unless both are folders. Folders on the way are made.
Rule 2. Whiteouts take away what lower layers brought, wherever they stand in the layer; never what the same layer did.
Rule 3. Only who is root can give files away and make devices; for others, what cannot be done is counted and told.
Rule 4. Attributes of folders come last, since a folder may deny what is still to be put into it.
"""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ...errors import DeltapressError
from ...tardiff.layer.metadata import Metadata, metadata_of
from ...tardiff.layer.tar import Entry, Kind, TarReader, names_of
from .rooted import Place, Root, children, remove_tree

MAX_ENTRIES: Final = 2_000_000
_MAX_PATH: Final = 4095  # PATH_MAX
_WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_META: Final = b".wh..wh."  # aufs keeps its own files under such names
_CHARACTER, _BLOCK, _FIFO = b"3", b"4", b"6"
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# what a file system, or one who is not root, may refuse; and labels are the policy's of the machine, not the image's
_REFUSALS: Final = frozenset({errno.EOPNOTSUPP, errno.EPERM, errno.EACCES})
# what no file system takes: names, values and numbers that are too long, too large or of no meaning
_IMPOSSIBLE: Final = frozenset({errno.EINVAL, errno.ERANGE, errno.E2BIG})
# what an entry is at fault for, and no disk
_FAULTS: Final = _IMPOSSIBLE | {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
_NOT_OURS: Final = "security.selinux"


class UnpackError(DeltapressError):
    """A layer that cannot be unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What a folder gets in the end."""

    mode: int
    metadata: Metadata


@dataclass(slots=True)
class Unpacking:
    """The files so far. `left_out` counts what could not be made, by what it is."""

    root: Root
    is_root: bool
    folders: dict[tuple[bytes, ...], Attributes] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    entries: int = 0

    def layer(self, reader: TarReader) -> None:
        """Put the layer of `reader` on top.

        Raises:
            UnpackError, TarError: it cannot be unpacked.
            OSError: the disk is full, say.
        """
        own: set[tuple[bytes, ...]] = set()
        for entry in reader:
            self.entries += 1
            if self.entries > MAX_ENTRIES:
                raise UnpackError(f"the image has more than {MAX_ENTRIES:,} entries")
            names = _names(entry.path)
            if not names:
                if entry.kind is Kind.DIRECTORY:
                    self.folders[()] = Attributes(mode=entry.mode, metadata=metadata_of(*reader.attributes))
                continue
            is_whiteout = names[-1].startswith(_WHITEOUT)
            try:
                with self.root.place(names, create=not is_whiteout) as place:
                    self._entry(entry, reader, place, own)
            except OSError as error:
                if is_whiteout and error.errno in (errno.ENOENT, errno.ENOTDIR):
                    continue  # in a folder that is not there, nothing is to be taken away
                if error.errno not in _FAULTS:
                    raise
                raise UnpackError(f"{_shown(entry.path)}: cannot be unpacked ({error.strerror})") from error

    def finish(self) -> None:
        """Give the folders their attributes, the innermost first."""
        for path in sorted(self.folders, key=len, reverse=True):
            attributes = self.folders[path]
            # one that an upper layer has removed is not there, or is something else
            with suppress(FileNotFoundError, NotADirectoryError), self.root.folder(path) as folder:
                self._set(folder, attributes.mode, attributes.metadata)

    def _entry(self, entry: Entry, reader: TarReader, place: Place, own: set[tuple[bytes, ...]]) -> None:
        if place.name == _OPAQUE:
            for child in children(place.folder):
                self._remove_lower(child, (*place.path[:-1], child.name), own)
        elif place.name.startswith(_META):
            pass
        elif place.name.startswith(_WHITEOUT):
            name = place.name.removeprefix(_WHITEOUT)
            if name in (b"", b".", b".."):
                raise UnpackError(f"a whiteout names nothing: {place.name!r}")
            path = (*place.path[:-1], name)
            self._remove_lower(Place(folder=place.folder, name=name, path=path), path, own)
        else:
            for end in range(len(place.path), 0, -1):
                if (path := place.path[:end]) in own:
                    break
                own.add(path)
                self.entries += end < len(place.path)  # folders that come along are bounded as entries are
            self._make(entry, reader, place)

    def _remove_lower(self, place: Place, path: tuple[bytes, ...], own: set[tuple[bytes, ...]]) -> None:
        """Remove what stands there but for what this layer has brought."""
        if path not in own:
            self.folders.pop(path, None)
            remove_tree(place)
            return
        info = place.lstat()
        if info is None or not stat.S_ISDIR(info.st_mode):
            return
        with self.root.folder(path) as folder:
            for child in children(folder):
                self._remove_lower(child, (*path, child.name), own)

    def _make(self, entry: Entry, reader: TarReader, place: Place) -> None:
        metadata = metadata_of(*reader.attributes)
        present = place.lstat()
        if entry.kind is Kind.DIRECTORY:
            if present is None or not stat.S_ISDIR(present.st_mode):
                self._clear(place, present)
                os.mkdir(place.name, 0o700, dir_fd=place.folder)
            self.folders[place.path] = Attributes(mode=entry.mode, metadata=metadata)
            return
        if entry.is_sparse:
            raise UnpackError(f"{_shown(entry.path)}: a sparse file, which layers should not have, is not unpacked")
        if entry.kind is Kind.HARD_LINK:
            self._link(entry, place, present)
            return
        self._clear(place, present)
        if entry.kind is Kind.FILE:
            file = os.open(place.name, _NEW, 0o600, dir_fd=place.folder)
            try:
                for data in reader.data():
                    _write_all(file, data)
                self._set(file, entry.mode, metadata)
            finally:
                os.close(file)
        elif entry.kind is Kind.SYMLINK:
            os.symlink(entry.link, place.name, dir_fd=place.folder)
            self._sign(place, metadata)
        else:
            self._special(entry, place, metadata)

    def _link(self, entry: Entry, place: Place, present: os.stat_result | None) -> None:
        names = _names(entry.link)
        if not names:
            raise UnpackError(f"{_shown(entry.path)}: is a hard link to nothing")
        try:
            with self.root.place(names) as target:
                found = target.lstat()
                if found is None or stat.S_ISDIR(found.st_mode):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
                if present is not None and os.path.samestat(present, found):
                    return
                self._clear(place, present)
                os.link(
                    target.name, place.name, src_dir_fd=target.folder, dst_dir_fd=place.folder, follow_symlinks=False
                )
        except FileNotFoundError as error:
            problem = f"is a hard link to {_shown(entry.link)}, which is not there"
            raise UnpackError(f"{_shown(entry.path)}: {problem}") from error

    def _special(self, entry: Entry, place: Place, metadata: Metadata) -> None:
        kinds = {_CHARACTER: stat.S_IFCHR, _BLOCK: stat.S_IFBLK, _FIFO: stat.S_IFIFO}
        kind = kinds.get(metadata.type)
        if kind is None:
            self.left_out["entries of unknown type"] += 1
            return
        if kind != stat.S_IFIFO and not self.is_root:
            self.left_out["devices"] += 1
            return
        try:
            os.mknod(place.name, kind | 0o600, os.makedev(*metadata.device), dir_fd=place.folder)
        except OverflowError:
            self.left_out["devices"] += 1
            return
        except OSError as error:
            if error.errno not in _REFUSALS | _IMPOSSIBLE:  # root of a container; a number that no device has
                raise
            self.left_out["devices"] += 1
            return
        self._sign(place, metadata)
        os.chmod(place.name, entry.mode, dir_fd=place.folder)

    def _sign(self, place: Place, metadata: Metadata) -> None:
        """Owner and time of what is not opened."""
        folder, modified = place.folder, metadata.modified
        self._own(lambda: os.chown(place.name, metadata.uid, metadata.gid, dir_fd=folder, follow_symlinks=False))
        os.utime(place.name, ns=(modified, modified), dir_fd=folder, follow_symlinks=False)

    def _set(self, file: int, mode: int, metadata: Metadata) -> None:
        """Owner first, since a change of it takes setuid away; then the mode, and the time last."""
        self._own(lambda: os.chown(file, metadata.uid, metadata.gid))
        for name, value in metadata.xattrs.items():
            if name == _NOT_OURS:
                continue
            try:
                os.setxattr(file, name, value)
            except OSError as error:
                if error.errno not in _REFUSALS | _IMPOSSIBLE:
                    raise
                self.left_out["extended attributes"] += 1
        os.chmod(file, mode)
        os.utime(file, ns=(metadata.modified, metadata.modified))

    def _own(self, chown: Callable[[], None]) -> None:
        if not self.is_root:
            return
        try:
            chown()
        except OverflowError:  # a number that no user has
            self.left_out["owners"] += 1
        except OSError as error:
            if error.errno not in _REFUSALS | {errno.EINVAL}:  # a user who is not mapped into this container
                raise
            self.left_out["owners"] += 1

    def _clear(self, place: Place, present: os.stat_result | None) -> None:
        if present is not None:
            self.folders.pop(place.path, None)
            remove_tree(place)


def _names(path: bytes) -> list[bytes]:
    """The names in a path. Raises UnpackError for one that no disk can hold, or that leads upwards."""
    names = names_of(path)
    if len(path) > _MAX_PATH or b".." in names or b"\0" in path:
        raise UnpackError(f"{_shown(path)}: is no path inside of an image")
    return names


def _shown(path: bytes) -> str:
    return path[:200].decode(errors="backslashreplace")


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
