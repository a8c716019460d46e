"""The replay of a layer's entries, as containers/storage does it: a model of the tree, and regular files on the disk.

Rule 1. What is in the way of an entry is removed, unless both are directories. Missing parents are made.
Rule 2. Whiteouts remove what lower layers brought; they are no files themselves (image-spec, layer.md, "Whiteouts").
Rule 3. A hard link shares what its target is *now*. Where the target is missing (it lies in a layer that is not here)
        nothing is known about the link's path any more.
Rule 4. Where clients differ, a path is *unclear*: no source, and nothing below it either, until an entry names it
        again. So is: a path reached through a symlink or a file, an absolute one or one with "..", an unknown kind of
        entry, a whiteout of what the same layer brought.
Rule 5. Symlinks live in the model only. The directory never holds one, so nothing can be written or read through it.
Rule 6. No sources: empty and sparse files, files that others may not read (their mode lacks o+r; clients need not be
        root), a file of which another hard link was replaced in the same layer, and names that some decoder refuses.

Our own files have modes 0600 and 0700 whatever the tar says. Devices and FIFOs are never made.
"""

import errno
import hashlib
import os
from collections import deque
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..errors import DeltapressError
from .format import MAX_PATH, normalised
from .tar import Entry, Kind, TarReader, names_of

MAX_NODES = 1_000_000
"""Files, directories and links in one tree; parents that no entry names count too."""

_WHITEOUT = b".wh."
_META = b".wh..wh."  # aufs keeps its own files under such names; only the opaque mark means anything
_OPAQUE = b".wh..wh..opq"
_MAX_SYMLINKS = 40
_NAME_MAX = 255
_DISK_PATH_MAX = 4095


class ExtractError(DeltapressError):
    """Old layers that cannot be extracted into `directory`."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"cannot extract into {directory}: {reason}")
        self.directory = directory
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that deltas may read: its path in the tree, its size in bytes (never 0), the SHA-256 of its content."""

    path: bytes
    size: int
    digest: bytes


class _Is(Enum):
    DIRECTORY = 0
    FILE = 1
    SYMLINK = 2
    OTHER = 3  # a device or FIFO: something is there, and it is no source
    UNCLEAR = 4


@dataclass(slots=True)
class _Content:
    """What hard links share."""

    size: int
    digest: bytes = b""
    is_usable: bool = True
    links: int = 1


class _Node:
    __slots__ = ("children", "content", "emptied_by", "is_on_disk", "kind", "layer", "link")

    def __init__(self, kind: _Is, layer: int, *, link: bytes = b"", content: _Content | None = None) -> None:
        self.kind = kind
        self.layer = layer
        self.link = link
        self.content = content
        self.children: dict[bytes, _Node] = {}
        self.is_on_disk = False
        self.emptied_by = 0  # the last layer whose opaque mark was seen here; the lowest one's means nothing


