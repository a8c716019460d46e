"""Operations written and read."""

import io

import pytest

from pipeline.tardiff.format import MalformedDeltaError, Op, OpReader, OpWriter, normalised, uvarint


def written(*calls: tuple[str, object]) -> tuple[list[tuple[Op, int, bytes]], OpWriter]:
    out = io.BytesIO()
    writer = OpWriter(out)
    for name, arguments in calls:
        getattr(writer, name)(*arguments if isinstance(arguments, tuple) else (arguments,))
    writer.finish()
    reader = OpReader(iter([out.getvalue()]))
    found = []
    while (operation := reader.next()) is not None:
        code, size = operation
        found.append((Op(code), size, reader.read(size) if code in (Op.DATA, Op.OPEN, Op.ADD_DATA) else b""))
    return found, writer


def test_neighbours_become_one_operation() -> None:
    found, writer = written(
        ("data", b"ab"), ("data", b"cd"), ("copy", (b"f", 0, 5)), ("copy", (b"f", 5, 3)), ("data", b""), ("data", b"e")
    )
    assert found == [(Op.DATA, 4, b"abcd"), (Op.OPEN, 1, b"f"), (Op.COPY, 8, b""), (Op.DATA, 1, b"e")]
    assert (writer.ops, writer.literal, writer.copied, writer.added) == (4, 5, 8, 0)


def test_a_source_is_opened_and_sought_only_when_needed() -> None:
    found, _ = written(
        ("copy", (b"f", 0, 5)),
        ("add", (b"f", 5, b"\1\2")),
        ("data", b"x"),
        ("copy", (b"f", 7, 1)),
        ("copy", (b"f", 2, 1)),
        ("copy", (b"g", 0, 1)),
        ("add", (b"f", 9, b"\1")),
    )
    codes = [(op, size) for op, size, _ in found]
    assert codes == [
        (Op.OPEN, 1),
        (Op.COPY, 5),
        (Op.ADD_DATA, 2),
        (Op.DATA, 1),
        (Op.COPY, 1),
        (Op.SEEK, 2),
        (Op.COPY, 1),
        (Op.OPEN, 1),
        (Op.COPY, 1),
        (Op.OPEN, 1),
        (Op.SEEK, 9),
        (Op.ADD_DATA, 1),
    ]


def test_nothing_empty_is_written() -> None:
    assert written(("data", b""), ("copy", (b"f", 3, 0)), ("add", (b"f", 3, b"")))[0] == []


def test_large_sums_and_literals_are_cut() -> None:
    found, _ = written(("add", (b"f", 0, b"\1" * (5 << 19))))
    assert [size for op, size, _ in found if op == Op.ADD_DATA] == [1 << 20, 1 << 20, 1 << 19]
    found, _ = written(*[("data", b"x" * (1 << 19))] * 5)
    assert [size for _, size, _ in found] == [1 << 20, 1 << 20, 1 << 19]


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 35, (1 << 64) - 1])
def test_numbers_come_back(value: int) -> None:
    for cut in range(11):
        encoded = bytes([Op.SEEK]) + uvarint(value)
        assert OpReader(iter([encoded[:cut], encoded[cut:]])).next() == (Op.SEEK, value)


def test_payloads_may_cross_pieces() -> None:
    reader = OpReader(iter([b"\x00\x05he", b"l", b"", b"lo\x02", b"\x07"]))
    assert reader.next() == (Op.DATA, 5)
    assert reader.read(3) + reader.read(2) == b"hello"
    assert reader.next() == (Op.COPY, 7)
    assert reader.next() is None
    assert reader.offset == 9


def test_the_offset_of_a_fault_counts_the_whole_stream() -> None:
    reader = OpReader(iter([b"\x00\x01a" * 50, b"\x00\x01a" * 50, b"\x07"]))
    for _ in range(100):
        reader.next()
        reader.read(1)
    with pytest.raises(MalformedDeltaError) as caught:
        reader.next()
    assert caught.value.offset == 300


@pytest.mark.parametrize("path", [b"a", b"a/b", b".a", b"a..b/...", "grüße".encode(), b"a" * 4096])
def test_paths_that_every_decoder_takes(path: bytes) -> None:
    assert normalised(path) == path


@pytest.mark.parametrize("path", [b"", b"/a", b"a/", b"a//b", b".", b"..", b"a/./b", b"\xff", b"a\0b", b"a" * 4097])
def test_paths_that_some_decoder_refuses(path: bytes) -> None:
    assert normalised(path) is None
