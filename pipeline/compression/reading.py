"""Compressed streams, read: gzip, zstd, bzip2 and xz, told by their first bytes.

Rule 1. What comes out is bounded by the caller, and no call holds more than a small piece, whatever the input claims.
Rule 2. Truncated is not the end: input that stops inside a frame, a member or a block is an error, never a short
        answer.
Rule 3. Work is paid for by output: frames, members and blocks that hold nothing cost time and no input to speak of, so
        only `_FREE_STEPS` of them may come beyond one for each `_STEP` bytes that come out.

zstandard is driven block by block. A block decodes to at most 128 KiB (RFC 8878, 3.1.1.2.4), which bounds the memory
of one step, and whoever walks the blocks knows where a frame ends, which the library's streaming reader does not
tell.
"""

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import zstandard

from ..errors import DeltapressError
from .writing import MAX_WINDOW_LOG

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_FREE_STEPS = 10_000
_STEP = 64  # bytes; the smallest part of a layer that a tool makes is a header of 512, before it is divided
_PIECE = 1 << 18
_INPUT = 1 << 15  # what is left of it is copied at the end of each member, and members can be tiny
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_RESERVED_FLAGS = 0xE0  # RFC 1952, 2.3.1.2: to be refused, which the library does not
_BZIP2_MAGIC = b"BZh"
_XZ_MAGIC = b"\xfd7zXZ\x00"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_BZIP2_MEMORY = 4 << 20
_XZ_MEMORY = 256 << 20  # a dictionary of 64 MiB, that of `xz -9`, needs 65 MiB


class CompressionError(DeltapressError):
    """A compressed stream that cannot be read.

    `format` is gzip, bzip2, xz, zstd or plain; `reason` says what is wrong, `advice` what else to do than making the
    stream again.
    """

    def __init__(self, format: str, reason: str, *, advice: str = "") -> None:  # noqa: A002 - the field's natural name
        super().__init__(f"{format} stream: {reason}")
        self.format = format
        self.reason = reason
        self.advice = advice


class OutputTooLargeError(CompressionError):
    """More came out than `limit` bytes."""

    def __init__(self, format: str, limit: int) -> None:  # noqa: A002 - as above
        super().__init__(format, f"decompresses to more than the allowed {limit:,} bytes")
        self.limit = limit


class WindowTooLargeError(CompressionError):
    """A zstd frame whose reader must hold `window` bytes, more than `MAX_WINDOW_LOG` allows."""

    def __init__(self, window: int) -> None:
        super().__init__(
            "zstd",
            f"needs a window of {window >> 20:,} MiB, {1 << MAX_WINDOW_LOG >> 20} MiB at most are read",
            advice=f"Compress it with `zstd --long={MAX_WINDOW_LOG}` or less, or without --long.",
        )
        self.window = window


class Decompressed(io.BufferedReader):
    """What `decompressed` gives: a stream that knows, once it was read to its end, how its input was put together."""

    def __init__(self, pieces: "_Pieces", source: "_Input") -> None:
        super().__init__(pieces, _PIECE)
        self._source = source

    @property
    def is_one_gzip_member(self) -> bool:
        """True for one gzip member with nothing behind it: some readers take the first alone, some refuse the rest."""
        return self._source.gzip_parts == 1


def decompressed(stream: BinaryIO, *, max_bytes: int, padding: bool = True) -> Decompressed:
    """The content of `stream`, decompressed by what its first bytes are: gzip, zstd, bzip2, xz, or none of these.

    Legal as in the tools of the formats: several gzip members, zstd frames, bzip2 or xz streams after each other,
    zstd's skippable frames (zstd:chunked ends in them), and, with `padding`, zeros behind gzip. Closing the result
    closes `stream`.

    Raises (while reading):
        CompressionError: the stream is damaged or ends too early.
        OutputTooLargeError: more than `max_bytes` bytes come out.
    """
    source = _Input(stream)
    head = source.peek(6)
    if head.startswith(_GZIP_MAGIC):
        name, pieces = "gzip", _gzip_pieces(source, padding)
    elif head.startswith(_ZSTD_MAGIC) or _is_skippable(head[:4]):
        name, pieces = "zstd", _zstd_pieces(source)
    elif head.startswith(_BZIP2_MAGIC):
        name, pieces = "bzip2", _bzip2_pieces(source)
    elif head.startswith(_XZ_MAGIC):
        name, pieces = "xz", _xz_pieces(source)
    else:
        name, pieces = "plain", source.pieces()
    return Decompressed(_Pieces(name, _productive(name, pieces), stream, max_bytes), source)