class Replay:
    """The tree while entries come in."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._disk = os.fsencode(directory)
        self._max_bytes = max_bytes
        self._stored = 0
        self._nodes = 0
        self._root = _Node(_Is.DIRECTORY, 0)
        self._root.is_on_disk = True

    def entry(self, entry: Entry, reader: TarReader, layer: int) -> None:
        """Do what unpacking `entry` of layer number `layer` does."""
        parts = names_of(entry.path)
        if not parts or len(entry.path) > MAX_PATH:
            return  # the root itself, or a path that no client can unpack
        if b".." in parts or entry.path.startswith(b"/"):
            # some clients clean such a path, some follow it, some refuse it
            self._make_unclear(parts, layer)
            self._make_unclear(_cleaned(parts), layer)
            return
        *above, name = parts
        if any(part.startswith(_WHITEOUT) for part in above):
            return
        if name.startswith(_META):
            if name == _OPAQUE:
                self._empty_lower(above, layer)
        elif name.startswith(_WHITEOUT):
            self._white_out([*above, name.removeprefix(_WHITEOUT)], layer)
        elif (parent := self._parent(parts, entry.kind, layer)) is not None:
            self._put(entry, reader, parent, parts, layer)

    def finish(self) -> list[Source]:
        """The sources by path; other files leave the disk."""
        sources = []
        pending: list[tuple[bytes, _Node]] = [(b"", self._root)]
        while pending:
            path, node = pending.pop()
            pending.extend((path + b"/" + name if path else name, child) for name, child in node.children.items())
            content = node.content
            if content is None or not node.is_on_disk:
                continue
            if content.is_usable and normalised(path):
                sources.append(Source(path=path, size=content.size, digest=content.digest))
            else:
                os.unlink(self._disk_path(path))  # noqa: PTH108 - names are bytes
        return sorted(sources, key=lambda source: source.path)

    def _put(self, entry: Entry, reader: TarReader, parent: _Node, parts: list[bytes], layer: int) -> None:
        name = parts[-1]
        there = parent.children.get(name)
        if there is not None and there.kind is _Is.DIRECTORY and entry.kind is Kind.DIRECTORY:
            there.layer = layer
            return
        self._remove(parent, parts, layer)
        if entry.kind is Kind.FILE and not entry.path.endswith(b"/"):
            node = _Node(_Is.FILE, layer, content=_Content(entry.size))
            self._store(entry, reader, node, parts)
        elif entry.kind is Kind.HARD_LINK:
            node = self._hard_link(entry, parts, layer)
        elif entry.kind is Kind.DIRECTORY:
            node = _Node(_Is.DIRECTORY, layer)
        elif entry.kind is Kind.SYMLINK and len(entry.link) < MAX_PATH:
            node = _Node(_Is.SYMLINK, layer, link=entry.link)
        elif entry.kind is Kind.SPECIAL:
            node = _Node(_Is.OTHER, layer)
        else:
            node = _Node(_Is.UNCLEAR, layer)
        self._add(parent, name, node)

    def _hard_link(self, entry: Entry, parts: list[bytes], layer: int) -> _Node:
        target_parts = names_of(entry.link)
        target = None if entry.link.startswith(b"/") else self._find(target_parts)
        if target is None or target.kind not in (_Is.FILE, _Is.SYMLINK):
            return _Node(_Is.UNCLEAR, layer)
        node = _Node(target.kind, layer, link=target.link, content=target.content)
        content = target.content
        if content is not None:
            content.links += 1
            # some clients give the shared file the mode of the link
            content.is_usable = content.is_usable and _is_readable(entry)
            if target.is_on_disk and self._make_parents(parts):
                try:
                    os.link(self._disk_path(b"/".join(target_parts)), self._disk_path(b"/".join(parts)))
                    node.is_on_disk = True
                except OSError as error:
                    if error.errno != errno.EMLINK:
                        raise
        return node

    def _store(self, entry: Entry, reader: TarReader, node: _Node, parts: list[bytes]) -> None:
        content = node.content
        if content is None or not entry.size or entry.is_sparse or not _is_readable(entry):
            if content is not None:
                content.is_usable = False
            return
        self._stored += entry.size
        if self._stored > self._max_bytes:
            raise ExtractError(self._directory, f"its files have more than the allowed {self._max_bytes:,} bytes")
        if not self._make_parents(parts):
            content.is_usable = False
            return
        digest = hashlib.sha256()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(self._disk_path(b"/".join(parts)), flags, 0o600), "wb") as file:
            for piece in reader.data():
                digest.update(piece)
                file.write(piece)
        content.digest = digest.digest()
        node.is_on_disk = True

    def _parent(self, parts: list[bytes], kind: Kind, layer: int) -> _Node | None:
        """The directory that `parts` lies in, made where it is missing; None where clients differ about it."""
        node = self._root
        for name in parts[:-1]:
            child = node.children.get(name)
            if child is None:
                child = _Node(_Is.DIRECTORY, layer)
                self._add(node, name, child)
            if child.kind is not _Is.DIRECTORY:
                self._make_unclear(parts, layer, spare_directory=kind is Kind.DIRECTORY)
                return None
            node = child
        return node

    def _directory_at(self, parts: list[bytes], entry: list[bytes], layer: int) -> _Node | None:
        """The directory at `parts`, None where it is missing or not one; then `entry` may have landed elsewhere."""
        node = self._root
        for name in parts:
            child = node.children.get(name)
            if child is None:
                return None
            if child.kind is not _Is.DIRECTORY:
                self._make_unclear(entry, layer)
                return None
            node = child
        return node

    def _find(self, parts: list[bytes]) -> _Node | None:
        node: _Node | None = self._root
        for name in parts:
            if node is None or node.kind is not _Is.DIRECTORY:
                return None
            node = node.children.get(name)
        return node

    def _make_unclear(self, parts: list[bytes], layer: int, *, spare_directory: bool = False) -> None:
        """Make the place unclear where an entry `parts` lands for a client that follows symlinks in its parents.

        `spare_directory`: the entry is a directory, which does nothing to one that is there.
        """
        pending = deque(parts)
        way: list[tuple[bytes, _Node]] = []
        symlinks = 0
        while pending:
            name = pending.popleft()
            if name == b"..":
                del way[-1:]
                continue
            parent = way[-1][1] if way else self._root
            child = parent.children.get(name)
            if pending and child is not None and child.kind is _Is.DIRECTORY:
                way.append((name, child))
            elif pending and child is not None and child.kind is _Is.SYMLINK:
                symlinks += 1
                if symlinks > _MAX_SYMLINKS:
                    return
                if child.link.startswith(b"/"):
                    way = []
                pending.extendleft(reversed(names_of(child.link)))
            else:
                if not (spare_directory and child is not None and child.kind is _Is.DIRECTORY):
                    self._remove(parent, [*(step for step, _ in way), name], layer)
                    self._add(parent, name, _Node(_Is.UNCLEAR, layer))
                return

    def _white_out(self, parts: list[bytes], layer: int) -> None:
        if parts[-1] in (b"", b".", b".."):
            return
        parent = self._directory_at(parts[:-1], parts, layer)
        if parent is None or parts[-1] not in parent.children:
            return
        self._remove_lower(parent, parts, layer)
        if parts[-1] in parent.children:
            # brought and whited out by one layer: which wins depends on the client
            self._remove(parent, parts, layer)
            self._add(parent, parts[-1], _Node(_Is.UNCLEAR, layer))

    def _empty_lower(self, parts: list[bytes], layer: int) -> None:
        node = self._directory_at(parts, [*parts, _OPAQUE], layer)
        if node is None or node.emptied_by == layer:
            return
        node.emptied_by = layer
        for name in list(node.children):
            self._remove_lower(node, [*parts, name], layer)

    def _remove_lower(self, parent: _Node, parts: list[bytes], layer: int) -> None:
        """Remove what lower layers brought at `parts` and below; a directory stays while something is left in it."""
        pending = [(parent, parts)]
        directories = []
        while pending:
            above, way = pending.pop()
            node = above.children[way[-1]]
            if node.kind is _Is.DIRECTORY:
                directories.append((above, way))
                if node.emptied_by == layer:
                    continue  # nothing of lower layers is left in there; looking each time would not be linear
                pending.extend((node, [*way, name]) for name in node.children)
            elif node.layer < layer:
                self._remove(above, way, layer)
        for above, way in reversed(directories):
            node = above.children[way[-1]]
            if node.layer < layer and not node.children:
                self._remove(above, way, layer)

    def _remove(self, parent: _Node, parts: list[bytes], layer: int) -> None:
        """Remove the node at `parts`, if there is one, with all below it, from the model and from the disk."""
        node = parent.children.pop(parts[-1], None)
        if node is None:
            return
        pending = [(b"/".join(parts), node)]
        directories = []
        while pending:
            path, node = pending.pop()
            self._nodes -= 1
            if node.kind is _Is.DIRECTORY:
                pending.extend((path + b"/" + name, child) for name, child in node.children.items())
                if node.is_on_disk:
                    directories.append(path)
                continue
            if node.content is not None:
                node.content.links -= 1
                if node.content.links and node.layer == layer:
                    # a client that resolves hard links late gives the others what now comes here
                    node.content.is_usable = False
            if node.is_on_disk:
                os.unlink(self._disk_path(path))  # noqa: PTH108 - names are bytes
        for path in reversed(directories):
            os.rmdir(self._disk_path(path))  # noqa: PTH106 - names are bytes

    def _add(self, parent: _Node, name: bytes, node: _Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExtractError(self._directory, f"there are more than the allowed {MAX_NODES:,} names")
        parent.children[name] = node

    def _make_parents(self, parts: list[bytes]) -> bool:
        """Make the directories above `parts` on the disk; False where a name is too long for a disk."""
        if len(self._disk_path(b"/".join(parts))) > _DISK_PATH_MAX or any(len(part) > _NAME_MAX for part in parts):
            return False
        node = self._root
        for depth, name in enumerate(parts[:-1], 1):
            node = node.children[name]
            if not node.is_on_disk:
                os.mkdir(self._disk_path(b"/".join(parts[:depth])), 0o700)  # noqa: PTH102 - names are bytes
                node.is_on_disk = True
        return True

    def _disk_path(self, path: bytes) -> bytes:
        return self._disk + b"/" + path


def _cleaned(parts: list[bytes]) -> list[bytes]:
    """`parts` with each ".." taking back the name before it."""
    cleaned: list[bytes] = []
    for part in parts:
        if part != b"..":
            cleaned.append(part)
        elif cleaned:
            cleaned.pop()
    return cleaned


def _is_readable(entry: Entry) -> bool:
    return bool(entry.mode & 0o004)
