"""Which old file is chosen."""

import random

import numpy as np
import pytest

from pipeline.tardiff.layer.regions import ByteArray
from pipeline.tardiff.layer.tree import Source
from pipeline.tardiff.pair.sources import ContentIndex, DigestIndex, NameIndex, shared, sketch


def noise(seed: int, size: int) -> ByteArray:
    return np.frombuffer(random.Random(seed).randbytes(size), np.uint8)


def source(path: str, size: int = 100) -> Source:
    return Source(path=path.encode(), size=size, offset=0)


def path_of(found: Source | None) -> str | None:
    return found.path.decode() if found else None


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ("usr/lib/libx.so.1.2", "usr/lib/libx.so.1.2"),
        ("usr/lib/libx.so.1.3", "usr/lib/libx.so.1.2"),
        ("pkg-2.0.1/data/x", "pkg-1.9.14/data/x"),
        ("elsewhere/data/x", "pkg-1.9.14/data/x"),
        ("opt/libx.so.7", "usr/lib/libx.so.1.2"),
        ("usr/lib/other", None),
    ],
)
def test_names_from_near_to_far(new: str, expected: str | None) -> None:
    index = NameIndex([source("pkg-1.9.14/data/x"), source("usr/lib/libx.so.1.2"), source("usr/lib/unlike")])
    (found,) = index.named([(new.encode(), 100)])
    assert path_of(found) == expected


def test_a_number_that_is_no_version_is_part_of_the_name() -> None:
    index = NameIndex([source(f"foo-1.2.3/m{n}/libx{n}.so.1") for n in range(20)])
    found = index.named([(b"foo-1.2.10/m%d/libx%d.so.2" % (n, n), 100) for n in range(20)])
    assert [path_of(source) for source in found] == [f"foo-1.2.3/m{n}/libx{n}.so.1" for n in range(20)]


def test_of_several_with_one_name_the_nearest_in_size() -> None:
    index = NameIndex([source(f"d{n}x/__init__.py", size) for n, size in enumerate((10, 500, 90, 3000))])
    found = index.named([(b"new/__init__.py", size) for size in (1, 60, 400, 10**6)])
    assert [path_of(source) for source in found] == [
        "d0x/__init__.py",
        "d2x/__init__.py",
        "d1x/__init__.py",
        "d3x/__init__.py",
    ]


def test_of_identical_ones_the_nearest_in_name() -> None:
    paths = ("a/x", "a/y", "lib-1.0/z", "q/r/z", "a/other")
    index = DigestIndex([source(path) for path in paths], [b"same"] * 4 + [b"other"])
    assert path_of(index.identical(b"a/y", b"same")) == "a/y"
    assert path_of(index.identical(b"lib-1.1/z", b"same")) == "lib-1.0/z"
    assert path_of(index.identical(b"nothing/alike", b"same")) == "a/x"
    assert path_of(index.identical(b"a/x", b"other")) == "a/other"
    assert index.identical(b"a/x", b"unknown") is None


def test_a_sketch_knows_shifted_content() -> None:
    data = noise(1, 200_000)
    shifted = np.concatenate([noise(2, 333), data])
    assert shared(sketch(data), sketch(shifted)) > 0.9
    assert shared(sketch(data), sketch(noise(3, 200_000))) == 0.0


def test_a_sketch_is_small_and_the_same_however_long_the_data() -> None:
    large = sketch(noise(1, 3 << 20))
    assert len(large) == 256
    assert (np.diff(large.astype(np.float64)) > 0).all()
    assert len(sketch(np.zeros(1 << 20, np.uint8))) == 0
    for size in (0, 1, 15, 16, 17, 100):
        assert len(sketch(noise(1, size))) <= max(0, size - 15)


def test_windows_at_the_edge_of_a_piece_are_seen_once() -> None:
    data = noise(1, (1 << 20) + 40)
    every = np.concatenate([sketch(data[at : at + 16]) for at in range((1 << 20) - 40, (1 << 20) + 24)])
    beyond = sketch(data)
    limit = beyond[-1]
    assert {int(value) for value in every if value <= limit} <= {int(value) for value in beyond}


def test_content_finds_the_nearest_and_none_for_strangers() -> None:
    contents = [noise(n, 50_000) for n in range(5)]
    index = ContentIndex([source(f"s{n}") for n in range(5)], [sketch(content) for content in contents])
    mixed = np.concatenate([contents[3][:40_000], contents[1][:9_000]])
    assert path_of(index.similar(sketch(mixed))) == "s3"
    assert index.similar(sketch(noise(99, 50_000))) is None
    assert ContentIndex([], []).similar(sketch(mixed)) is None