def decoder_memory(format: str) -> int:  # noqa: A002 - as above
    """What a decompressor of gzip, zstd, bzip2, xz or plain bytes allocates at most beside its buffers, in bytes.

    Other names are taken for the worst.
    """
    return {"plain": 0, "gzip": 0, "zstd": 1 << MAX_WINDOW_LOG, "bzip2": _BZIP2_MEMORY}.get(format, _XZ_MEMORY)


def zstd_window(head: bytes) -> int:
    """The window in bytes of the zstd frame that begins with `head`, 18 bytes at least; its reader allocates that much.

    Raises CompressionError for what is no frame.
    """
    try:
        return min(zstandard.get_frame_parameters(head).window_size, 1 << MAX_WINDOW_LOG)
    except zstandard.ZstdError as error:
        raise CompressionError("zstd", f"is damaged ({error})") from error


def zstd_frame(stream: BinaryIO) -> Iterator[bytes]:
    """The content of exactly one zstd frame, in pieces of at most 128 KiB; nothing may stand before or behind it.

    Raises (while iterating):
        CompressionError: damaged, truncated, of a window above 128 MiB, a skippable frame, or followed by anything.
    """
    source = _Input(stream)
    magic = source.read(4)
    if magic != _ZSTD_MAGIC:
        raise CompressionError("zstd", "does not begin with a frame" if len(magic) == 4 else "is truncated")
    try:
        yield from _productive("zstd", _zstd_frame_pieces(source))
    except WindowTooLargeError as error:  # nobody writes one
        raise CompressionError("zstd", f"is damaged (it {error.reason})") from error
    if source.read(1):
        raise CompressionError("zstd", "goes on after the end of its frame")


class _Input:
    """A stream that can be looked into, and given back what was read too far."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._pushed = b""
        self.gzip_parts = 0
        """Members that were begun, and pieces of padding behind them."""

    def peek(self, size: int) -> bytes:
        data = self.read(size)
        self.push_back(data)
        return data

    def push_back(self, data: bytes) -> None:
        self._pushed = data + self._pushed

    def read(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        data, self._pushed = self._pushed[:size], self._pushed[size:]
        while len(data) < size and (more := self._stream.read(size - len(data))):
            data += more
        return data

    def piece(self) -> bytes:
        """Whatever is at hand, at most one piece; empty only at the end."""
        if self._pushed:
            data, self._pushed = self._pushed, b""
            return data
        return self._stream.read(_INPUT)

    def pieces(self) -> Iterator[bytes]:
        while piece := self.piece():
            yield piece

    def pass_zeros(self) -> int:
        """How many zeros stood here, all of which are passed."""
        passed = 0
        for piece in self.pieces():
            rest = piece.lstrip(b"\0")
            passed += len(piece) - len(rest)
            if rest:
                self.push_back(rest)
                break
        return passed


class _Pieces(io.RawIOBase):
    """An iterator of pieces as a raw stream that counts what it hands out."""

    def __init__(self, name: str, pieces: Iterator[bytes], stream: BinaryIO, max_bytes: int) -> None:
        self._name = name
        self._pieces = pieces
        self._stream = stream
        self._left = max_bytes
        self._limit = max_bytes
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer).cast("B")
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left -= len(piece)
            if self._left < 0:
                raise OutputTooLargeError(self._name, self._limit)
            self._piece = memoryview(piece)
        count = min(len(target), len(self._piece))
        target[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _productive(name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`pieces`, each what one step gave, without the empty ones; an error where too many of them hold too little."""
    left = _FREE_STEPS * _STEP
    for piece in pieces:
        left += min(len(piece), _PIECE) - _STEP
        if left < 0:
            raise CompressionError(
                name, f"has more than {_FREE_STEPS:,} parts with less than {_STEP} bytes each; compress it again"
            )
        if piece:
            yield piece


def _gzip_pieces(source: _Input, padding: bool) -> Iterator[bytes]:
    from isal import isal_zlib  # here, because `patch` should start quickly and reads zstd alone; so with the others

    while True:
        if int.from_bytes(source.peek(4)[3:]) & _GZIP_RESERVED_FLAGS:
            raise CompressionError("gzip", "is damaged (reserved flags are set)")
        member = isal_zlib.decompressobj(wbits=16 + isal_zlib.MAX_WBITS)
        source.gzip_parts += 1
        while not member.eof:
            data = member.unconsumed_tail or source.piece()
            if not data:
                raise CompressionError("gzip", "is truncated")
            try:
                piece = member.decompress(data, _PIECE)
            except isal_zlib.error as error:  # type: ignore[misc]  # declared as an instance of an error
                raise CompressionError("gzip", f"is damaged ({error})") from error
            yield piece
        source.push_back(member.unused_data)
        head = source.peek(2)
        if head.startswith(_GZIP_MAGIC):
            continue
        # gzip pads to a tape's block with zeros, and its own reader takes them; Go's does not
        for rest in source.pieces():
            source.gzip_parts += 1
            if rest.strip(b"\0"):
                raise CompressionError("gzip", "is followed by something other than a gzip member")
            if not padding:
                raise CompressionError(
                    "gzip",
                    "is followed by zeros, which podman, docker and umoci refuse to unpack",
                    advice="Compress the layer again, and build the image with that.",
                )
        return


