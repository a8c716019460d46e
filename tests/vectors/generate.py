"""Writes the tar-diff vectors: `python -m tests.vectors.generate [DIRECTORY]`.

Each is a delta against the tree `SOURCES`, named by its fault (or by what it shows); `EXPECTED` says what applying it
must answer. zstd frames are written here as raw blocks, so that the bytes do not depend on any library.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"tardf1\n\0"
DATA, OPEN, COPY, ADD, SEEK = range(5)

SOURCES = {"f": bytes(range(200)), "d/g": b"the other file", "empty": b""}
"""The files that the deltas read; there is a symlink `link` to `f`, one `dirlink` to `d`, and a FIFO `fifo` too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """`output` is what comes out; None where `error`, a part of the message, does."""

    delta: bytes
    output: bytes | None = None
    error: str = ""


def uvarint(value: int, *, padding: int = 0) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + (bytes([value | 128]) + b"\x80" * (padding - 1) + b"\0" if padding else bytes([value]))


def op(code: int, size: int, data: bytes = b"") -> bytes:
    return bytes([code]) + uvarint(size) + data


def data(content: bytes) -> bytes:
    return op(DATA, len(content), content)


def opened(path: bytes) -> bytes:
    return op(OPEN, len(path), path)


def frame(content: bytes, *, window_log: int = 17, checksum: bool = False) -> bytes:
    """A zstd frame of raw blocks (RFC 8878, 3.1.1)."""
    blocks = [content[at : at + 10_000] for at in range(0, len(content), 10_000)] or [b""]
    out = b"\x28\xb5\x2f\xfd" + bytes([4 if checksum else 0, (window_log - 10) << 3])
    for number, block in enumerate(blocks, 1):
        out += (len(block) << 3 | (number == len(blocks))).to_bytes(3, "little") + block
    return out + (b"\0\0\0\0" if checksum else b"")


def delta(*operations: bytes) -> bytes:
    return MAGIC + frame(b"".join(operations))


def good(expected: bytes, *operations: bytes) -> Vector:
    return Vector(delta=delta(*operations), output=expected)


def bad(error: str, *operations: bytes) -> Vector:
    return Vector(delta=delta(*operations), error=error)


def raw(error: str, content: bytes) -> Vector:
    return Vector(delta=content, error=error)


F = SOURCES["f"]
_SKIPPABLE = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
_RLE_BOMB = b"\x28\xb5\x2f\xfd\x00" + bytes([(20 - 10) << 3])
_RLE_BOMB += ((128 << 10 << 3) | 2).to_bytes(3, "little") + b"\0"

