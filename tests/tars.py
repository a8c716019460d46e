"""Tars for tests, built from short descriptions: `tar(file("a", b"x"), symlink("l", "a")) -> bytes`.

The headers are written here and not by a library, so that a test can also write what no library would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

GNU = b"ustar  \0"
POSIX = b"ustar\x0000"

_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry; names have any length (GNU long names are used where needed)."""

    path: bytes
    type: bytes
    data: bytes = b""
    link: bytes = b""
    mode: int = 0o644
    mtime: int = 0
    before: bytes = b""
    stored_size: int | None = None
    patches: tuple[tuple[int, bytes], ...] = ()

    def at(self, path: str | bytes) -> "Member":
        """The same under another path."""
        return replace(self, path=_bytes(path))

    def __str__(self) -> str:
        return f"{self.type.decode()}-{self.path[:20].decode(errors='replace')}-{self.mode:o}-{len(self.data)}"


def file(path: str | bytes, data: bytes = b"", *, mode: int = 0o644, mtime: int = 0) -> Member:
    return Member(path=_bytes(path), type=b"0", data=data, mode=mode, mtime=mtime)


def directory(path: str | bytes, *, mode: int = 0o755) -> Member:
    return Member(path=_bytes(path).rstrip(b"/") + b"/", type=b"5", mode=mode)


def symlink(path: str | bytes, target: str | bytes) -> Member:
    return Member(path=_bytes(path), type=b"2", link=_bytes(target), mode=0o777)


def hard_link(path: str | bytes, target: str | bytes, *, mode: int = 0o644) -> Member:
    return Member(path=_bytes(path), type=b"1", link=_bytes(target), mode=mode)


def device(path: str | bytes) -> Member:
    return Member(path=_bytes(path), type=b"3")


def fifo(path: str | bytes) -> Member:
    return Member(path=_bytes(path), type=b"6")


def whiteout(path: str | bytes) -> Member:
    above, slash, name = _bytes(path).rpartition(b"/")
    return file(above + slash + b".wh." + name)


def opaque(path: str | bytes) -> Member:
    return file(_bytes(path) + b"/.wh..wh..opq")


def sparse(path: str | bytes, data: bytes) -> Member:
    """A file with the GNU sparse type; what is stored is `data`."""
    return Member(path=_bytes(path), type=b"S", data=data)


def pax(member: Member, **records: str | bytes) -> Member:
    """`member` behind a pax header with these records (`GNU__sparse__major` writes `GNU.sparse.major`)."""
    content = b"".join(_record(key.replace("__", ".").encode(), _bytes(value)) for key, value in records.items())
    return replace(member, before=member.before + _block(b"pax", b"x", len(content)) + _padded(content))


def behind(member: Member, kind: bytes, content: bytes, *, magic: bytes = GNU) -> Member:
    """`member` behind another header of type `kind` with any content."""
    header = _block(b"extension", kind, len(content), patches=((257, magic),))
    return replace(member, before=member.before + header + _padded(content))


def patched(member: Member, *patches: tuple[int, bytes]) -> Member:
    """`member` with these bytes at these places of its header, whose checksum is that of the result."""
    return replace(member, patches=(*member.patches, *patches))


def tar(*members: Member, end: bytes = bytes(2 * _BLOCK)) -> bytes:
    return b"".join(_member(member) for member in members) + end


def _member(member: Member) -> bytes:
    parts = [member.before]
    for kind, name in ((b"L", member.path), (b"K", member.link)):
        if len(name) > 100:
            parts += [_block(b"././@LongLink", kind, len(name) + 1), _padded(name + b"\0")]
    size = len(member.data) if member.stored_size is None else member.stored_size
    parts += [
        _block(member.path[:100], member.type, size, member.link[:100], member.mode, member.mtime, member.patches),
        _padded(member.data),
    ]
    return b"".join(parts)


def _block(
    name: bytes,
    kind: bytes,
    size: int,
    link: bytes = b"",
    mode: int = 0o644,
    mtime: int = 0,
    patches: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    head = name.ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2
    head += b"%011o\0" % size + b"%011o\0" % mtime + b" " * 8
    block = bytearray((head + kind + link.ljust(100, b"\0") + GNU).ljust(_BLOCK, b"\0"))
    for at, data in patches:
        block[at : at + len(data)] = data
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    while len(str(size)) + len(key) + len(value) + 3 != size:
        size = len(str(size)) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (size, key, value)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
