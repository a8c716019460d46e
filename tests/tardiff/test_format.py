"""Operations read."""

import pytest

from pipeline.tardiff.format import (
    MAX_PIECE,
    MalformedDeltaError,
    Op,
    normalised,
    operations,
    uvarint,
)


def read(*pieces: bytes, most: int = MAX_PIECE) -> list[tuple[Op, int, bytes]]:
    return [(Op(code), size, payload) for code, size, payload in operations(iter(pieces), most=most)]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 35, (1 << 64) - 1])
def test_numbers_come_back(value: int) -> None:
    for cut in range(11):
        encoded = bytes([Op.SEEK]) + uvarint(value)
        assert read(encoded[:cut], encoded[cut:]) == [(Op.SEEK, value, b"")]


def test_operations_may_cross_pieces() -> None:
    stream = b"\x00\x05hello\x02\x07\x04\x80\x80\x01\x03\x03xyz\x01\x01f\x00\x00"
    expected = [
        (Op.DATA, 5, b"hello"),
        (Op.COPY, 7, b""),
        (Op.SEEK, 1 << 14, b""),
        (Op.ADD_DATA, 3, b"xyz"),
        (Op.OPEN, 1, b"f"),
        (Op.DATA, 0, b""),
    ]
    assert read(stream) == expected
    assert read(*[bytes([byte]) for byte in stream]) == expected
    for first in range(len(stream)):
        for second in range(first, len(stream)):
            assert read(stream[:first], stream[first:second], b"", stream[second:]) == expected


def test_large_payloads_come_in_pieces() -> None:
    stream = b"\x00\x05hello\x02\x07\x03\x04wxyz"
    expected = [(0, 2, b"he"), (0, 2, b"ll"), (0, 1, b"o"), (2, 7, b""), (3, 2, b"wx"), (3, 2, b"yz")]
    assert read(stream, most=2) == expected
    assert read(*[bytes([byte]) for byte in stream], most=2) == expected


@pytest.mark.parametrize(
    ("pieces", "offset", "reason"),
    [
        ([b"\x00\x01a" * 50, b"\x00\x01a" * 50, b"\x07"], 300, "inside an operation"),
        ([b"\x00\x01a" * 50, b"\x00\x01a" * 50, b"\x07\x00"], 300, "unknown operation 7"),
        ([b"\x00\x01a\x02\x80", b"\x80"], 3, "inside an operation"),
        ([b"\x00\x01a\x00", b"\x04ab", b"c"], 5, "inside the data"),
        ([b"\x00\x01a\x02" + b"\xff" * 9 + b"\x02"], 3, "exceeds 64 bits"),
        ([b"\x00\x01a\x02" + b"\xff" * 10 + b"\x00"], 3, "exceeds 64 bits"),
    ],
)
def test_the_offset_of_a_fault_counts_the_whole_stream(pieces: list[bytes], offset: int, reason: str) -> None:
    with pytest.raises(MalformedDeltaError, match=reason) as caught:
        read(*pieces)
    assert caught.value.offset == offset


@pytest.mark.parametrize("path", [b"a", b"a/b", b".a", b"a..b/...", "grüße".encode(), b"a" * 4096])
def test_paths_that_every_decoder_takes(path: bytes) -> None:
    assert normalised(path) == path


@pytest.mark.parametrize("path", [b"", b"/a", b"a/", b"a//b", b".", b"..", b"a/./b", b"\xff", b"a\0b", b"a" * 4097])
def test_paths_that_some_decoder_refuses(path: bytes) -> None:
    assert normalised(path) is None
