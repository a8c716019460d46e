"""The one writer of operations. It emits only what all decoders take (`format`), and as little as does:

Rule 1. No operation is empty, no Seek goes where the position already is, and no AddData exceeds 1 MiB (decoders refuse
        100 MiB, and hold it whole).
Rule 2. Copies and literals that touch are one operation: every operation costs each client a read and a write.
Rule 3. A source is opened when it changes, not again while it stays the same: some clients copy the whole file at
        each Open.
"""

from ...compression import Writable
from ..format import Op, uvarint

_ADD_DATA_EMITTED = 1 << 20
_DATA_EMITTED = 1 << 20
_CODES = [bytes((code,)) for code in Op]


class OpWriter:
    """Writes operations to `out`, merging neighbours; `finish` writes what is still held back.

    Sources are named at each call, so that nobody else keeps the state of the decoder: the writer knows which source is
    open and where its position is.
    """

    def __init__(self, out: Writable) -> None:
        self._out = out
        self._path = b""
        self._position = 0  # where the decoder stands after everything held back is written
        self._copy = 0
        self._data = bytearray()
        self.ops = 0
        """Operations written so far."""
        self.literal = 0
        self.copied = 0
        self.added = 0
        """Bytes of output made by Data, Copy and AddData."""

    def data(self, data: bytes | memoryview) -> None:
        """Emit `data` as it is."""
        if data:
            self._flush_copy()
            self._data += data
            self.literal += len(data)
            if len(self._data) >= _DATA_EMITTED:
                self._flush_data()

    def copy(self, path: bytes, offset: int, size: int) -> None:
        """Emit `size` bytes of the source `path` from `offset`."""
        if size:
            if self._data or path != self._path or offset != self._position:
                self._stand_at(path, offset)
            self._copy += size
            self._position += size
            self.copied += size

    def add(self, path: bytes, offset: int, difference: bytes) -> None:
        """Emit the bytes of the source `path` from `offset`, each plus its byte of `difference` mod 256."""
        for at in range(0, len(difference), _ADD_DATA_EMITTED):
            piece = difference[at : at + _ADD_DATA_EMITTED]
            self._stand_at(path, offset + at)
            self._flush_copy()
            self._op(Op.ADD_DATA, len(piece))
            self._out.write(piece)
            self._position += len(piece)
            self.added += len(piece)

    def begin_many(self, path: bytes) -> int:
        """Open the source `path` for operations that are encoded elsewhere (`differences`); the position in it."""
        self._flush_copy()
        self._flush_data()
        if path != self._path:
            self._open(path)
        return self._position

    def end_many(self, encoded: bytes, *, ops: int, position: int, literal: int, copied: int, added: int) -> None:
        """Write `encoded`, `ops` operations on the source of `begin_many` that leave it at `position`."""
        self._out.write(encoded)
        self._position = position
        self.ops += ops
        self.literal += literal
        self.copied += copied
        self.added += added

    def finish(self) -> None:
        """Write what was held back."""
        self._flush_copy()
        self._flush_data()

    def _stand_at(self, path: bytes, offset: int) -> None:
        self._flush_data()
        if path != self._path:
            self._flush_copy()
            self._open(path)
        if offset != self._position:
            self._flush_copy()
            self._op(Op.SEEK, offset)
            self._position = offset

    def _open(self, path: bytes) -> None:
        self._op(Op.OPEN, len(path))
        self._out.write(path)
        self._path, self._position = path, 0

    def _flush_copy(self) -> None:
        if self._copy:
            self._op(Op.COPY, self._copy)
            self._copy = 0

    def _flush_data(self) -> None:
        if self._data:
            self._op(Op.DATA, len(self._data))
            self._out.write(bytes(self._data))
            self._data.clear()

    def _op(self, code: Op, size: int) -> None:
        self._out.write(_CODES[code] + uvarint(size))
        self.ops += 1