def _bzip2_pieces(source: _Input) -> Iterator[bytes]:
    import bz2

    while head := source.peek(3):
        if head != _BZIP2_MAGIC:
            raise CompressionError("bzip2", "is followed by something other than a bzip2 stream")
        decompressor = bz2.BZ2Decompressor()
        while not decompressor.eof:
            data = source.piece() if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise CompressionError("bzip2", "is truncated")
            try:
                piece = decompressor.decompress(data, _PIECE)
            except (OSError, ValueError) as error:
                raise CompressionError("bzip2", f"is damaged ({error})") from error
            yield piece
        source.push_back(decompressor.unused_data)


def _xz_pieces(source: _Input) -> Iterator[bytes]:
    import lzma

    while head := source.peek(6):
        if head != _XZ_MAGIC:
            raise CompressionError("xz", "is followed by something other than an xz stream")
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not decompressor.eof:
            data = source.piece() if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise CompressionError("xz", "is truncated")
            try:
                piece = decompressor.decompress(data, _PIECE)
            except lzma.LZMAError as error:
                raise CompressionError("xz", f"is damaged ({error})") from error
            yield piece
        source.push_back(decompressor.unused_data)
        if source.pass_zeros() % 4:  # stream padding comes in groups of four (xz format, 2.2)
            raise CompressionError("xz", "is followed by padding that is no multiple of four bytes")


def _zstd_pieces(source: _Input) -> Iterator[bytes]:
    while magic := source.read(4):
        if magic == _ZSTD_MAGIC:
            yield from _zstd_frame_pieces(source)
        elif _is_skippable(magic):
            left = int.from_bytes(_exactly(source, 4), "little")
            while left:
                left -= len(_exactly(source, min(left, _PIECE)))
            yield b""
        else:
            raise CompressionError("zstd", "is followed by something other than a frame")


def _zstd_frame_pieces(source: _Input) -> Iterator[bytes]:
    """The frame whose magic has just been read (RFC 8878, 3.1.1): its header, then its blocks one by one."""
    descriptor = _exactly(source, 1)[0]
    single_segment = descriptor >> 5 & 1
    size_field = (single_segment, 2, 4, 8)[descriptor >> 6]
    header = _exactly(source, (1 - single_segment) + (0, 1, 2, 4)[descriptor & 3] + size_field)
    window = _window(header, single_segment, size_field)
    if window > 1 << MAX_WINDOW_LOG:
        raise WindowTooLargeError(window)
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << MAX_WINDOW_LOG).decompressobj()
    try:
        decoder.decompress(_ZSTD_MAGIC + bytes([descriptor]) + header)
        is_last = False
        while not is_last:
            block = _exactly(source, 3)
            word = int.from_bytes(block, "little")
            is_last = bool(word & 1)
            block += _exactly(source, 1 if word >> 1 & 3 == 1 else word >> 3)
            if is_last and descriptor >> 2 & 1:
                block += _exactly(source, 4)
            yield decoder.decompress(block)
    except zstandard.ZstdError as error:
        raise CompressionError("zstd", f"is damaged ({error})") from error
    if not decoder.eof:
        raise CompressionError("zstd", "is damaged (its frame does not end with its last block)")


def _window(header: bytes, single_segment: int, size_field: int) -> int:
    """The bytes that a frame's reader must hold (RFC 8878, 3.1.1.1.2): its window, or all of its one segment."""
    if single_segment:
        size = int.from_bytes(header[len(header) - size_field :], "little")
        return size + 256 if size_field == 2 else size
    exponent, mantissa = header[0] >> 3, header[0] & 7
    base = 1 << 10 + exponent
    return base + (base >> 3) * mantissa


def _is_skippable(magic: bytes) -> bool:
    return len(magic) == 4 and magic[0] & 0xF0 == 0x50 and magic[1:] == b"\x2a\x4d\x18"


def _exactly(source: _Input, size: int) -> bytes:
    data = source.read(size)
    if len(data) < size:
        raise CompressionError("zstd", "is truncated")
    return data
