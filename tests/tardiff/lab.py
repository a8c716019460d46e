"""Deltas in one line: real trees, a real pool, the real encoder and decoder."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.compression import zstd_frame
from pipeline.tardiff.decoder import apply
from pipeline.tardiff.encoder import Encoded, EncoderOptions, encode
from pipeline.tardiff.format import MAGIC, MAX_ADD_DATA, Op
from pipeline.tardiff.format import operations as read_operations
from pipeline.tardiff.layer.tree import SourceTree, extract
from pipeline.tardiff.pool import Pool

MAX_BYTES = 1 << 30
FAST = EncoderOptions(effort="fast")


@dataclass(slots=True)
class Lab:
    """Works below `directory`."""

    directory: Path
    _trees: int = 0

    def tree(self, *layers: bytes) -> SourceTree:
        """The layers, extracted."""
        self._trees += 1
        directory = self.directory / f"tree{self._trees}"
        directory.mkdir()
        return extract([io.BytesIO(layer) for layer in layers], directory, max_bytes=MAX_BYTES)

    def encode(self, tree: SourceTree, new: bytes, *, options: EncoderOptions = FAST) -> tuple[bytes, Encoded]:
        """The delta from `tree` to `new`, proved before it is returned."""
        to = self.directory / "new.tar"
        to.write_bytes(new)
        out = io.BytesIO()
        with Pool(workers=2, memory=1 << 30) as pool:
            encoded = encode(tree, to, out, options=options, pool=pool)
        delta = out.getvalue()
        assert encoded.size == len(delta)
        assert encoded.copied + encoded.added + encoded.literal == len(new)
        assert self.apply(delta, tree, size=len(new)) == new
        assert self.apply(delta, self.lay_out(tree), size=len(new)) == new
        assert_common_subset(delta)
        return delta, encoded

    def lay_out(self, tree: SourceTree) -> Path:
        """A directory with the sources as files, as a client has them."""
        directory = tree.directory.with_suffix(".files")
        if not directory.exists():
            lay_out(tree, directory)
        return directory

    def apply(self, delta: bytes, sources: Path | SourceTree, *, size: int | None = None) -> bytes:
        """What `delta` makes of `sources`."""
        out = io.BytesIO()
        assert apply(io.BytesIO(delta), sources, out, expected_size=size) == len(out.getvalue())
        return out.getvalue()

    def sources_used(self, tree: SourceTree, new: bytes) -> set[str]:
        """The paths that the delta from `tree` to `new` opens."""
        delta, _ = self.encode(tree, new)
        return {data.decode() for op, _, data in operations(delta) if op == Op.OPEN}


def lay_out(tree: SourceTree, directory: Path) -> None:
    """Make the new `directory` and write the sources there, as files."""
    directory.mkdir()
    for source in tree.sources:
        path = directory / os.fsdecode(source.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tree.region(source).array().tobytes())


def operations(delta: bytes) -> list[tuple[Op, int, bytes]]:
    """Code, size and payload of each operation."""
    assert delta.startswith(MAGIC)
    stream = zstd_frame(io.BytesIO(delta[len(MAGIC) :]))
    return [(Op(code), size, payload) for code, size, payload in read_operations(stream, most=MAX_ADD_DATA)]


def assert_common_subset(delta: bytes) -> None:
    """`delta` holds only what every known decoder takes, and nothing that does nothing."""
    is_open, position, path = False, 0, b""
    for op, size, payload in operations(delta):
        if op == Op.OPEN:
            assert payload != path, "a source is opened again while it is open"
            assert 0 < size <= 4096
            assert not payload.startswith(b"/")
            payload.decode()
            is_open, position, path = True, 0, payload
        elif op == Op.SEEK:
            assert is_open
            assert size != position, "a seek to where the position is"
            position = size
        else:
            assert size > 0
            if op != Op.DATA:
                assert is_open
                position += size
            if op == Op.ADD_DATA:
                assert size <= 1 << 20
