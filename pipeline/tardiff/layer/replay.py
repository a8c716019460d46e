"""The replay of a layer's entries, as containers/storage does it: a model of the tree, and the contents in one file.

Rule 1. What is in the way of an entry is removed, unless both are directories. Missing parents are made.
Rule 2. Whiteouts remove what lower layers brought; they are no files themselves (image-spec, layer.md, "Whiteouts").
        Below an opaque mark a directory that no entry of its layer names is unclear: some storages of podman and docker
        remove it with all that the layer itself has put there.
Rule 3. A hard link shares what its target is *now*. Where the target is missing (it lies in a layer that is not here)
        nothing is known about the link's path any more.
Rule 4. Where clients differ, a path is *unclear*: no source, and nothing below it either, until an entry names it
        again. So is: a path reached through a symlink or a file, one with "..", a whiteout of what the same layer
        brought, and each name that an entry of an unusual form may have (`forms`). A doubt that reaches further ends
        the replay. A leading "/" is taken away, as all of them do.
        What comes in one layer to the place of a symlink that leads out of its folder, or of a hard link, is unclear
        too: GNU tar makes such symlinks at its end, and ostree hard links.
Rule 5. Names live in the model only. None of them ever reaches our disk, so nothing can be written or read through one.
Rule 6. No sources: empty and sparse files, files that others may not read (their mode lacks o+r; clients need not be
        root), a file of which another hard link was replaced in the same layer, and names that some decoder or disk
        refuses.
"""

from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...compression import Writable
from ...errors import DeltapressError
from ..format import MAX_PATH, normalised
from .forms import Doubt
from .nodes import Content, Directory, File, Node, Symlink, Unknown, unclear
from .tar import Entry, Kind, TarError, TarReader, names_of

MAX_NODES = 1_000_000
"""Files, directories and links in one tree; parents that no entry names count too."""

_WHITEOUT = b".wh."
_META = b".wh..wh."  # aufs keeps its own files under such names; only the opaque mark means anything
_OPAQUE = b".wh..wh..opq"
_MAX_SYMLINKS = 40  # as in Linux: no client lands anywhere behind more
_MAX_STEPS: Final = 1000
"""Names, those in the targets of symlinks included, that a path may lead through beyond its own: 40 symlinks of 4,096
bytes could cost thousands for each entry, and no real path comes near."""
_MAX_ALL_STEPS: Final = 1_000_000
"""Such names for all entries together: a few for each of 100,000 files below symlinks, and a second of work."""
_MAX_PATHS: Final = 1 << 28  # bytes of all paths of sources; those of a million files have half of that
# composefs empties /run, and ostree keeps its own files in sysroot/ostree: clients do not find there what the image has
_NOT_IN_IMAGES: Final = ([b"run"], [b"sysroot", b"ostree"])
_NAME_MAX: Final = 255
_DISK_PATH_MAX: Final = 4095 - 255  # PATH_MAX, less what the directory may take into which a client extracts


class ExtractError(DeltapressError):
    """Old layers that cannot be extracted into `directory`."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"cannot extract into {directory}: {reason}")
        self.directory = directory
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file that deltas may read: its path in the tree, its size in bytes (never 0), and `offset`, where its content
    begins in the file of all contents."""

    path: bytes
    size: int
    offset: int


