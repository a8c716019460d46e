"""What stands in a replayed tree: the nodes below a root directory, and what hard links share.

Rule. A node knows the number of the layer that brought it. Names are known to the directories alone.
"""

from dataclasses import dataclass

from .tar import Entry, Kind


@dataclass(slots=True)
class Content:
    """What hard links share."""

    size: int
    offset: int
    is_usable: bool = True
    links: int = 1


class Node:
    """Something that is no source: a device, a FIFO, what is unclear."""

    __slots__ = ("layer",)

    def __init__(self, layer: int) -> None:
        self.layer = layer

    @property
    def is_made_late(self) -> bool:
        """Whether some client makes it only when the layer has ended, in the place of whatever is there then."""
        return False


class Unknown(Node):
    """What may be a symlink, and lead anywhere: a hard link to what is not here, a symlink that some do not have, what
    came to the place of something that is made late."""

    __slots__ = ()

    @property
    def is_made_late(self) -> bool:
        return True


class Directory(Node):
    """`named_by` and `marked_by` are the last layers with an entry for it, and with an opaque mark in it."""

    __slots__ = ("children", "emptied_by", "marked_by", "named_by")

    def __init__(self, layer: int, *, named_by: int = -1) -> None:
        self.layer = layer
        self.named_by = named_by
        self.marked_by = -1
        self.children: dict[bytes, Node] = {}
        # the last layer that removed here what lower ones had brought: looking again each time would not be linear
        self.emptied_by = 0


class Symlink(Node):
    __slots__ = ("is_hard_link", "target")

    def __init__(self, layer: int, target: bytes, *, is_hard_link: bool = False) -> None:
        self.layer = layer
        self.target = target
        self.is_hard_link = is_hard_link

    @property
    def is_made_late(self) -> bool:
        return self.is_hard_link or self.target.startswith(b"/") or b".." in self.target.split(b"/")


class File(Node):
    """`is_there`: the content is kept, and a disk can hold the name."""

    __slots__ = ("content", "is_hard_link", "is_there")

    def __init__(self, layer: int, content: Content, *, is_there: bool, is_hard_link: bool = False) -> None:
        self.layer = layer
        self.content = content
        self.is_there = is_there
        self.is_hard_link = is_hard_link

    @property
    def is_made_late(self) -> bool:
        return self.is_hard_link


def unclear(there: Node | None, entry: Entry | None, layer: int) -> Node:
    """What may be where `there` is and `entry` may have landed, or something below it where that is None."""
    if isinstance(there, Symlink) or (there is not None and there.is_made_late):
        return Unknown(layer)
    if entry is not None and entry.kind is Kind.SYMLINK:
        return Symlink(layer, entry.link)
    return (Unknown if entry is not None and entry.kind is Kind.HARD_LINK else Node)(layer)
