"""By what a layout is known again without being read: what it holds is the same when its identity is.

Of a directory that is its index.json, which names everything else by digest; of an archive, the file as the file system
knows it. That all of it is there is not looked at.
"""

import stat
from pathlib import Path

from ..content import open_plain
from ..oci.digest import Digest
from .refs import MAX_INDEX_SIZE


def identity_of(layout: Path) -> str | None:
    """None for what must be looked at to be known."""
    try:
        info = layout.stat()
        if stat.S_ISREG(info.st_mode):
            return f"{info.st_dev} {info.st_ino} {info.st_size} {info.st_mtime_ns}"
        with open_plain(layout / "index.json") as file:
            raw = file.read(MAX_INDEX_SIZE + 1)
        is_whole = len(raw) <= MAX_INDEX_SIZE and stat.S_ISDIR((layout / "blobs").stat().st_mode)
    except OSError:
        return None
    return str(Digest.of(raw)) if is_whole else None
