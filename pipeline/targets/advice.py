"""What a failed call of the file system means for the person who runs us.

Rule. The advice comes from the call that failed, not from its errno alone: EINVAL of a name is a refused ':', EINVAL of
      fsync a file system that cannot flush, and EACCES may be either's. Calls on names need no word of theirs.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from .base import TargetError

_COLLISION: Final = (
    "a file stands where this key needs a folder, or a folder where it needs a file; remove what somebody has put "
    "there, or, where two names of the tree collide (a repository a/manifests and a tag of the repository a do), "
    "rename one"
)
_ANY: Final = {
    errno.ENOSPC: "the disk is full; make room and run again, what is complete was kept",
    errno.EDQUOT: "the disk quota is used up; make room and run again, what is complete was kept",
    errno.EFBIG: "the file is larger than the file system or a limit (ulimit -f) allows; raise the limit",
    errno.EROFS: "the file system is read-only; mount it for writing",
}
_NAMES: Final = {
    errno.EACCES: "permission denied; run as the owner of the folder, or let this user write there",
    errno.EPERM: "permission denied; run as the owner of the folder, or let this user write there",
    errno.ENAMETOOLONG: "the file system takes no name as long as this; use a shorter repository name or tag",
    errno.ELOOP: "a symbolic link stands in its path, and none is followed in the tree; remove the link",
    errno.EINVAL: "the file system refuses this name; the ':' of digests is not allowed on NTFS, FAT and SMB: publish "
    "to a Linux file system or to a bucket",
    errno.ENOTDIR: _COLLISION,
    errno.EISDIR: _COLLISION,
    errno.EEXIST: _COLLISION,
    errno.ENOTEMPTY: _COLLISION,
}
# by the call, where it is none on a name
_CALLS: Final = {
    "fsync": "cannot be flushed to the disk, so it could be lost in a power cut; publish to another file system, or to "
    "another mount of this one",
    "flock": "the file system offers no locks; publish to one that does (of NFS, version 4)",
    "chmod": "cannot be made readable for a web server; mount the file system so that others may read (such as "
    "umask=022), or run as the owner of the folder",
    "utime": "cannot be given the time by which readers notice a change; run as the owner of the folder, or publish to "
    "another file system",
}


@contextmanager
def during(call: str) -> Iterator[None]:
    """Name the system call from which an OSError comes, for `target_error`."""
    try:
        yield
    except OSError as error:
        error.add_note(call)
        raise


def target_error(error: OSError, key: str | None, url: str) -> TargetError:
    """`error` in words that say what to do."""
    call = next(iter(getattr(error, "__notes__", ())), None)
    said = error.strerror or str(error)
    known = _ANY.get(error.errno or 0)
    if known is None and call is None:
        known = _NAMES.get(error.errno or 0, said)
    elif known is None:
        known = f"{_CALLS[call]} ({call}: {said})" if call in _CALLS else f"{call} failed: {said}"
    return TargetError(f"{known} (target {url})", key=key)
