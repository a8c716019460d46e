"""A streaming tar reader that keeps raw offsets.

The standard library's tarfile is not used here, because what it hides is what a delta needs: where each header and each
file's data begin in the stream. It also reads any long name or pax header into memory, keeps all members, and reads
leniently where container clients fail. This one follows Go's archive/tar, which most of those clients are made of.

Known: ustar, old tar, GNU long names and base-256 numbers, pax headers; GNU and pax sparse files are recognised, not
expanded.

Rule 1. Memory is bounded: long names and pax headers above 1 MiB are refused, data comes in pieces.
Rule 2. A header that cannot be understood is a `TarError`; the entries in front of it stand.
Rule 3. Names are raw bytes as the archive has them.
Rule 4. An entry says what other readers may take differently (`forms`); what becomes of it then is not decided here.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import BinaryIO, NamedTuple

from ...errors import DeltapressError
from .forms import Doubt, Extension, PaxRecords, doubt_of, doubt_of_start, is_harmless, usual

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""The largest long name or pax header, bytes; Go's reader has the same limit."""

_PIECE = 1 << 18
_ZERO_BLOCK = bytes(BLOCK)


class TarError(DeltapressError):
    """No tar, or no whole one; `offset` is where the header begins that could not be read."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"tar: {reason} (at byte {offset:,})")
        self.reason = reason
        self.offset = offset


class Kind(Enum):
    """What an entry is. `UNKNOWN` has data that is skipped; clients refuse it or differ."""

    FILE = "file"
    HARD_LINK = "hard link"
    SYMLINK = "symlink"
    DIRECTORY = "directory"
    SPECIAL = "device or FIFO"
    UNKNOWN = "unknown"


_KINDS = {
    b"0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARD_LINK,
    b"2": Kind.SYMLINK,
    b"3": Kind.SPECIAL,
    b"4": Kind.SPECIAL,
    b"5": Kind.DIRECTORY,
    b"6": Kind.SPECIAL,
}


class Entry(NamedTuple):
    """One member. A tuple, because layers have a hundred thousand of them, and a frozen dataclass takes four times as
    long to make.

    Offsets are in the uncompressed stream: `header` is that of the first block that belongs to it (long names and pax
    headers included), `data` that of its data, `size` the bytes stored there, padding not counted. `mode` holds
    permission bits. `doubt` is None where all readers take the entry alike.
    """

    kind: Kind
    path: bytes
    link: bytes
    mode: int
    size: int
    header: int
    data: int
    is_sparse: bool
    doubt: Doubt | None


class TarReader:
    """Iterates over the entries of `stream`. The data of the entry at hand can be read with `data`; the rest is
    skipped. The stream itself is read ahead, by at most one piece."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._buffer = b""
        self._at = 0  # in the buffer
        self._before = 0  # bytes of the stream in front of the buffer
        self._left = 0  # of the entry's data
        self._block_at_hand = b""
        self._pax_at_hand: PaxRecords = ()

    @property
    def attributes(self) -> "tuple[bytes, PaxRecords]":
        """The header block of the entry at hand, and the records of its own pax header: what `metadata` reads."""
        return self._block_at_hand, self._pax_at_hand

    @property
    def offset(self) -> int:
        """Bytes of the stream that are behind us."""
        return self._before + self._at

    def __iter__(self) -> Iterator[Entry]:
        """The entries in order.

        Raises:
            TarError: as in rule 2. The end of the stream between two entries is an end, as readers take it.
        """
        while (entry := self._entry()) is not None:
            self._left = entry.size
            yield entry
            padding = -entry.size % BLOCK
            if self._at + self._left + padding <= len(self._buffer):
                self._at += self._left + padding
                continue
            for _ in self.data():
                pass
            # the padding of the last entry may be missing, as it is in archives that were cut there
            self._skip(padding)

    def data(self) -> Iterator[bytes]:
        """The unread data of the entry, in pieces."""
        while self._left:
            if self._at == len(self._buffer) and not self._fill(1):
                raise TarError("ends inside the data of an entry", self.offset)
            piece = self._buffer[self._at : self._at + self._left]
            self._at += len(piece)
            self._left -= len(piece)
            yield piece

    def drain(self) -> None:
        """Read what is left of the stream, be it tar or not."""
        self._at = len(self._buffer)
        while self._fill(1):
            self._at = len(self._buffer)

    def _entry(self) -> Entry | None:
        start = self.offset
        extensions: list[Extension] = []
        doubt: Doubt | None = None
        while (block := self._header()) is not None:
            if not start and not extensions:
                doubt = doubt_of_start(block)
            if (
                (not extensions or (len(extensions) == 1 and is_harmless(extensions[0])))
                and (header := usual(block)) is not None
                and not (header[3] and header[1][-1:] == b"/")
            ):
                self._block_at_hand, self._pax_at_hand = block, extensions[0].records if extensions else ()
                return self._usual(header, start, doubt)
            flag = block[156:157]
            size = _number(block[124:136], "size", self.offset)
            if flag not in (b"L", b"K", b"x", b"g"):
                own = [extension.records for extension in extensions if extension.flag == b"x"]
                self._block_at_hand, self._pax_at_hand = block, own[-1] if own else ()
                return self._described(block, start, size, extensions, doubt)
            content = self._extension(size)
            records = _pax_records(content, self.offset) if flag in (b"x", b"g") else ()
            if flag == b"g" and {key for key, _ in records} & {b"path", b"linkpath", b"size"}:
                # some readers apply these to all later entries, others to none
                raise TarError("a global pax header sets path, linkpath or size", start)
            extensions.append(Extension(flag, block[257:265], content, records))
        if extensions:
            raise TarError("ends behind a long name or pax header", start)
        return None

    def _usual(self, header: re.Match[bytes], start: int, doubt: Doubt | None) -> Entry:
        """What `_described` says of such a header, in half of the time."""
        name, mode, size, prefix = header.groups()
        return Entry(
            kind=Kind.DIRECTORY if size is None else Kind.FILE,
            path=prefix + b"/" + name if prefix else name,
            link=b"",
            mode=int(mode, 8) & 0o7777,
            size=0 if size is None else int(size, 8),
            header=start,
            data=self.offset,
            is_sparse=False,
            doubt=doubt,
        )

    def _described(
        self, block: bytes, start: int, header_size: int, extensions: list[Extension], doubt: Doubt | None
    ) -> Entry:
        size = header_size
        path = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            path = prefix + b"/" + path
        link = _text(block[157:257])
        flag = block[156:157]
        is_sparse = flag == b"S"
        if is_sparse:
            self._skip_sparse_map(block)
        if extensions:
            pax: dict[bytes, bytes] = {}
            long_path = long_link = None
            for extension in extensions:
                if extension.flag == b"x":
                    pax = dict(extension.records)
                elif extension.flag == b"L":
                    long_path = _text(extension.content)
                elif extension.flag == b"K":
                    long_link = _text(extension.content)
            path = pax.get(b"path") or path
            link = pax.get(b"linkpath") or link
            if value := pax.get(b"size"):
                if not value.isdigit() or len(value) > 18:
                    raise TarError("a pax header has a bad size", start)
                size = int(value)
            if is_sparse or any(key.startswith(b"GNU.sparse.") for key in pax):
                is_sparse = True
                path = pax.get(b"GNU.sparse.name") or path
            path = path if long_path is None else long_path
            link = link if long_link is None else long_link
        if flag == b"\0":
            kind = Kind.DIRECTORY if path.endswith(b"/") else Kind.FILE  # as in tars from before ustar
        elif flag == b"S":
            kind = Kind.FILE
        else:
            kind = _KINDS.get(flag, Kind.UNKNOWN)
        return Entry(
            kind=kind,
            path=path,
            link=link,
            mode=_number(block[100:108], "mode", start) & 0o7777,
            size=size if kind in (Kind.FILE, Kind.UNKNOWN) else 0,
            header=start,
            data=self.offset,
            is_sparse=is_sparse,
            doubt=doubt or doubt_of(block, extensions, path=path, link=link, header_size=header_size, size=size),
        )

    def _header(self) -> bytes | None:
        """The next header block, its checksum verified; None at the end of the archive."""
        start = self.offset
        block = self._block()
        if not block:
            return None
        if block == _ZERO_BLOCK:
            if self._block().strip(b"\0"):
                raise TarError("goes on behind a block of zeros", start)
            return None
        if len(block) < BLOCK:
            raise TarError("ends inside a header", start)
        field = block[148:156]
        # most of a header are zeros, and Python adds one byte at a time
        unsigned = sum(block.translate(None, b"\0")) - sum(field) + 8 * 0x20
        if field == b"%06o\0 " % unsigned:
            return block
        expected = _number(field, "checksum", start)
        if expected != unsigned and expected != unsigned - 256 * _negative_bytes(block[:148] + block[156:]):
            raise TarError("the checksum of a header is wrong", start)
        return block

    def _extension(self, size: int) -> bytes:
        if size > MAX_EXTENSION:
            raise TarError(f"a long name or pax header of {size:,} bytes is refused", self.offset)
        self._left = size
        content = b"".join(self.data())
        self._skip(-size % BLOCK)
        return content

    def _skip_sparse_map(self, block: bytes) -> None:
        """Pass the further blocks of an old GNU sparse map: they stand between header and data."""
        goes_on = block[482]
        while goes_on:
            more = self._block()
            if len(more) < BLOCK:
                raise TarError("ends inside a sparse map", self.offset)
            goes_on = more[504]
            if goes_on > 1:
                raise TarError("a sparse map goes on with another mark than 1", self.offset)

    def _block(self) -> bytes:
        """The next block, what is there of it at the end of the stream."""
        at = self._at
        if len(self._buffer) - at < BLOCK:
            self._fill(BLOCK)
            at = self._at
        block = self._buffer[at : at + BLOCK]
        self._at = at + len(block)
        return block

    def _skip(self, size: int) -> None:
        """Pass `size` bytes, or as many of them as there are."""
        while size and (self._at < len(self._buffer) or self._fill(1)):
            passed = min(size, len(self._buffer) - self._at)
            self._at += passed
            size -= passed

    def _fill(self, size: int) -> bool:
        """Have `size` bytes at hand, which are few; False when the stream ends in front of them."""
        rest = self._buffer[self._at :]
        self._before += self._at
        self._at = 0
        while len(rest) < size and (piece := self._stream.read(_PIECE)):
            rest = rest + piece if rest else piece
        self._buffer = rest
        return len(rest) >= size


