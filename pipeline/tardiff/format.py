"""The tar-diff v1 stream: magic, operations, and the one reader of them. Their writer is `write.writer`.

    file   := "tardf1\\n\\0" zstd-frame
    stream := op*                        op := code:u8  size:uvarint  [data]

There are several independent decoders (Go's tar-patch, flatpak, composefs).

Rule 1. Paths are relative, normalised UTF-8 of at most 4096 bytes, and name regular files.
Rule 2. The reader is as strict as the strictest decoder: see `operations`.
"""

from collections.abc import Iterator
from enum import IntEnum

from ..compression import CompressionError
from ..errors import DeltapressError

MAGIC = b"tardf1\n\0"
MAX_PATH = 4096
MAX_ADD_DATA = 100 << 20
"""What decoders accept in one AddData, bytes."""
MAX_PIECE = 1 << 17
"""The bytes of a payload that are held at once when it is read."""

_SHORT = [bytes((value,)) for value in range(0x80)]
_NO_NAMES = frozenset((b"", b".", b".."))
_LAST_SHIFT = 63  # of the tenth and last byte of a 64-bit value


class Op(IntEnum):
    """Operation codes."""

    DATA = 0
    OPEN = 1
    COPY = 2
    ADD_DATA = 3
    SEEK = 4


class DeltaError(DeltapressError):
    """A delta that cannot be applied, with what is wrong in `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"delta: {reason}")
        self.reason = reason


class MalformedDeltaError(DeltaError):
    """The bytes are no tar-diff stream; `offset` counts the uncompressed operations' bytes."""

    def __init__(self, reason: str, *, offset: int = 0) -> None:
        super().__init__(f"{reason} (at byte {offset:,} of its operations)")
        self.offset = offset


def uvarint(value: int) -> bytes:
    """Unsigned LEB128."""
    if value < len(_SHORT):
        return _SHORT[value]
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def normalised(path: bytes) -> bytes | None:
    """`path` when it is one that every decoder takes as it is, else None."""
    if not path or len(path) > MAX_PATH or b"\0" in path:
        return None
    if not _NO_NAMES.isdisjoint(path.split(b"/")):
        return None
    try:
        path.decode()
    except UnicodeDecodeError:
        return None
    return path


def operations(pieces: Iterator[bytes], *, most: int = MAX_PIECE) -> Iterator[tuple[int, int, bytes]]:
    """The operations of a decompressed stream: code, size, and the payload of Data, AddData and Open.

    A payload of more than `most` bytes comes in pieces of that size, as if there were several operations of its kind.

    Raises (while iterating):
        MalformedDeltaError: an unknown code, a size beyond 64 bits, a path or an AddData beyond what decoders accept,
            an end inside an operation, a compressed stream that is damaged.
    """
    # Deltas hold millions of operations: this is one loop that finds the end of its buffer by running into it, and the
    # common cases come first.
    _, open_, copy, add_data, seek = map(int, Op)
    has_no_payload = frozenset((copy, seek))
    buffer, at, length = b"", 0, 0
    small = min(most, MAX_PATH)
    before = 0  # bytes of the stream in front of the buffer
    while True:
        start = at
        try:
            code = buffer[at]
            size = buffer[at + 1]
            at += 2
            if size > 0x7F:
                shift = 7
                while shift <= _LAST_SHIFT:
                    byte = buffer[at]
                    at += 1
                    size += byte - 1 << shift  # the 1 takes back the mark of the byte before
                    if byte <= 0x7F:
                        break
                    shift += 7
                if size >> 64:
                    raise MalformedDeltaError("the size of an operation exceeds 64 bits", offset=before + start)
        except IndexError:
            piece = _next(pieces, before + length)
            if not piece:
                if start < length:
                    raise MalformedDeltaError("ends inside an operation", offset=before + start) from None
                return
            before += start
            buffer, at = buffer[start:] + piece, 0
            length = len(buffer)
            continue
        if code in has_no_payload:
            yield code, size, b""
            continue
        end = at + size
        if end <= length and size <= small and code <= add_data:
            yield code, size, buffer[at:end]
            at = end
            continue
        if code > seek:
            raise MalformedDeltaError(f"unknown operation {code}", offset=before + start)
        if code == add_data and size > MAX_ADD_DATA:
            raise MalformedDeltaError(f"an AddData of {size:,} bytes is refused", offset=before + start)
        if code == open_ and size > MAX_PATH:
            raise MalformedDeltaError(f"a path of {size:,} bytes is refused", offset=before + start)
        while size:
            count = min(size, most)
            if at + count > length:
                before += at
                buffer, at = _gathered(pieces, buffer[at:], count, before), 0
                length = len(buffer)
            yield code, count, buffer[at : at + count]
            at += count
            size -= count


def _next(pieces: Iterator[bytes], offset: int) -> bytes:
    """The next piece that is not empty; empty at the end."""
    try:
        return next(filter(None, pieces), b"")
    except CompressionError as error:
        raise MalformedDeltaError(f"its {error}", offset=offset) from error


def _gathered(pieces: Iterator[bytes], head: bytes, size: int, offset: int) -> bytes:
    """`head` and as many pieces as make at least `size` bytes; `offset` is where `head` begins."""
    gathered, have = [head], len(head)
    while have < size:
        piece = _next(pieces, offset + have)
        if not piece:
            raise MalformedDeltaError("ends inside the data of an operation", offset=offset)
        gathered.append(piece)
        have += len(piece)
    return b"".join(gathered)
