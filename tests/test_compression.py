"""Streams in and out of compression."""

import bz2
import gzip
import io
import lzma
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from pipeline.compression import (
    CompressionError,
    OutputTooLargeError,
    Strength,
    ZstdFrameWriter,
    decompressed,
    zstd_frame,
)

CONTENT = random.Random(1).randbytes(50_000) + bytes(700_000) + b"the end" * 1000
FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
SKIPPABLE = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"extra"


def read(stream: bytes, *, max_bytes: int = 1 << 30) -> bytes:
    with decompressed(io.BytesIO(stream), max_bytes=max_bytes) as result:
        return result.read()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"x", CONTENT], ids=len)
def test_content_comes_back(name: str, content: bytes) -> None:
    assert read(FORMATS[name](content)) == content
    assert read(FORMATS[name](content) + FORMATS[name](b"and more")) == content + b"and more"


@pytest.mark.parametrize("content", [b"", b"x", b"PK\3\4", CONTENT], ids=len)
def test_what_is_not_compressed_comes_as_it_is(content: bytes) -> None:
    assert read(content) == content


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation_is_an_error(name: str) -> None:
    stream = FORMATS[name](CONTENT[:3000])
    for size in [*range(6, 40), *range(len(stream) - 40, len(stream))]:
        with pytest.raises(CompressionError, match="truncated"):
            read(stream[:size])


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_an_error(name: str) -> None:
    stream = bytearray(FORMATS[name](CONTENT[:3000]))
    stream[len(stream) // 2] ^= 0x55
    with pytest.raises(CompressionError, match=name):
        read(bytes(stream))


@pytest.mark.parametrize("name", FORMATS)
def test_garbage_behind_is_an_error(name: str) -> None:
    with pytest.raises(CompressionError, match="followed by something other"):
        read(FORMATS[name](b"x") + b"garbage")


EMPTY: dict[str, bytes] = {
    **{name: compress(b"") for name, compress in FORMATS.items()},
    "zstd, skippable": b"\x50\x2a\x4d\x18" + bytes(4),
    "zstd, one byte each": zstandard.ZstdCompressor().compress(b"x"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_work_without_output_is_bounded(name: str) -> None:
    compress = FORMATS[name.partition(",")[0]]
    few = read(compress(CONTENT) + EMPTY[name] * 5000)
    assert few[: len(CONTENT)] == CONTENT
    with pytest.raises(CompressionError, match="more than 10,000 parts with less than 64 bytes each"):
        read(compress(b"x") + EMPTY[name] * 20_000 + compress(CONTENT))


@pytest.mark.parametrize("count", [4, 1 << 22])
def test_padding_of_xz_streams_is_passed(count: int) -> None:
    compress = FORMATS["xz"]
    assert read(compress(b"x") + bytes(count) + compress(b"y") + bytes(count)) == b"xy"
    for broken in (compress(b"x") + bytes(count + 2), compress(b"x") + bytes(count + 1) + compress(b"y")):
        with pytest.raises(CompressionError, match="no multiple of four"):
            read(broken)


def test_zstd_blocks_without_content_are_bounded() -> None:
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + b"\0\0\0" * 20_000 + b"\x01\0\0"
    with pytest.raises(CompressionError, match="more than 10,000 parts"):
        b"".join(zstd_frame(io.BytesIO(frame)))
    with pytest.raises(CompressionError, match="more than 10,000 parts"):
        read(frame)


def test_small_members_are_no_reason_to_stop() -> None:
    # as eStargz and zstd:chunked write them: one for each small file
    for compress in (FORMATS["gzip"], FORMATS["zstd"]):
        assert len(read(compress(b"a header of a small file".ljust(512)) * 12_000)) == 12_000 * 512


@pytest.mark.parametrize("name", [*FORMATS, "plain"])
def test_output_is_bounded(name: str) -> None:
    stream = FORMATS.get(name, bytes)(CONTENT)
    assert len(read(stream, max_bytes=len(CONTENT))) == len(CONTENT)
    with pytest.raises(OutputTooLargeError, match="756,999") as caught:
        read(stream, max_bytes=len(CONTENT) - 1)
    assert (caught.value.format, caught.value.limit) == (name, len(CONTENT) - 1)


def test_padding_that_the_tools_take() -> None:
    assert read(gzip.compress(b"x") + bytes(1000)) == b"x"
    assert read(lzma.compress(b"x") + bytes(8) + lzma.compress(b"y")) == b"xy"


def test_gzip_flags_without_a_meaning_are_damage() -> None:
    member = bytearray(gzip.compress(b"x"))
    member[3] |= 0x40
    for stream in (bytes(member), gzip.compress(b"y") + member):
        with pytest.raises(CompressionError, match="reserved flags"):
            read(stream)


@pytest.mark.parametrize("at", range(-8, 0))
def test_the_sums_behind_gzip_are_compared(at: int) -> None:
    stream = bytearray(gzip.compress(CONTENT))
    stream[at] ^= 1
    with pytest.raises(CompressionError, match="gzip"):
        read(bytes(stream))


def test_skippable_frames_are_legal_in_layers() -> None:
    compress = FORMATS["zstd"]
    assert read(SKIPPABLE + compress(b"x") + SKIPPABLE + compress(b"y") + SKIPPABLE) == b"xy"
    with pytest.raises(CompressionError, match="truncated"):
        read(compress(b"x") + SKIPPABLE[:-1])


@pytest.mark.parametrize("name", FORMATS)
def test_a_bomb_needs_little_memory(name: str) -> None:
    bomb = FORMATS[name](bytes(64 << 20))
    tracemalloc.start()
    with decompressed(io.BytesIO(bomb), max_bytes=1 << 30) as stream:
        size = sum(len(piece) for piece in iter(lambda: stream.read(1 << 16), b""))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 64 << 20
    assert peak < 16 << 20  # xz keeps the 8 MiB of its dictionary


def test_closing_closes_the_source() -> None:
    source = io.BytesIO(gzip.compress(b"x"))
    decompressed(source, max_bytes=10).close()
    assert source.closed


RESIDENT = """
import random, resource, sys
from pathlib import Path
from pipeline.compression import Strength, ZstdFrameWriter, zstd_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024

class Nowhere:
    def write(self, data):
        return len(data)

level, one_pass, size = (int(argument) for argument in sys.argv[1:])
strength = Strength(level, one_pass=bool(one_pass))
noise = random.Random(1)
repeated, filler = noise.randbytes(1 << 18), []
while resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > (before := resident()) + 256:
    filler.append(noise.randbytes(1 << 18))
writer = ZstdFrameWriter(Nowhere(), strength=strength, size_bound=size)
for _ in range(size >> 18):
    new = noise.randbytes(noise.randrange(1, 9000))
    writer.write((new + repeated)[: 1 << 18])
writer.finish()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 - zstd_memory(strength, size))
"""


@pytest.mark.parametrize("size", [1 << 20, 15 << 18, 6 << 20], ids=["1 MiB", "no threads", "threads"])
@pytest.mark.parametrize("strength", [Strength(9), Strength(19, one_pass=True), Strength(22)], ids=str)
def test_compressing_takes_no_more_memory_than_was_said(strength: Strength, size: int) -> None:
    arguments = [str(int(number)) for number in (*strength, size)]
    run = subprocess.run([sys.executable, "-c", RESIDENT, *arguments], capture_output=True, check=True)
    assert int(run.stdout) < 3 << 20  # the pieces of this script, and what the interpreter has for itself


def test_a_written_frame_is_one_frame_without_extras() -> None:
    out = io.BytesIO()
    writer = ZstdFrameWriter(out, strength=Strength(3), size_bound=len(CONTENT))
    for at in range(0, len(CONTENT), 1000):
        writer.write(CONTENT[at : at + 1000])
    writer.finish()
    assert writer.size == len(out.getvalue())
    parameters = zstandard.get_frame_parameters(out.getvalue())
    assert (parameters.has_checksum, parameters.dict_id) == (False, 0)
    assert b"".join(zstd_frame(io.BytesIO(out.getvalue()))) == CONTENT


@pytest.mark.parametrize("bound", [0, 1, 1 << 20, 1 << 40])
def test_the_window_fits_the_content_and_every_reader(bound: int) -> None:
    out = io.BytesIO()
    writer = ZstdFrameWriter(out, strength=Strength(19), size_bound=bound)
    writer.write(b"x")
    writer.finish()
    assert zstandard.get_frame_parameters(out.getvalue()).window_size <= min(1 << 27, max(1 << 17, 2 * bound))


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "truncated"),
        (b"\x28\xb5", "truncated"),
        (b"nonsense", "does not begin with a frame"),
        (SKIPPABLE + FORMATS["zstd"](b"x"), "does not begin with a frame"),
        (FORMATS["zstd"](b"x") + SKIPPABLE, "goes on after"),
        (FORMATS["zstd"](b"x") + FORMATS["zstd"](b"x"), "goes on after"),
        (FORMATS["zstd"](b"x") + b"\0", "goes on after"),
    ],
)
def test_a_delta_has_exactly_one_frame(stream: bytes, reason: str) -> None:
    with pytest.raises(CompressionError, match=reason):
        list(zstd_frame(io.BytesIO(stream)))


