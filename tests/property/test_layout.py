"""Damage any byte of any file of a layout: reading and checking gives the same images, or raises LayoutError."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.layout import Layout, LayoutError, read_layout
from pipeline.layout.check import check_images
from pipeline.limits import Limits
from pipeline.oci.digest import Digest

from ..layouts.builder import LayoutBuilder, on, tar_of, write_files


def _whole() -> dict[str, bytes]:
    build = LayoutBuilder()
    amd, arm = build.image(tar_of({"a": b"1" * 2000})), build.image(tar_of({"b": b"2"}), compression="zstd")
    index = build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64/v8"), build.attestation(amd))
    build.tag("1.0", index)
    build.tag("localhost/app:2.0", build.image(tar_of({"c": b"3"}), docker=True, compression=""))
    build.entry(build.artifact(subject=index))
    return build.files


FILES = _whole()
ARCHIVE = tar_of(FILES)


def _published(path: Path) -> tuple[dict[str, str], dict[str, bytes]] | None:
    """Tags, and all bytes under their digests; None where the layout is refused."""
    try:
        layout = read_layout(path)
        faults = check_images(layout, layout.images.values(), limits=Limits()).faults
    except LayoutError:
        return None
    images = [image for digest, image in layout.images.items() if digest not in faults]
    tags = {ref.tag: str(ref.image.digest) for ref in layout.refs if ref.image.digest not in faults}
    documents = {str(document.digest): document.raw for image in images for document in image.documents}
    blobs = {str(blob.digest): _bytes(layout, blob.digest) for image in images for blob in image.blobs}
    return tags, documents | blobs


def _bytes(layout: Layout, digest: Digest) -> bytes:
    with layout.content(digest).open() as stream:
        return stream.read()


def _write(path: Path, files: Mapping[str, bytes]) -> Path:
    return write_files(path, files)


with tempfile.TemporaryDirectory() as _directory:
    WHOLE = _published(_write(Path(_directory), FILES))


def _is_no_lie(found: tuple[dict[str, str], dict[str, bytes]] | None) -> bool:
    """Damaged names in index.json may change what is published under which tag, never bytes under a digest."""
    assert WHOLE is not None
    return found is None or all(WHOLE[1].get(digest) == data for digest, data in found[1].items())


damage = st.tuples(
    st.integers(0), st.sampled_from(["flip", "cut", "insert", "remove"]), st.binary(min_size=1, max_size=8)
)


def _damaged(data: bytes, position: int, kind: str, payload: bytes) -> bytes:
    at = position % (len(data) + 1)
    if kind == "cut":
        return data[:at]
    if kind == "insert":
        return data[:at] + payload + data[at:]
    if kind == "remove":
        return data[:at] + data[at + len(payload) :]
    return data[:at] + payload[: len(data) - at] + data[at + len(payload) :]


@given(name=st.sampled_from(sorted(FILES)), damage=damage)
@settings(max_examples=400, deadline=None)
def test_a_damaged_file_is_refused_or_harmless(name: str, damage: tuple[int, str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = _write(Path(directory), {**FILES, name: _damaged(FILES[name], *damage)})
        found = _published(path)
    assert _is_no_lie(found)
    if name.startswith("blobs/") and found is not None:
        assert WHOLE is not None
        assert found[0].items() <= WHOLE[0].items()


@given(damages=st.lists(damage, min_size=1, max_size=3))
@settings(max_examples=400, deadline=None)
def test_a_damaged_archive_is_refused_or_harmless(damages: list[tuple[int, str, bytes]]) -> None:
    data = ARCHIVE
    for position, kind, payload in damages:
        data = _damaged(data, position, kind, payload)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.tar"
        path.write_bytes(data)
        assert _is_no_lie(_published(path))
