"""Deltas of arbitrary layers: right, or refused with our own error."""

import io
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from pipeline.compression import CompressionError, decompressed
from pipeline.tardiff import encoder
from pipeline.tardiff.decoder import DeltaError, apply
from pipeline.tardiff.encoder import EncoderOptions, encode
from pipeline.tardiff.format import MAGIC
from pipeline.tardiff.layer.tar import TarError, TarReader
from pipeline.tardiff.layer.tree import SourceTree, extract
from pipeline.tardiff.match.cover import CoverArray, checked
from pipeline.tardiff.pool import Pool
from pipeline.tardiff.write import differences
from pipeline.tardiff.write.writer import OpWriter
from tests import tars
from tests.conftest import examples
from tests.tardiff.lab import assert_common_subset, lay_out
from tests.tars import Member, tar
from tests.vectors.generate import ADD, COPY, DATA, OPEN, SEEK, frame, op

FAST = EncoderOptions(effort="fast")
MAX_BYTES = 1 << 26
slow = settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])

PARTS = st.sampled_from(
    [b"a", b"b", b"c", b"lib-1.2", b"lib-1.3", b".", b"..", b"", b".wh.a", b".wh..wh..opq", b"\xff"]
)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join).filter(bool)
SIZES = st.sampled_from([0, 1, 63, 64, 500, 3000, 20_000])


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Contents that are likely to resemble each other."""
    base = random.Random(draw(st.integers(0, 3))).randbytes(draw(SIZES))
    at = draw(st.integers(0, len(base)))
    edit: Callable[[bytes], bytes] = draw(
        st.sampled_from(
            [
                lambda data: data,
                lambda data: data[:at] + b"inserted" + data[at:],
                lambda data: data[at:] + data[:at],
                lambda data: data[:at] + bytes(200) + data[at + 200 :],
                lambda data: bytes(len(data)),
            ]
        )
    )
    return edit(base)


MODES = st.sampled_from([0o644, 0o644, 0o644, 0o600, 0o755])
MEMBERS = st.one_of(
    st.builds(lambda path, data, mode: tars.file(path, data, mode=mode), PATHS, contents(), MODES),
    st.builds(lambda path, data, mode: tars.file(path, data, mode=mode), PATHS, contents(), MODES),
    st.builds(tars.symlink, PATHS, PATHS),
    st.builds(tars.hard_link, PATHS, PATHS),
    st.builds(tars.directory, PATHS),
    st.builds(tars.whiteout, PATHS),
    st.builds(tars.device, PATHS),
    # one that may be a whiteout is refused with all of its layer
    st.builds(tars.sparse, PATHS.filter(lambda path: b".wh." not in path), contents()),
)
# a first name that is no text may be the magic of a compressed file
LAYERS = st.lists(MEMBERS, max_size=12).map(lambda members: tar(tars.directory("first"), *members))


def tree_of(directory: Path, layers: list[bytes]) -> SourceTree:
    """Of layers that all readers take alike as far as a delta needs it; others are refused, and not tried here."""
    directory.mkdir()
    try:
        return extract([io.BytesIO(layer) for layer in layers], directory, max_bytes=MAX_BYTES)
    except TarError:
        reject()


def delta_of(tree: SourceTree, to: Path, workers: int) -> bytes:
    out = io.BytesIO()
    with Pool(workers=workers, memory=1 << 28) as pool:
        encode(tree, to, out, options=FAST, pool=pool)
    return out.getvalue()


@slow
@given(old=st.lists(LAYERS, min_size=1, max_size=3), new=LAYERS, tail=st.sampled_from([b"", b"tail", bytes(99)]))
def test_a_round_trip_gives_the_layer_whatever_the_workers(old: list[bytes], new: bytes, tail: bytes) -> None:
    with TemporaryDirectory() as scratch:
        tree = tree_of(Path(scratch) / "tree", old)
        to = Path(scratch) / "new"
        to.write_bytes(new + tail)
        delta = delta_of(tree, to, 1)
        assert delta == delta_of(tree, to, 4)
        out = io.BytesIO()
        apply(io.BytesIO(delta), tree, out, expected_size=len(new + tail))
        assert out.getvalue() == new + tail
        lay_out(tree, Path(scratch) / "files")
        out = io.BytesIO()
        apply(io.BytesIO(delta), Path(scratch) / "files", out, expected_size=len(new + tail))
        assert out.getvalue() == new + tail


@slow
@given(old=LAYERS, cut=st.integers(0, 1 << 20), new=st.binary(max_size=3000))
def test_what_is_no_tar_is_made_all_the_same(old: bytes, cut: int, new: bytes) -> None:
    with TemporaryDirectory() as scratch:
        tree = tree_of(Path(scratch) / "tree", [old])
        to = Path(scratch) / "new"
        for content in (old[:cut], old[:cut] + new, new):
            to.write_bytes(content)
            out = io.BytesIO()
            apply(io.BytesIO(delta_of(tree, to, 2)), tree, out, expected_size=len(content))
            assert out.getvalue() == content


@slow
@given(layers=st.lists(LAYERS, min_size=1, max_size=3))
def test_the_tree_is_one_file_and_its_sources_can_be_laid_out(layers: list[bytes]) -> None:
    with TemporaryDirectory() as scratch:
        tree = tree_of(Path(scratch) / "tree", layers)
        assert [path.name for path in Path(scratch).rglob("*")] == ["tree", "contents"]
        lay_out(tree, Path(scratch) / "files")
        for source in tree.sources:
            assert (Path(scratch) / "files" / os.fsdecode(source.path)).stat().st_size == source.size


@slow
@given(
    rows=st.lists(st.tuples(*[st.integers(-5, 300) | st.integers(-(1 << 63), (1 << 63) - 1)] * 3), max_size=5),
    old=contents(),
    new=contents(),
)
def test_a_misbehaving_matcher_does_no_harm(
    rows: list[tuple[int, int, int]], old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Misbehaving:
        def cover(self, _old: bytes, _new: bytes) -> CoverArray:
            return np.array(rows, np.int64).reshape(-1, 3)

        def memory(self, old: int, new: int) -> int:
            return old + new

    monkeypatch.setattr(encoder, "Hdiff", Misbehaving)
    with TemporaryDirectory() as scratch:
        tree = tree_of(Path(scratch) / "tree", [tar(tars.file("f", old))])
        to = Path(scratch) / "new"
        to.write_bytes(tar(tars.file("f", new)))
        out = io.BytesIO()
        apply(io.BytesIO(delta_of(tree, to, 1)), tree, out, expected_size=None)
        assert out.getvalue() == to.read_bytes()


@slow
@given(
    rows=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40), st.integers(1, 40)), max_size=6),
    gap=st.sampled_from([1, 2, 7, 256]),
    piece=st.sampled_from([1, 13, 100, 1 << 20]),
    data=st.data(),
)
def test_any_valid_cover_gives_the_file(
    rows: list[tuple[int, int, int]], gap: int, piece: int, data: st.DataObject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(differences, "PIECE", piece)
    few = st.lists(st.sampled_from([0, 0, 0, 1, 255]), min_size=300, max_size=300).map(bytes)
    old = np.frombuffer(data.draw(few), np.uint8)[:130]
    new = np.frombuffer(data.draw(few | st.binary(min_size=300, max_size=300)), np.uint8)
    cover, at = [], 0
    for old_start, gap, length in rows:
        cover.append((old_start, at + gap, length))
        at += gap + length
    array = checked(np.array(cover, np.int64).reshape(-1, 3), len(old), len(new))
    operations = io.BytesIO()
    writer = OpWriter(operations)
    writer.data(b"before")
    for one in differences.differences(old, new, array):
        differences.write_differences(writer, b"f", one, gap=gap)
    writer.copy(b"f", 1, 5)
    writer.finish()
    assert writer.literal + writer.copied + writer.added == len(new) + 11
    with TemporaryDirectory() as scratch:
        (Path(scratch) / "f").write_bytes(old.tobytes())
        out = io.BytesIO()
        delta = MAGIC + frame(operations.getvalue())
        apply(io.BytesIO(delta), Path(scratch), out, expected_size=len(new) + 11)
        assert out.getvalue() == b"before" + new.tobytes() + old[1:6].tobytes()
        assert_common_subset(delta)


OPERATIONS = st.lists(
    st.one_of(
        st.builds(lambda path: op(OPEN, len(path), path), st.sampled_from([b"f", b"d/g", b"d", b"x", b"../f"]) | PATHS),
        st.builds(lambda data: op(DATA, len(data), data), st.binary(max_size=50)),
        st.builds(lambda data: op(ADD, len(data), data), st.binary(max_size=150)),
        st.builds(lambda size: op(COPY, size), st.integers(0, 250)),
        st.builds(lambda size: op(SEEK, size), st.integers(0, 250) | st.integers(0, (1 << 64) - 1)),
        st.binary(max_size=5),
    ),
    max_size=12,
).map(b"".join)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(bytes(range(200)))
    (tmp_path / "d/g").write_bytes(b"g" * 100)
    return tmp_path


@slow
@given(operations=OPERATIONS)
def test_arbitrary_operations_are_applied_or_refused(operations: bytes, sources: Path) -> None:
    out = io.BytesIO()
    try:
        size = apply(io.BytesIO(MAGIC + frame(operations)), sources, out, expected_size=None)
    except DeltaError:
        return
    assert size == len(out.getvalue())


@slow
@given(at=st.integers(0, 1 << 16), flip=st.integers(1, 255), cut=st.integers(0, 1 << 16) | st.none())
def test_a_mutated_delta_is_applied_or_refused(at: int, flip: int, cut: int | None, sources: Path) -> None:
    to = sources / "new"
    to.write_bytes(tar(tars.file("f", bytes(range(1, 190))), tars.file("n", b"content" * 30)))
    with TemporaryDirectory() as scratch:
        old = tar(tars.file("f", bytes(range(200))), tars.file("d/g", b"g" * 100))
        tree = tree_of(Path(scratch) / "tree", [old])
        delta = bytearray(delta_of(tree, to, 1))
        delta[at % len(delta)] ^= flip
        mutated = bytes(delta[: cut % len(delta)] if cut is not None else delta)
        out = io.BytesIO()
        try:
            apply(io.BytesIO(mutated), tree, out, expected_size=1 << 16)
        except DeltaError:
            assert len(out.getvalue()) <= 1 << 16


@slow
@given(
    content=st.binary(max_size=2000),
    head=st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"BZh9", b"\xfd7zXZ\0"]),
)
def test_arbitrary_streams_decompress_or_are_refused(content: bytes, head: bytes) -> None:
    try:
        with decompressed(io.BytesIO(head + content), max_bytes=1 << 20) as stream:
            assert len(stream.read()) <= 1 << 20
    except CompressionError:
        pass


@slow
@given(members=st.lists(MEMBERS, max_size=6), at=st.integers(0, 1 << 16), flip=st.integers(1, 255))
def test_a_mutated_tar_is_read_or_refused(members: list[Member], at: int, flip: int) -> None:
    content = bytearray(tar(*members))
    content[at % len(content)] ^= flip
    reader = TarReader(io.BytesIO(bytes(content)))
    with suppress(TarError):
        for entry in reader:
            assert entry.header < entry.data <= len(content)
    assert reader.offset <= len(content)
