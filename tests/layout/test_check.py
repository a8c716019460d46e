"""check_images: what is new is read and compared, and the first fault is told."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline import content
from pipeline.layout import LayoutError, read_layout
from pipeline.layout.check import Known, check_images
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.tardiff.layer.outline import Outline

from ..layouts.builder import OCI, LayoutBuilder, blob_path, compressed, json_bytes, on, sha256, tar_of

ONE = tar_of({"a": b"1" * 10_000})
TWO = tar_of({"a": b"2", "b": b"22"})


def check(path: Path, *, known: Collection[str] = (), **options: Any) -> dict[DiffID, Outline]:
    layout = read_layout(path)
    images = [ref.image for ref in layout.refs]

    digests = frozenset(map(Digest.parse, known))
    checked = check_images(
        layout, images, known=Known(blobs=digests, images=digests), **{"limits": Limits(layer=1 << 20), **options}
    )
    for error in checked.faults.values():
        raise error
    return dict(checked.outlines)


def packed(tar: bytes, data: bytes) -> Callable[[LayoutBuilder], dict[str, Any]]:
    """An image whose one layer is stored as `data` and promised to be `tar`."""

    def build(layout: LayoutBuilder) -> dict[str, Any]:
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha256(tar)]}}
        layer = layout.blob(data, f"{OCI}.layer.v1.tar+gzip")
        return layout.manifest(layout.blob(json_bytes(config), f"{OCI}.config.v1+json"), layer)

    return build


@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_a_whole_image_gives_its_outlines(tmp_path: Path, compression: str, jobs: int) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE, TWO, compression=compression))
    outlines = check(build.write(tmp_path), jobs=jobs)
    assert list(outlines) == [DiffID.of(ONE), DiffID.of(TWO)]
    assert sum(file.size for file in outlines[DiffID.of(TWO)].files) == 3


@pytest.mark.parametrize(
    "data",
    [
        compressed(ONE, "zstd"),
        ONE,
        gzip.compress(ONE[:1000], mtime=0) + gzip.compress(ONE[1000:], mtime=0),
    ],
    ids=["zstd_named_gzip", "plain_named_gzip", "two_members"],
)
def test_layers_are_read_by_what_they_are(tmp_path: Path, data: bytes) -> None:
    build = LayoutBuilder()
    build.tag("1.0", packed(ONE, data)(build))
    assert list(check(build.write(tmp_path))) == [DiffID.of(ONE)]


def test_an_archive_is_checked_in_place(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    assert list(check(build.write_archive(tmp_path / "a.tar"))) == [DiffID.of(ONE)]


def test_other_artifacts_are_checked_as_bytes(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.artifact(data=b"\x1f\x8b no gzip"))
    assert check(build.write(tmp_path)) == {}


def test_what_is_known_need_not_even_be_there(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.tag("1.0", image)
    layer = sha256(compressed(ONE, "gzip"))
    del build.blobs[blob_path(layer)]
    assert check(build.write(tmp_path), known={image["digest"], layer}) == {}
    with pytest.raises(LayoutError, match="is missing"):
        check(tmp_path, known={image["digest"]})


def test_a_known_blob_under_a_new_manifest_is_compared_again(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE, diff_ids=[sha256(TWO)]))
    layer = sha256(compressed(ONE, "gzip"))
    with pytest.raises(LayoutError, match="has the DiffID"):
        check(build.write(tmp_path), known={layer})


def test_one_blob_under_two_diff_ids(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    build.tag("2.0", build.image(ONE, diff_ids=[sha256(TWO)]))
    with pytest.raises(LayoutError, match=r"\(tag 2.0, linux/amd64\) has the DiffID") as caught:
        check(build.write(tmp_path))
    assert caught.value.tag == "2.0"


def test_a_truncated_layer(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE, architecture="arm64")
    build.tag("nightly", build.index(on(image, "linux/arm64")))
    layer = compressed(ONE, "gzip")
    build.blobs[blob_path(sha256(layer))] = layer[:-7]
    problem = (
        rf"blob sha256:\w{{12}}… of manifest sha256:\w{{12}}… \(tag nightly, linux/arm64\) "
        rf"is {len(layer) - 7} bytes, the manifest says {len(layer)}\.\n  Probably an interrupted copy\."
    )
    with pytest.raises(LayoutError, match=problem):
        check(build.write(tmp_path))


@pytest.mark.parametrize("position", [0, 5, 30, -1])
def test_a_damaged_layer_is_called_damaged_even_where_it_does_not_decompress(tmp_path: Path, position: int) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    layer = bytearray(compressed(ONE, "gzip"))
    name = blob_path(sha256(bytes(layer)))
    layer[position] ^= 0x55
    build.blobs[name] = bytes(layer)
    with pytest.raises(LayoutError, match="is damaged: its bytes have another digest"):
        check(build.write(tmp_path))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (compressed(ONE, "gzip")[:-9], "gzip stream: is truncated"),
        (compressed(ONE, "zstd")[:-9], "zstd stream: is truncated"),
        (compressed(ONE, "gzip") + b"x", "gzip stream: is followed by"),
        (compressed(TWO, "gzip"), "has the DiffID"),
        (b"", "has the DiffID"),
    ],
    ids=["gzip_truncated", "zstd_truncated", "trailing_garbage", "another_tar", "empty"],
)
def test_a_layer_that_was_stored_wrong(tmp_path: Path, data: bytes, problem: str) -> None:
    build = LayoutBuilder()
    build.tag("1.0", packed(ONE, data)(build))
    with pytest.raises(LayoutError, match=problem):
        check(build.write(tmp_path))


def test_a_bomb_is_stopped(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", packed(ONE, compressed(bytes(1 << 22), "gzip"))(build))
    with pytest.raises(LayoutError, match=r"more than the allowed 1,048,576 bytes\.\n.*raise `layer` in \[limits\]"):
        check(build.write(tmp_path))


@pytest.mark.parametrize(("compression", "size"), [("gzip", 1 << 27), ("zstd", 1 << 28)])
def test_a_layer_of_nothing_but_zeros_is_stopped_early(tmp_path: Path, compression: str, size: int) -> None:
    build = LayoutBuilder()
    bomb = zeros(size, compression)
    build.tag("1.0", packed(ONE, bomb)(build))
    allowed = max(64 << 20, 1000 * len(bomb))
    assert allowed < size
    tracemalloc.start()
    with pytest.raises(LayoutError) as caught:
        check(build.write(tmp_path), limits=Limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert caught.value.digest == Digest.parse(sha256(bomb))
    assert f"{compression} stream: decompresses to more than the allowed {allowed:,} bytes." in str(caught.value)
    assert "If that is right, raise `ratio` in [limits] of the configuration." in str(caught.value)


@pytest.mark.parametrize(("size", "ratio"), [(64 << 20, 1), (80 << 20, 40_000)], ids=["little", "allowed"])
def test_zeros_are_legal_where_they_are_few_or_allowed(tmp_path: Path, size: int, ratio: int) -> None:
    build = LayoutBuilder()
    build.tag("1.0", packed(bytes(size), zeros(size, "zstd"))(build))
    assert list(check(build.write(tmp_path), limits=Limits(ratio=ratio))) == [DiffID.of(bytes(size))]


def zeros(size: int, compression: str) -> bytes:
    """`size` zeros, packed as they are made."""
    packer = zlib.compressobj(wbits=31) if compression == "gzip" else zstandard.ZstdCompressor().compressobj()
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()


def test_the_first_fault_is_told_with_any_number_of_threads(tmp_path: Path) -> None:
    build = LayoutBuilder()
    for number in range(20):
        tar = tar_of({"n": b"%d" % number * 5000})
        build.tag(f"v{number}", build.image(tar, diff_ids=[sha256(ONE)] if number in {7, 13} else None))
    path = build.write(tmp_path)
    messages = set()
    for jobs in [1, 2, 8]:
        with pytest.raises(LayoutError, match="tag v7") as caught:
            check(path, jobs=jobs)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_shared_layer_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = LayoutBuilder()
    for number in range(5):
        build.tag(f"v{number}", build.image(ONE, labels={"n": str(number)}))
    opened: list[Path] = []
    real = content.open_plain

    def recorded(path: Path) -> Any:
        opened.append(path)
        return real(path)

    layout = read_layout(build.write(tmp_path))
    monkeypatch.setattr(content, "open_plain", recorded)
    check_images(layout, [ref.image for ref in layout.refs], limits=Limits())
    layer = blob_path(sha256(compressed(ONE, "gzip")))
    assert [path.relative_to(tmp_path.resolve()).as_posix() for path in opened].count(layer) == 1
