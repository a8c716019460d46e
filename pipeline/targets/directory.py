"""A folder that a web server serves.

Rule 1. Bytes are written to a temporary file in the key's own folder, flushed, renamed, and the folder is flushed: a
        reader sees the old file or the new one, and so does the machine after a power cut. Servers hide the temporary
        file, because its name begins with a dot.
Rule 2. A file that holds the wanted bytes is not touched: its inode and its time, which make a server's ETag, stay.
Rule 3. Clients compare a file's time in whole seconds (RFC 9110, section 8.8.2), and nginx's ETag is time and size. So
        what replaces a file is at least a second younger, and only what never changes may be a hard link, which has its
        partner's time.
Rule 4. A link is made only to a file of this user that holds the very bytes: neither another user's file nor a damaged
        one gets a name in the tree.
Rule 5. Keys that are links have a link's text as their content (see `symlinks`); no other link is read or followed.
Rule 6. What a run has read or written of a file that changes is remembered by time and size: by rule 3, whatever a
        rival writes has another time. So a lost update is noticed where the file system's locks do nothing.
"""

import io
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from ..content import CHUNK, Content
from ..keys import PRIVATE, Headers, Key, is_link
from ..oci.digest import Digest
from .advice import target_error
from .base import (
    LOCK_KEY,
    TEMPORARY_PREFIX,
    KeyMissingError,
    LockInfo,
    LostUpdateError,
    Properties,
    Stored,
    TargetError,
)
from .checks import MAX_KEY, check_key, is_key, verified
from .files import (
    NEW_FILE,
    READ,
    WRITE,
    flush,
    flush_folder,
    holds,
    lstat,
    make_readable,
    make_younger,
    unreadable,
    write_all,
)
from .flock import last_holder, locked
from .folders import Folders
from .holder import Holder
from .symlinks import check_link, put_link, read_link

_TEMPORARY: Final = re.compile(re.escape(TEMPORARY_PREFIX) + r"[0-9a-f]{16}\.tmp")
# the first part of every key that has several
_OWN_FOLDERS: Final = ("v2", "index", PRIVATE)
_NO_FLUSH: Final = (
    "the file system cannot flush folders: after a power cut, files that were written just before may be missing; then "
    "publish with --repair"
)
_CONCURRENCY: Final = 4  # the calls wait for the disk, not for the processor