class Replay:
    """The tree while entries come in. Contents are written to `out`, one after the other; those of files that later
    entries replace stay there.

    `directory` is where that is, for errors. At most `max_bytes` are written.
    """

    def __init__(self, out: Writable, directory: Path, max_bytes: int) -> None:
        self._out = out
        self._directory = directory
        self._max_bytes = max_bytes
        self._stored = 0
        self._nodes = 0
        self._steps = _MAX_ALL_STEPS
        self._root = Directory(0)
        self._has_marks = False  # the layer at hand, opaque ones
        self.doubts: Counter[str] = Counter()
        """How many entries gave no source for their form, by construct."""

    def entry(self, entry: Entry, reader: TarReader, layer: int) -> None:
        """Do what unpacking `entry` of layer number `layer` does.

        Raises:
            TarError: a doubt is total, or a path leads through too much.
            ExtractError: too many bytes or names.
        """
        if entry.doubt is not None:
            self._doubt(entry, entry.doubt, layer)
            return
        path = entry.path
        parts = names_of(path)
        if not parts:
            return  # the root itself
        if b".." in parts:
            if _WHITEOUT in path:
                raise TarError('a whiteout has ".." in its path, which clients clean, follow or refuse', entry.header)
            self._make_unclear_everywhere(parts, entry, layer)
            return
        if _WHITEOUT in path and self._is_mark(parts, entry, layer):
            return
        if (parent := self._parent(parts, entry, layer)) is not None:
            self._put(entry, reader, parent, parts, layer)

    def end_layer(self, layer: int) -> None:
        """All entries of layer number `layer` have come."""
        if not self._has_marks:
            return
        self._has_marks = False
        pending = [(self._root, self._root.marked_by == layer)]
        while pending:
            directory, is_below_mark = pending.pop()
            for name, node in list(directory.children.items()):
                if not isinstance(node, Directory):
                    continue
                if is_below_mark and node.named_by != layer:
                    self._remove(directory, name, layer)
                    self._add(directory, name, Node(layer))
                else:
                    pending.append((node, is_below_mark or node.marked_by == layer))

    def finish(self) -> list[Source]:
        """The sources by path.

        Raises:
            ExtractError: their paths are too long all together.
        """
        sources = []
        length = 0
        pending = [(b"", self._root)]
        while pending:
            above, directory = pending.pop()
            for name, node in directory.children.items():
                if isinstance(node, Directory):
                    pending.append((above + name + b"/", node))
                elif isinstance(node, File) and node.is_there and node.content.is_usable:
                    path, content = above + name, node.content
                    if normalised(path):
                        sources.append(Source(path=path, size=content.size, offset=content.offset))
                        length += len(path)
            if length > _MAX_PATHS:
                raise ExtractError(
                    self._directory, f"the paths of its files have more than the allowed {_MAX_PATHS:,} bytes"
                )
        sources.sort(key=lambda source: source.path)
        return sources

    def _doubt(self, entry: Entry, doubt: Doubt, layer: int) -> None:
        if doubt.is_total:
            raise TarError(f"{doubt.reason}, which readers take differently", entry.header)
        self.doubts[doubt.reason] += 1
        for name in doubt.names:
            if parts := names_of(name):
                self._make_unclear_everywhere(parts, entry, layer)

    def _make_unclear_everywhere(self, parts: list[bytes], entry: Entry, layer: int) -> None:
        """Some clients clean a path with "..", some follow it, some refuse it."""
        is_directory = entry.kind is Kind.DIRECTORY
        self._make_unclear(parts, entry, layer, spare_directory=is_directory)
        if b".." in parts:
            self._make_unclear(_cleaned(parts), entry, layer, spare_directory=is_directory)

    def _is_mark(self, parts: list[bytes], entry: Entry, layer: int) -> bool:
        """Whether the entry at `parts` is a whiteout, or aufs's own; then do what it says."""
        *above, name = parts
        if any(part.startswith(_WHITEOUT) for part in above):
            return True
        if name.startswith(_META):
            if name == _OPAQUE:
                self._empty_lower(above, entry, layer)
            return True
        if name.startswith(_WHITEOUT):
            self._white_out([*above, name.removeprefix(_WHITEOUT)], entry, layer)
            return True
        return False

    def _put(self, entry: Entry, reader: TarReader, parent: Directory, parts: list[bytes], layer: int) -> None:
        name, kind = parts[-1], entry.kind
        there = parent.children.get(name)
        if there is not None:
            if kind is Kind.DIRECTORY and isinstance(there, Directory):
                there.layer = there.named_by = layer
                return
            self._remove(parent, name, layer)
        node: Node
        if there is not None and there.layer == layer and there.is_made_late:
            node = Unknown(layer)
        elif kind is Kind.FILE and not entry.path.endswith((b"/", b"/.")):
            node = self._file(entry, reader, parts, layer)
        elif kind is Kind.HARD_LINK:
            node = self._hard_link(entry, parts, layer)
        elif kind is Kind.DIRECTORY:
            node = Directory(layer, named_by=layer)
        elif kind is Kind.SYMLINK and len(entry.link) < MAX_PATH:
            node = Symlink(layer, entry.link)
        else:
            node = Node(layer)
        self._add(parent, name, node)

    def _file(self, entry: Entry, reader: TarReader, parts: list[bytes], layer: int) -> File:
        content = Content(entry.size, self._stored)
        if not entry.size or entry.is_sparse or not _is_readable(entry):
            content.is_usable = False
            return File(layer, content, is_there=False)
        if self._stored + entry.size > self._max_bytes:
            raise ExtractError(self._directory, f"its files have more than the allowed {self._max_bytes:,} bytes")
        if not _fits_disks(entry.path, parts) or _is_left_out(parts):
            content.is_usable = False
            return File(layer, content, is_there=False)
        self._stored += entry.size
        for piece in reader.data():
            self._out.write(piece)
        return File(layer, content, is_there=True)

    def _hard_link(self, entry: Entry, parts: list[bytes], layer: int) -> Node:
        target = None if entry.link.endswith((b"/", b"/.")) else self._find(names_of(entry.link))
        if isinstance(target, Symlink):
            return Symlink(layer, target.target, is_hard_link=True)
        if not isinstance(target, File):
            return Unknown(layer)
        content = target.content
        content.links += 1
        # some clients give the shared file the mode of the link
        content.is_usable = content.is_usable and _is_readable(entry)
        is_there = target.is_there and _fits_disks(entry.path, parts) and not _is_left_out(parts)
        return File(layer, content, is_there=is_there, is_hard_link=True)

    def _parent(self, parts: list[bytes], entry: Entry, layer: int) -> Directory | None:
        """The directory that `parts` lies in, made where it is missing; None where clients differ about it."""
        node = self._root
        for name in parts[:-1]:
            child = node.children.get(name)
            if child is None:
                child = Directory(layer)
                self._add(node, name, child)
            if not isinstance(child, Directory):
                self._make_unclear(parts, entry, layer, spare_directory=entry.kind is Kind.DIRECTORY)
                return None
            node = child
        return node

    def _directory_at(self, parts: list[bytes], name: bytes, entry: Entry, layer: int) -> Directory | None:
        """The directory at `parts`, None where it is missing or not one; then its `name` may have been elsewhere."""
        node = self._root
        for part in parts:
            child = node.children.get(part)
            if child is None:
                return None
            if not isinstance(child, Directory):
                self._make_unclear([*parts, name], entry, layer)
                return None
            node = child
        return node

    def _find(self, parts: list[bytes]) -> Node | None:
        node: Node | None = self._root
        for name in parts:
            if not isinstance(node, Directory):
                return None
            node = node.children.get(name)
        return node

    def _make_unclear(self, parts: list[bytes], entry: Entry, layer: int, *, spare_directory: bool = False) -> None:
        """Make the place unclear where `entry` lands at `parts` for a client that follows symlinks in its parents.

        `spare_directory`: the entry is a directory, which does nothing to one that is there.
        """
        pending = deque(parts)
        way: list[Directory] = []
        symlinks, steps = 0, min(_MAX_STEPS, self._steps)
        while pending:
            name = pending.popleft()
            if name == b"..":
                del way[-1:]
                continue
            parent = way[-1] if way else self._root
            child = parent.children.get(name)
            if pending and isinstance(child, Directory):
                way.append(child)
            elif pending and isinstance(child, Symlink):
                symlinks += 1
                if symlinks > _MAX_SYMLINKS:
                    return
                target = names_of(child.target)
                steps -= 1 + len(target)
                self._steps -= 1 + len(target)
                if steps < 0:
                    raise TarError(
                        f"a path leads through more than {_MAX_STEPS:,} names in targets of symlinks, or all paths "
                        f"through more than {_MAX_ALL_STEPS:,}",
                        entry.header,
                    )
                if child.target.startswith(b"/"):
                    way = []
                pending.extendleft(reversed(target))
            elif pending and isinstance(child, Unknown):
                raise TarError("an entry lies below what may be a symlink to anywhere", entry.header)
            else:
                if not (spare_directory and isinstance(child, Directory)):
                    self._remove(parent, name, layer)
                    self._add(parent, name, unclear(child, entry if not pending else None, layer))
                return

    def _white_out(self, parts: list[bytes], entry: Entry, layer: int) -> None:
        name = parts[-1]
        if name in (b"", b".", b".."):
            raise TarError("a whiteout names a folder that it lies in, which some clients then empty", entry.header)
        parent = self._directory_at(parts[:-1], name, entry, layer)
        if parent is None or name not in parent.children:
            return
        self._remove_lower(parent, name, layer)
        if (there := parent.children.get(name)) is not None:
            # brought and whited out by one layer: which wins depends on the client
            self._remove(parent, name, layer)
            self._add(parent, name, unclear(there, None, layer))

    def _empty_lower(self, parts: list[bytes], entry: Entry, layer: int) -> None:
        node = self._root
        for part in parts:
            child = node.children.get(part)
            if layer and isinstance(child, Symlink | Unknown):
                raise TarError("an opaque mark lies below a symlink", entry.header)
            if not isinstance(child, Directory):
                return
            node = child
        node.marked_by = layer
        self._has_marks = True
        if node.emptied_by == layer:
            return
        node.emptied_by = layer
        for name in list(node.children):
            self._remove_lower(node, name, layer)

    def _remove_lower(self, parent: Directory, name: bytes, layer: int) -> None:
        """Remove what lower layers brought at `name` and below; a directory stays while something is left in it."""
        pending = [(parent, name)]
        directories = []
        while pending:
            above, name = pending.pop()
            node = above.children[name]
            if isinstance(node, Directory):
                directories.append((above, name, node))
                if node.emptied_by == layer:
                    continue
                node.emptied_by = layer
                pending.extend((node, below) for below in node.children)
            elif node.layer < layer:
                self._remove(above, name, layer)
        for above, name, node in reversed(directories):
            if node.layer < layer and not node.children:
                self._remove(above, name, layer)

    def _remove(self, parent: Directory, name: bytes, layer: int) -> None:
        """Remove the node at `name`, if there is one, with all below it."""
        removed = parent.children.pop(name, None)
        pending = [] if removed is None else [removed]
        while pending:
            node = pending.pop()
            self._nodes -= 1
            if isinstance(node, Directory):
                pending.extend(node.children.values())
            elif isinstance(node, File):
                node.content.links -= 1
                if node.content.links and node.layer == layer:
                    # a client that resolves hard links late gives the others what now comes here
                    node.content.is_usable = False

    def _add(self, parent: Directory, name: bytes, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExtractError(self._directory, f"there are more than the allowed {MAX_NODES:,} names")
        parent.children[name] = node


def _cleaned(parts: list[bytes]) -> list[bytes]:
    """`parts` with each ".." taking back the name before it."""
    cleaned: list[bytes] = []
    for part in parts:
        if part != b"..":
            cleaned.append(part)
        elif cleaned:
            cleaned.pop()
    return cleaned


def _is_left_out(parts: list[bytes]) -> bool:
    return any(parts[: len(place)] == place for place in _NOT_IN_IMAGES)


def _is_readable(entry: Entry) -> bool:
    return bool(entry.mode & 0o004)


def _fits_disks(path: bytes, parts: list[bytes]) -> bool:
    if len(path) <= _NAME_MAX:
        return True
    return sum(map(len, parts)) + len(parts) <= _DISK_PATH_MAX and max(map(len, parts)) <= _NAME_MAX
