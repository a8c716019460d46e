"""Temporary folders that are cleared away even if their run is killed: by the next run.

Rule 1. A folder is ours by its name, by its owner, and by a mark in it, which its process keeps locked. The kernel
        frees the lock with the process, however that ends. What lacks one of these is somebody else's, and stays.
Rule 2. The mark appears under its name only when it is locked, and the lock was tried: no folder that is being made, or
        whose lock does nothing, is taken for a dead one.
Rule 3. Where the file system's locks do nothing, nobody can be told dead, and nothing is removed.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PREFIX: Final = "deltapress-"
_SUFFIX: Final = ".work"
_NAME: Final = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]+" + re.escape(_SUFFIX))
_MARK: Final = ".deltapress-at-work"
_NEW_MARK: Final = ".deltapress-at-work.new"
_OPEN: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def scratch_folder(place: Path | None = None) -> Iterator[Path]:
    """A new folder in `place`, or where the system has temporary files (TMPDIR), which goes in the end.

    What killed runs have left beside it is removed first. Raises OSError.
    """
    remove_dead(place)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=place))
    try:
        mark = os.open(folder / _NEW_MARK, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if _take(mark) and _is_kept_from_others(folder / _NEW_MARK):
                (folder / _NEW_MARK).rename(folder / _MARK)
            yield folder
        finally:
            with suppress(FileNotFoundError):  # a cleaner of temporary files was faster
                shutil.rmtree(folder)
            os.close(mark)  # only now: a folder that is half removed is still ours
    except BaseException:  # an interrupt too must leave no folder behind
        shutil.rmtree(folder, ignore_errors=True)  # the failure that is on its way says more
        raise


def remove_dead(place: Path | None = None) -> None:
    """Remove the folders of this user in `place`, or in TMPDIR, whose runs were killed. Raises OSError."""
    above = tempfile.gettempdir() if place is None else place
    with os.scandir(above) as entries:
        folders = [Path(entry.path) for entry in entries if _NAME.fullmatch(entry.name)]
    for folder in folders:
        # another user's, or gone meanwhile, or not to be removed: it costs room, and nothing else
        with suppress(OSError):
            _remove_if_dead(folder)


def _remove_if_dead(folder: Path) -> None:
    mark = os.open(folder / _MARK, _OPEN)
    try:
        are_ours = {os.lstat(folder).st_uid, os.fstat(mark).st_uid} == {os.geteuid()}
        if are_ours and _take(mark) and _is_kept_from_others(folder / _MARK):
            shutil.rmtree(folder)  # which follows no links
    finally:
        os.close(mark)


def _take(mark: int) -> bool:
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return False
    return True


def _is_kept_from_others(mark: Path) -> bool:
    """True where a lock that is held cannot be taken a second time."""
    other = os.open(mark, _OPEN)
    try:
        return not _take(other)
    finally:
        os.close(other)