class DirectoryTarget:
    """The files below `path`, which is made at the first write. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self.url = str(path)
        self._folders = Folders(path)
        # Held while a folder's first file comes or its last one goes: no `put` may lose the folder that it has entered.
        self._shape = threading.Lock()
        self._seen: dict[Key, _Version | None] = {}
        self._holder: Holder | None = None

    @property
    def properties(self) -> Properties:
        return Properties(stores_headers=False, folds_case=self._folds_case(), concurrency=_CONCURRENCY)

    def _folds_case(self) -> bool:
        """Known once there is a lock file, since that answers to another name then."""
        *parts, name = LOCK_KEY.split("/")
        with self._translated(LOCK_KEY), suppress(FileNotFoundError), self._folders.opened(parts) as folder:
            lock, other = lstat(folder, name), lstat(folder, name.upper())
            return lock is not None and other is not None and os.path.samestat(lock, other)
        return False

    def open(self, key: Key) -> BinaryIO:
        with self._translated(key):
            if (text := self._link_text(key)) is not None:
                return io.BytesIO(text)
            file = self._open_file(key)
        self._seen[key] = None if file is None else _Version.of(os.fstat(file))
        if file is None:
            raise KeyMissingError(key)
        return cast(BinaryIO, io.BufferedReader(_Reader(file, key, self.url), CHUNK))

    def stat(self, key: Key) -> Stored | None:
        with self._translated(key):
            if (text := self._link_text(key)) is not None:
                return Stored(size=len(text), problem=self._closed(key))
            file = self._open_file(key)
            if file is None:
                return None
            try:
                info = os.fstat(file)
            finally:
                os.close(file)
            return Stored(size=info.st_size, problem=self._problem(key, info))

    def put(self, key: Key, content: Content, headers: Headers, *, digest: Digest, same_as: Key | None = None) -> None:
        *parts, name = check_key(key)
        source = None if same_as is None else check_key(same_as)
        is_lasting = headers.is_immutable
        with self._translated(key):
            if is_link(key) and self._put_link(key, content, digest):
                return
            if self._is_stored(parts, name, content.size, digest):
                self._seen.pop(key, None)
                return
            try:
                self._write(key, content, digest, is_lasting=is_lasting, source=source)
            except FileNotFoundError as error:
                # folders are made where they are missing: only a rival who takes us for dead removes what is ours
                raise LostUpdateError(key, self._rival()) from error

    def delete(self, key: Key) -> None:
        *parts, name = check_key(key)
        self._seen.pop(key, None)
        with self._translated(key), self._shape, suppress(FileNotFoundError, NotADirectoryError):
            with self._folders.opened(parts) as folder:
                present = lstat(folder, name)
                if present is None or stat.S_ISDIR(present.st_mode):
                    return
                os.unlink(name, dir_fd=folder)
                flush_folder(folder)
            self._folders.remove_empty(parts)

    def keys(self) -> Iterator[Key]:
        return (Key(path) for path in self._walk([]) if is_key(path))

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        *parts, name = LOCK_KEY.split("/")
        with ExitStack() as stack:
            with self._translated(LOCK_KEY):
                folder = stack.enter_context(self._folders.opened(parts, create=True))
                taken = stack.enter_context(locked(folder, name, now=now, wait=wait))
                if taken.has_died:
                    self._remove_leftovers()
                can_flush = flush_folder(folder)
            self._seen.clear()  # what was seen without the lock may have been changed under it
            self._holder = Holder.this_process(now)
            # that of the file server, where there is one
            clock = datetime.fromtimestamp(taken.written, UTC)
            caveats = () if can_flush else (f"{self.url}: {_NO_FLUSH}",)
            yield LockInfo(last=taken.last.since if taken.last else None, clock=clock, caveats=caveats)

    def _problem(self, key: Key, info: os.stat_result) -> str | None:
        """Why a web server cannot read the file, None where it can."""
        *parts, _ = check_key(key)
        if (problem := self._closed(key)) is not None:
            return problem
        with self._folders.opened(parts) as folder:
            return unreadable(info, folder)

    def _closed(self, key: Key) -> str | None:
        """Why a web server cannot come to the key, None where it can."""
        *parts, _ = check_key(key)
        closed = self._folders.closed(parts)
        return closed and f"cannot be read by a web server: only its owner can enter the folder {closed}"

    def _link_text(self, key: Key) -> bytes | None:
        """Where the key's link leads; None where it has none."""
        *parts, name = check_key(key)
        return read_link(self._folders, parts, name) if is_link(key) else None

    def _put_link(self, key: Key, content: Content, digest: Digest) -> bool:
        """False where there can be no links. What a rival has written meanwhile shows in the file of the tag."""
        *parts, name = check_key(key)
        way = check_link(key, b"".join(verified(key, content, digest)))
        return put_link(self._folders, parts, name, way, temporary=_temporary_name(), shape=self._shape)

    def _open_file(self, key: Key) -> int | None:
        """A descriptor; None where nothing is, or a folder, since a key may be the beginning of others."""
        *parts, name = check_key(key)
        try:
            with self._folders.opened(parts) as folder:
                file = os.open(name, READ, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        mode = os.fstat(file).st_mode
        if stat.S_ISREG(mode):
            return file
        os.close(file)
        if stat.S_ISDIR(mode):
            return None
        raise TargetError("is neither a file nor a folder; remove what was put there", key=key)

    def _write(
        self, key: Key, content: Content, digest: Digest, *, is_lasting: bool, source: Sequence[str] | None
    ) -> None:
        *parts, name = check_key(key)
        with self._temporary(parts) as (folder, temporary, file):
            present = lstat(folder, name)
            if not is_lasting and self._is_changed(key, folder, name, present):
                raise LostUpdateError(key, self._rival())
            self._seen.pop(key, None)  # until the write has succeeded: a failure may come after the effect
            may_link = is_lasting and not present
            if not (source and may_link and self._link(source, folder, temporary, content.size, digest)):
                for data in verified(key, content, digest):
                    write_all(file, data)
                make_readable(file, folder)
                if present:
                    make_younger(file, present)
                flush(file)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            flush_folder(folder)
            if not is_lasting:
                self._seen[key] = _Version.of(os.fstat(file), digest)

    def _is_stored(self, parts: Sequence[str], name: str, size: int, digest: Digest) -> bool:
        try:
            with self._folders.opened(parts, open_up=True) as folder:
                if not holds(folder, name, size, digest):
                    return False
                flush_folder(folder)  # the run that wrote it may have been killed just before it did so
                return True
        except FileNotFoundError:
            return False

    def _is_changed(self, key: Key, folder: int, name: str, present: os.stat_result | None) -> bool:
        """True if somebody else has written or removed the file since this run has read or written it."""
        if key not in self._seen:
            return False
        seen = self._seen[key]
        if present is not None and stat.S_ISDIR(present.st_mode):
            present = None  # as `open` takes it; the write says that a folder is in its way
        if seen is None or present is None:
            return (seen is None) != (present is None)
        if seen.is_of(present):
            return False
        # a file server may keep times less exactly than it first says
        return seen.digest is None or not holds(folder, name, present.st_size, seen.digest)

    def _rival(self) -> Holder | None:
        """Who has taken the lock after this run, as far as that can be told."""
        *parts, name = LOCK_KEY.split("/")
        try:
            with self._folders.opened(parts) as folder:
                holder = last_holder(folder, name)
        except OSError:
            return None
        return None if holder == self._holder else holder

    @contextmanager
    def _temporary(self, parts: Sequence[str]) -> Iterator[tuple[int, str, int]]:
        """The open folder, and in it a new empty file: its name and descriptor. Unless renamed, it goes in the end."""
        name = _temporary_name()
        with ExitStack() as stack:
            with self._shape:
                folder = stack.enter_context(self._folders.opened(parts, create=True))
                file = os.open(name, WRITE, NEW_FILE, dir_fd=folder)
            stack.callback(os.close, file)
            try:
                yield folder, name, file
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)

    def _link(self, source: Sequence[str], folder: int, temporary: str, size: int, digest: Digest) -> bool:
        """Make `temporary` a link to `source` if that may be; what was linked is checked, not what may be swapped."""
        spare = _temporary_name()
        try:
            with self._folders.opened(source[:-1]) as beside:
                os.link(source[-1], spare, src_dir_fd=beside, dst_dir_fd=folder, follow_symlinks=False)
        except OSError:
            return False  # another device, too many links, no links at all, no source: a copy is as good
        try:
            linked = lstat(folder, spare)
            if not linked or linked.st_uid != os.geteuid() or not holds(folder, spare, size, digest):
                return False
            os.rename(spare, temporary, src_dir_fd=folder, dst_dir_fd=folder)
            return True
        finally:
            with suppress(FileNotFoundError):
                os.unlink(spare, dir_fd=folder)

    def _walk(self, parts: Sequence[str]) -> Iterator[str]:
        """The paths of all files below the folder `parts`, in order, as deep as keys reach."""
        prefix = "".join(f"{part}/" for part in parts)
        if len(prefix) > MAX_KEY:
            return
        with self._translated(prefix or None):
            try:
                files, folders, links = self._folders.entries(parts)
            except FileNotFoundError:
                return  # removed meanwhile, or nothing was ever written
        files += [link for link in links if is_link(prefix + link)]
        for name in sorted([*files, *(f"{folder}/" for folder in folders)]):
            if name.endswith("/"):
                yield from self._walk([*parts, name[:-1]])
            else:
                yield prefix + name

    def _remove_leftovers(self) -> None:
        """Remove temporary files, but only where this target makes some: another one may lie in a folder beside."""
        files, folders, _ = self._folders.entries([])
        ours = (path for folder in folders if folder in _OWN_FOLDERS for path in self._walk([folder]))
        for path in (*files, *ours):
            *parts, name = path.split("/")
            if _TEMPORARY.fullmatch(name):
                with self._folders.opened(parts) as folder:
                    os.unlink(name, dir_fd=folder)
                self._folders.remove_empty(parts)

    @contextmanager
    def _translated(self, key: str | None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise target_error(error, key, self.url) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    """Some bytes of a file, told by its time and size; `digest` is that of what this run wrote itself."""

    modified: int
    size: int
    digest: Digest | None

    @classmethod
    def of(cls, info: os.stat_result, digest: Digest | None = None) -> Self:
        return cls(modified=info.st_mtime_ns, size=info.st_size, digest=digest)

    def is_of(self, info: os.stat_result) -> bool:
        return (self.modified, self.size) == (info.st_mtime_ns, info.st_size)


class _Reader(io.FileIO):
    """A file whose read errors are the target's."""

    def __init__(self, file: int, key: Key, url: str) -> None:
        super().__init__(file, "rb")
        self._key, self._url = key, url

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise target_error(error, self._key, self._url) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise target_error(error, self._key, self._url) from error


def _temporary_name() -> str:
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}.tmp"
