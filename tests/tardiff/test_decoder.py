"""Applying deltas: the vectors, and the bounds that they cannot show."""

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from pipeline.compression import Strength, ZstdFrameWriter
from pipeline.tardiff.decoder import DeltaError, MalformedDeltaError, OutputSizeError, SourceError, apply
from pipeline.tardiff.layer.tree import SourceTree
from tests import tars
from tests.vectors import generate
from tests.vectors.generate import ADD, COPY, DATA, MAGIC, SEEK, SOURCES, data, delta, frame, op, opened

from .lab import Lab

VECTORS = Path(generate.__file__).parent / "tardiff"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    root = tmp_path / "sources"
    for path, content in SOURCES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "link").symlink_to("f")
    (root / "dirlink").symlink_to("d")
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture
def tree(lab: Lab) -> SourceTree:
    """The same sources, extracted."""
    files = [tars.file(path, content) for path, content in SOURCES.items()]
    return lab.tree(tars.tar(*files, tars.symlink("link", "f"), tars.symlink("dirlink", "d"), tars.fifo("fifo")))


def test_the_generator_makes_the_checked_in_vectors(tmp_path: Path) -> None:
    generate.main(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in VECTORS.iterdir()}


@pytest.mark.parametrize("name", [name for name, vector in generate.EXPECTED.items() if vector.output is not None])
def test_a_good_vector_gives_its_output(sources: Path, name: str) -> None:
    expected = generate.EXPECTED[name].output
    assert expected is not None
    out = io.BytesIO()
    with (VECTORS / f"{name}.tardiff").open("rb") as stream:
        assert apply(stream, sources, out, expected_size=len(expected)) == len(expected)
    assert out.getvalue() == expected


@pytest.mark.parametrize("name", [name for name, vector in generate.EXPECTED.items() if vector.output is None])
def test_a_bad_vector_is_refused(sources: Path, name: str) -> None:
    with (VECTORS / f"{name}.tardiff").open("rb") as stream, pytest.raises(DeltaError) as caught:
        apply(stream, sources, io.BytesIO(), expected_size=None)
    assert generate.EXPECTED[name].error.lower() in str(caught.value).lower()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, vector in generate.EXPECTED.items() if b"empty" not in vector.delta])
def test_a_tree_gives_what_its_files_would(tree: SourceTree, name: str) -> None:
    expected = generate.EXPECTED[name].output
    out = io.BytesIO()
    with (VECTORS / f"{name}.tardiff").open("rb") as stream:
        if expected is None:
            with pytest.raises(DeltaError):
                apply(stream, tree, out, expected_size=None)
        else:
            apply(stream, tree, out, expected_size=len(expected))
            assert out.getvalue() == expected


@pytest.mark.parametrize("size", [6, 1 << 10, 1 << 16])
@pytest.mark.parametrize("code", [COPY, ADD])
def test_a_source_of_a_tree_ends_in_front_of_its_neighbour(lab: Lab, code: int, size: int) -> None:
    tree = lab.tree(tars.tar(tars.file("a", b"a" * size), tars.file("b", b"b" * size)))
    payload = bytes(size if code == ADD else 0)
    whole = delta(opened(b"a"), op(code, size, payload))
    assert lab.apply(whole, tree, size=size) == b"a" * size
    for operations in [
        (op(SEEK, 1), op(code, size, payload)),
        (op(SEEK, size), op(COPY, 1)),
        (op(SEEK, 1 << 62), op(COPY, 1)),
        (op(SEEK, (1 << 63) - 1), op(COPY, 1)),
        (op(SEEK, (1 << 63) - 1), op(ADD, 1, b"a")),
    ]:
        for first, second in ((b"b", b"a"), (b"a", b"b")):
            message = rf"source {second.decode()}: ends at or before byte [0-9,]+, the delta reads on"
            with pytest.raises(SourceError, match=message):
                lab.apply(delta(opened(first), op(COPY, 1), opened(second), *operations), tree)


@pytest.mark.parametrize(
    "path", [b"link", b"dirlink/g", b"fifo", b"empty", b"d", b"d//g", b"./f", b"../f", b"/f", b"\xff"]
)
def test_a_tree_knows_its_sources_alone(tree: SourceTree, path: bytes) -> None:
    with pytest.raises(SourceError, match="no such file or directory"):
        apply(io.BytesIO(delta(opened(path))), tree, io.BytesIO(), expected_size=None)