def _frame_that_claims(window_log: int, mantissa: int = 0) -> bytes:
    """The header of a frame with a window of its own (RFC 8878, 3.1.1.1.2), and an empty last block."""
    return b"\x28\xb5\x2f\xfd\x00" + bytes([window_log - 10 << 3 | mantissa]) + b"\x01\x00\x00"


def _segment_that_claims(size: int) -> bytes:
    return b"\x28\xb5\x2f\xfd\xe0" + size.to_bytes(8, "little") + b"\x01\x00\x00"


@pytest.mark.parametrize(
    ("frame", "mebibytes"),
    [
        (_frame_that_claims(28), "256"),
        (_frame_that_claims(31), "2,048"),
        (_frame_that_claims(27, 1), "144"),
        (_segment_that_claims(1 << 28), "256"),
    ],
)
def test_a_window_that_is_too_large_is_called_that(frame: bytes, mebibytes: str) -> None:
    problem = f"needs a window of {mebibytes} MiB, 128 MiB at most are read"
    with pytest.raises(CompressionError, match=problem) as caught, decompressed(io.BytesIO(frame), max_bytes=9) as data:
        data.read()
    assert "zstd --long=27" in caught.value.advice


def test_the_largest_window_that_is_read() -> None:
    with decompressed(io.BytesIO(_frame_that_claims(27)), max_bytes=9) as data:
        assert data.read() == b""


def test_zeros_behind_gzip_are_refused_where_no_client_takes_them() -> None:
    padded = FORMATS["gzip"](b"x") + bytes(600)
    with decompressed(io.BytesIO(padded), max_bytes=9) as data:
        assert data.read() == b"x"
    with (
        pytest.raises(CompressionError, match="followed by zeros") as caught,
        decompressed(io.BytesIO(padded), max_bytes=9, padding=False) as data,
    ):
        data.read()
    assert caught.value.advice.startswith("Compress the layer again")


@pytest.mark.parametrize(
    ("stored", "is_one"),
    [
        (gzip.compress(b"all"), True),
        (gzip.compress(b"one") + gzip.compress(b"two"), False),
        (gzip.compress(b"all") + gzip.compress(b""), False),
        (gzip.compress(b"all") + bytes(512), False),
        (zstandard.compress(b"all"), False),
        (b"plain", False),
    ],
)
def test_one_gzip_member_is_told_from_all_else(stored: bytes, is_one: bool) -> None:
    with decompressed(io.BytesIO(stored), max_bytes=1000) as stream:
        stream.read()
        assert stream.is_one_gzip_member == is_one