def names_of(path: bytes) -> list[bytes]:
    """The names in `path`; empty ones and "." mean nothing."""
    return [name for name in path.split(b"/") if name not in (b"", b".")]


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _negative_bytes(data: bytes) -> int:
    """How many bytes are negative when they are read as signed ones, which old tars summed."""
    return sum(byte > 127 for byte in data)


def _number(field: bytes, name: str, offset: int) -> int:
    """A numeric field: octal digits, or base-256 where the first bit is set (GNU)."""
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise TarError(f"a header has a negative {name}", offset)
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        if value >> 62:
            raise TarError(f"a header has a {name} beyond 62 bits", offset)
        return value
    digits = field.strip(b" \0")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise TarError(f"a header has a bad {name}", offset)
    return int(digits, 8)


def _pax_records(content: bytes, offset: int) -> PaxRecords:
    """The records "LENGTH KEY=VALUE\\n", LENGTH counting all of itself (pax, "Extended Header")."""
    records = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 20)
        digits = content[at:space] if space > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        if not space < end <= len(content) or content[end - 1 : end] != b"\n":
            raise TarError("a pax header has a malformed record", offset)
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not key or not equals:
            raise TarError("a pax header has a malformed record", offset)
        if b"\0" in value and key in (b"path", b"linkpath"):
            raise TarError(f"a pax header has a NUL in its {key.decode()}", offset)
        records.append((key, value))
        at = end
    return records
