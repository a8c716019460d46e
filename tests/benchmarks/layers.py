"""Trees of files, written as layers: the same bytes on every machine.

Nothing in a layer comes from here: names are sorted, everything belongs to root, and times are the tree's own.
"""

import gzip
import shutil
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

LONG_AGO = 1_700_000_000
"""The time of every entry whose tree says nothing else, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of a tree. `link` is the target of a symbolic (SYMTYPE) or hard link (LNKTYPE, a path of the tree)."""

    type: bytes = tarfile.REGTYPE
    data: bytes = b""
    link: str = ""
    mode: int = 0o644
    mtime: int = LONG_AGO


Tree = Mapping[str, Entry]
"""Entries by path: relative, `/` between the names, no `.` and no `..`. Directories may be left out."""


def write_layer(tree: Tree, folder: Path, name: str) -> None:
    """Write `tree` as `name`.tar and `name`.tar.gz (level 6, no date) into `folder`."""
    plain, packed = folder / f"{name}.tar", folder / f"{name}.tar.gz"
    entries = {**{path: Entry(type=tarfile.DIRTYPE, mode=0o755) for path in _directories(tree)}, **tree}
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(entries):
            entry = entries[path]
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.mtime, info.linkname = entry.type, entry.mode, entry.mtime, entry.link
            info.size = len(entry.data)
            tar.addfile(info, BytesIO(entry.data))
    with plain.open("rb") as source, packed.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, 0) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def read_tar(tar: tarfile.TarFile, *, keep_times: bool = False) -> dict[str, Entry]:
    """The files, directories and links of a tar; of names that share a file, the first one in order holds it."""
    tree: dict[str, Entry] = {}
    shared: dict[str, list[str]] = {}
    for member in tar:
        path = str(PurePosixPath(member.name))
        if path == ".":
            continue
        link, data = member.linkname, b""
        if member.islnk():
            shared.setdefault(str(PurePosixPath(link)), []).append(path)
            continue
        if member.isreg() and (content := tar.extractfile(member)) is not None:
            data = content.read()
        if member.isreg() or member.isdir() or member.issym():
            mtime = int(member.mtime) if keep_times else LONG_AGO
            tree[path] = Entry(type=member.type, data=data, link=link, mode=member.mode & 0o7777, mtime=mtime)
    for target, names in shared.items():
        first, *others = sorted([target, *names])
        held = tree.pop(target)
        tree[first] = held
        for name in others:
            tree[name] = Entry(type=tarfile.LNKTYPE, link=first, mode=held.mode, mtime=held.mtime)
    return tree


def _directories(tree: Tree) -> set[str]:
    above = {parent for path in tree for parent in PurePosixPath(path).parents}
    return {str(path) for path in above - {PurePosixPath()}}