@pytest.mark.parametrize(
    "operations",
    [(data(b"x" * 101),), (data(b"x" * 100), opened(b"f"), op(COPY, 1)), (opened(b"f"), op(ADD, 101, b"a" * 101))],
    ids=["data", "copy", "add-data"],
)
def test_output_stops_at_the_expected_size(sources: Path, operations: tuple[bytes, ...]) -> None:
    out = io.BytesIO()
    with pytest.raises(OutputSizeError, match="more than the expected 100 bytes"):
        apply(io.BytesIO(delta(*operations)), sources, out, expected_size=100)
    assert len(out.getvalue()) <= 100


def test_a_short_result_is_refused(sources: Path) -> None:
    with pytest.raises(OutputSizeError, match="4 bytes instead of the expected 5") as caught:
        apply(io.BytesIO(delta(data(b"four"))), sources, io.BytesIO(), expected_size=5)
    assert (caught.value.expected, caught.value.size) == (5, 4)


def test_a_bomb_is_stopped_by_the_expected_size(sources: Path) -> None:
    block = ((128 << 10 << 3) | 2).to_bytes(3, "little") + b"\0"  # run-length: 128 KiB from 4 bytes
    head = op(DATA, 1 << 40)
    literal = (len(head) << 3).to_bytes(3, "little") + head
    bomb = MAGIC + frame(b"", window_log=20)[:6] + literal + block * 100_000
    out = io.BytesIO()
    with pytest.raises(OutputSizeError):
        apply(io.BytesIO(bomb), sources, out, expected_size=1 << 20)
    assert len(out.getvalue()) <= 1 << 20


@pytest.mark.parametrize("idle", [op(COPY, 0), data(b""), op(SEEK, 1), op(ADD, 0)], ids=["copy", "data", "seek", "add"])
def test_operations_that_make_nothing_are_not_run_for_ever(sources: Path, idle: bytes) -> None:
    bomb = io.BytesIO(MAGIC)
    bomb.seek(0, io.SEEK_END)
    frame_writer = ZstdFrameWriter(bomb, strength=Strength(3), size_bound=8 << 20)
    frame_writer.write(opened(b"f") + idle * (8 << 20 >> 1))
    frame_writer.finish()
    assert bomb.tell() < 1 << 16
    bomb.seek(0)
    with pytest.raises(MalformedDeltaError, match="make almost nothing, 0 bytes"):
        apply(bomb, sources, io.BytesIO(), expected_size=None)


@pytest.mark.parametrize("idle", [data(b""), op(ADD, 0)], ids=["data", "add"])
def test_operations_that_make_nothing_take_no_memory(sources: Path, idle: bytes) -> None:
    made = io.BytesIO(delta(opened(b"f"), op(ADD, 1, b"a"), idle * 300_000))
    tracemalloc.start()
    apply(made, sources, io.BytesIO(), expected_size=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20


def test_operations_may_be_larger_than_what_they_make(sources: Path) -> None:
    size = 1_100_000
    made = delta(opened(b"f"), (op(SEEK, 1) + op(COPY, 1)) * size)
    assert len(made) > 4 * size
    out = io.BytesIO()
    assert apply(io.BytesIO(made), sources, out, expected_size=size) == size
    assert out.getvalue() == SOURCES["f"][1:2] * size


def test_errors_carry_where(sources: Path) -> None:
    with pytest.raises(SourceError) as missing:
        apply(io.BytesIO(delta(opened(b"d/nothing"))), sources, io.BytesIO(), expected_size=None)
    assert missing.value.path == "d/nothing"
    with pytest.raises(MalformedDeltaError) as malformed:
        apply(io.BytesIO(delta(data(b"ab"), op(9, 0))), sources, io.BytesIO(), expected_size=None)
    assert malformed.value.offset == 4


def test_files_stay_closed_after_an_error(sources: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for operations in [(opened(b"f"), opened(b"d/missing")), (opened(b"d/g"), op(COPY, 99)), (opened(b"f/x"),)]:
        with pytest.raises(DeltaError):
            apply(io.BytesIO(delta(*operations)), sources, io.BytesIO(), expected_size=None)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
