"""Deltas of arbitrary operations: applied as by the simplest decoder that one can write, or refused like there."""

import io
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tardiff.decoder import DeltaError, apply
from pipeline.tardiff.layer.tree import SourceTree, extract
from pipeline.tardiff.sums import sum_of
from tests import tars
from tests.conftest import examples
from tests.tardiff.lab import lay_out
from tests.vectors.generate import ADD, COPY, DATA, OPEN, SEEK, delta, op

Operation = tuple[int, int, bytes]

SOURCES = {b"a": Random(1).randbytes(700_000), b"d/b": bytes(range(256)) * 300, b"d/e/c": b"!", b"d/f": b"\xff" * 50}
SIZES = st.one_of(
    st.integers(0, 40),
    st.integers(0, 3000),
    st.sampled_from([(1 << 17) - 1, 1 << 17, (1 << 17) + 1, (1 << 18) - 7, 1 << 18, (1 << 18) + 1, 300_000]),
)


def payload(size: int) -> bytes:
    return Random(size).randbytes(size)


OPERATIONS = st.one_of(
    SIZES.map(lambda size: (DATA, size, payload(size))),
    SIZES.map(lambda size: (COPY, size, b"")),
    SIZES.map(lambda size: (ADD, size, payload(size))),
    st.one_of(st.integers(0, 700_000), st.integers(0, 100), SIZES).map(lambda position: (SEEK, position, b"")),
    st.sampled_from(sorted(SOURCES)).map(lambda path: (OPEN, len(path), path)),
)
STREAMS = st.lists(OPERATIONS, max_size=30).map(lambda listed: [(OPEN, 1, b"a"), *listed])


def simply_applied(operations: Sequence[Operation]) -> bytes | None:
    """What comes out, None where a source is too short."""
    out, source, position = bytearray(), b"", 0
    for code, size, data in operations:
        if code == DATA:
            out += data
        elif code == OPEN:
            source, position = SOURCES[data], 0
        elif code == SEEK:
            position = size
        elif size:
            old = source[position : position + size]
            if len(old) < size:
                return None
            out += bytes((a + b) & 0xFF for a, b in zip(old, data, strict=True)) if code == ADD else old
            position += size
    return bytes(out)


@pytest.fixture(scope="module", params=["directory", "tree"])
def sources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path | SourceTree:
    root = tmp_path_factory.mktemp("sources")
    layer = tars.tar(*(tars.file(path, content) for path, content in SOURCES.items()))
    tree = extract([io.BytesIO(layer)], root, max_bytes=1 << 20)
    if request.param == "tree":
        return tree
    lay_out(tree, root / "files")
    return root / "files"


@given(operations=STREAMS)
@settings(max_examples=examples(150))
def test_a_delta_is_applied_as_by_a_simple_decoder(sources: Path | SourceTree, operations: list[Operation]) -> None:
    stream = delta(*(op(*operation) for operation in operations))
    expected = simply_applied(operations)
    out = io.BytesIO()
    if expected is None:
        with pytest.raises(DeltaError, match="ends at or before"):
            apply(io.BytesIO(stream), sources, out, expected_size=None)
    else:
        assert apply(io.BytesIO(stream), sources, out, expected_size=len(expected)) == len(expected)
        assert out.getvalue() == expected


@given(seed=st.integers(0, 1 << 32), longest=st.sampled_from([3, 30, 3000]))
@settings(max_examples=examples(30))
def test_thousands_of_small_operations_are_applied_too(sources: Path | SourceTree, seed: int, longest: int) -> None:
    random = Random(seed)
    operations: list[Operation] = [(OPEN, 1, b"a")]
    for _ in range(3000):
        code = random.choice([DATA, COPY, COPY, ADD, ADD, SEEK])
        size = random.randrange(len(SOURCES[b"a"]) - 10) if code == SEEK else random.randrange(longest)
        operations.append((code, size, random.randbytes(size) if code in (DATA, ADD) else b""))
        if random.random() < 0.01:
            operations += [(OPEN, 3, b"d/b"), (SEEK, 5, b""), (COPY, 17, b""), (OPEN, 1, b"a")]
    expected = simply_applied(operations)
    out = io.BytesIO()
    try:
        apply(io.BytesIO(delta(*(op(*operation) for operation in operations))), sources, out, expected_size=None)
    except DeltaError:
        assert expected is None
    else:
        assert out.getvalue() == expected


@given(st.binary(max_size=300), st.randoms(use_true_random=False))
def test_sums_are_those_of_each_byte(first: bytes, random: Random) -> None:
    second = random.randbytes(len(first))
    assert sum_of(first, second) == bytes((a + b) & 0xFF for a, b in zip(first, second, strict=True))
