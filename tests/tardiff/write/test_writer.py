"""Operations written."""

import io

from pipeline.tardiff.format import MAX_ADD_DATA, Op, operations
from pipeline.tardiff.write.writer import OpWriter


def written(*calls: tuple[str, object]) -> tuple[list[tuple[Op, int, bytes]], OpWriter]:
    out = io.BytesIO()
    writer = OpWriter(out)
    for name, arguments in calls:
        getattr(writer, name)(*arguments if isinstance(arguments, tuple) else (arguments,))
    writer.finish()
    found = operations(iter((out.getvalue(),)), most=MAX_ADD_DATA)
    return [(Op(code), size, payload) for code, size, payload in found], writer


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