EXPECTED: dict[str, Vector] = {
    # what must work
    "nothing": good(b""),
    "data": good(b"hello", data(b"hello")),
    "copy": good(F[:10], opened(b"f"), op(COPY, 10)),
    "copy-whole-of-two-files": good(F + b"the other file", opened(b"f"), op(COPY, 200), opened(b"d/g"), op(COPY, 14)),
    "seek-back": good(F[100:110] + F[:5], opened(b"f"), op(SEEK, 100), op(COPY, 10), op(SEEK, 0), op(COPY, 5)),
    "add-data": good(b"uif!", opened(b"d/g"), op(ADD, 4, b"\x01\x01\x01\x01")),
    "add-data-wraps-around": good(b"\x00\x01\xfe", opened(b"f"), op(SEEK, 2), op(ADD, 3, b"\xfe\xfe\xfa")),
    "reopening-goes-to-the-start": good(F[:3] * 2, opened(b"f"), op(COPY, 3), opened(b"f"), op(COPY, 3)),
    "zero-sized-data": good(b"a", op(DATA, 0), data(b"a"), op(DATA, 0)),
    "zero-sized-copy": good(b"", opened(b"f"), op(COPY, 0)),
    "zero-sized-add-data": good(b"", opened(b"f"), op(ADD, 0)),
    "seek-past-the-end-and-back": good(F[:2], opened(b"f"), op(SEEK, 1 << 40), op(SEEK, 0), op(COPY, 2)),
    "empty-source-unread": good(b"", opened(b"empty")),
    "long-uvarint": good(b"ab", bytes([DATA]) + uvarint(2, padding=3) + b"ab"),
    "data-over-several-blocks": good(b"x" * 25_000, data(b"x" * 25_000)),
    # what must not
    "empty-file": raw("magic", b""),
    "bad-magic": raw("magic", b"tardf0\n\0" + frame(b"")),
    "later-version": raw("magic", b"tardf2\n\0" + frame(b"")),
    "magic-only": raw("truncated", MAGIC),
    "no-zstd": raw("does not begin with a frame", MAGIC + b"abcdefgh"),
    "skippable-frame-first": raw("does not begin with a frame", MAGIC + _SKIPPABLE + frame(data(b"a"))),
    "skippable-frame-last": raw("goes on after", MAGIC + frame(data(b"a")) + _SKIPPABLE),
    "second-frame": raw("goes on after", MAGIC + frame(data(b"a")) + frame(data(b"b"))),
    "trailing-garbage": raw("goes on after", MAGIC + frame(data(b"a")) + b"\0"),
    "truncated-frame": raw("truncated", delta(data(b"hello"))[:-3]),
    "truncated-frame-header": raw("truncated", MAGIC + frame(b"")[:5]),
    "wrong-frame-checksum": raw("damaged", MAGIC + frame(data(b"a"), checksum=True)),
    "window-too-large": raw("damaged", MAGIC + frame(data(b"a"), window_log=28)),
    "reserved-block-type": raw("damaged", MAGIC + frame(b"")[:-3] + (1 | 3 << 1 | 1 << 3).to_bytes(3, "little") + b"a"),
    "endless-zeros": raw("truncated", MAGIC + _RLE_BOMB),
    "unknown-op": bad("unknown operation 5", op(5, 1, b"a")),
    "op-without-size": bad("inside an operation", bytes([DATA])),
    "size-cut-off": bad("inside an operation", bytes([DATA, 0x80, 0x80])),
    "size-beyond-64-bits": bad("exceeds 64 bits", bytes([DATA]) + b"\xff" * 9 + b"\x7f"),
    "size-never-ends": bad("exceeds 64 bits", bytes([DATA]) + b"\x80" * 20),
    "short-data": bad("inside the data", op(DATA, 10, b"short")),
    "huge-data": bad("inside the data", op(DATA, 1 << 60, b"short")),
    "short-add-data": bad("inside the data", opened(b"f"), op(ADD, 10, b"short")),
    "short-path": bad("inside the data", op(OPEN, 10, b"short")),
    "oversized-path": bad("a path of 4,097 bytes", op(OPEN, 4097, b"a" * 4097)),
    "oversized-add-data": bad("an AddData of 104,857,601", opened(b"f"), op(ADD, (100 << 20) + 1, b"a")),
    "empty-open": bad("normalised", op(OPEN, 0)),
    "path-absolute": bad("normalised", opened(b"/etc/passwd")),
    "path-traversal": bad("normalised", opened(b"../f")),
    "path-traversal-inside": bad("normalised", opened(b"d/../f")),
    "path-with-dot": bad("normalised", opened(b"./f")),
    "path-with-two-slashes": bad("normalised", opened(b"d//g")),
    "path-with-slash-at-end": bad("normalised", opened(b"d/")),
    "path-with-nul": bad("normalised", opened(b"f\0")),
    "path-not-utf-8": bad("normalised", opened(b"\xff")),
    "path-component-too-long": bad("name too long", opened(b"n" * 300)),
    "missing-file": bad("no such file", opened(b"missing")),
    "missing-directory": bad("no such file", opened(b"missing/f")),
    "file-as-directory": bad("not a directory", opened(b"f/f")),
    "directory-as-file": bad("not a regular file", opened(b"d")),
    "symlink": bad("symlink", opened(b"link")),
    "through-a-symlink": bad("symlink", opened(b"dirlink/g")),
    "fifo": bad("not a regular file", opened(b"fifo")),
    "copy-without-open": bad("before one is open", op(COPY, 1)),
    "add-data-without-open": bad("before one is open", op(ADD, 1, b"a")),
    "seek-without-open": bad("before one is open", op(SEEK, 1)),
    "copy-after-failed-size": bad("ends at or before", opened(b"empty"), op(COPY, 1)),
    "copy-past-the-end": bad("ends at or before", opened(b"f"), op(COPY, 201)),
    "add-data-past-the-end": bad("ends at or before", opened(b"f"), op(SEEK, 199), op(ADD, 2, b"ab")),
    "seek-past-the-end-and-copy": bad("ends at or before", opened(b"f"), op(SEEK, 1 << 40), op(COPY, 1)),
    "seek-beyond-63-bits": bad("beyond any file", opened(b"f"), op(SEEK, 1 << 63)),
}


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name, vector in EXPECTED.items():
        (directory / f"{name}.tardiff").write_bytes(vector.delta)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "tardiff")
