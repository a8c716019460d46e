"""Any damage to any file, any value in any place: reading and checking give what is whole, or raise LayoutError."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.history.scan import record_of
from pipeline.layout import Image, Layout, LayoutError, read_layout
from pipeline.layout.check import check_images
from pipeline.layout.notes import notes_of
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.oci.manifest import successors
from tests.conftest import examples

from ..layouts.builder import OCI, LayoutBuilder, json_bytes, on, sha256, tar_of, write_files


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
@settings(max_examples=examples(400))
def test_a_damaged_file_is_refused_or_harmless(name: str, damage: tuple[int, str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = _write(Path(directory), {**FILES, name: _damaged(FILES[name], *damage)})
        found = _published(path)
    assert _is_no_lie(found)
    if name.startswith("blobs/") and found is not None:
        assert WHOLE is not None
        assert found[0].items() <= WHOLE[0].items()


@given(damages=st.lists(damage, min_size=1, max_size=3))
@settings(max_examples=examples(400))
def test_a_damaged_archive_is_refused_or_harmless(damages: list[tuple[int, str, bytes]]) -> None:
    data = ARCHIVE
    for position, kind, payload in damages:
        data = _damaged(data, position, kind, payload)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.tar"
        path.write_bytes(data)
        assert _is_no_lie(_published(path))


# Wrong values in right places: every digest is right, so that what is behind it is really read.

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "sha256:" + "0" * 64,
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.oci.image.layer.v1.tar",
            "unknown",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = ("config", "manifest", "index", "index.json", "listing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoiler:
    """Puts `value` in one of the places of each document of a kind, or takes that away."""

    kind: str
    place: int
    value: Any
    removes: bool

    def __call__(self, kind: str, document: Any) -> Any:
        if kind != self.kind:
            return document
        document = json.loads(json.dumps(document))
        places = list(_places(document))
        holder, name = places[self.place % len(places)]
        if self.removes:
            del holder[name]
        else:
            holder[name] = self.value
        return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _places(value[name])


def _spoilt(spoil: Spoiler, missing: int) -> dict[str, bytes]:
    build = LayoutBuilder()
    layers = [build.layer(tar_of({"a": b"1"})), build.layer(tar_of({"b": b"2"}))]
    diff_ids = [sha256(tar_of({"a": b"1"})), sha256(tar_of({"b": b"2"}))]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = {
        "os": "linux",
        "architecture": "arm64",
        "created": "x",
        "config": {"Labels": {"a": "b"}},
        "rootfs": rootfs,
    }
    described = build.blob(json_bytes(spoil("config", config)), f"{OCI}.config.v1+json")
    document = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": described, "layers": layers}
    document["annotations"] = {"a": "b"}
    manifest = build.blob(json_bytes(spoil("manifest", document)), f"{OCI}.manifest.v1+json")
    whole = build.image(tar_of({"c": b"3"}))
    entries = [on(manifest, "linux/arm64"), on(whole, "linux/amd64"), build.attestation(whole)]
    listed = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
    index = build.blob(json_bytes(spoil("index", listed)), f"{OCI}.index.v1+json")
    signature = build.artifact(subject=whole)
    listing = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [signature]}
    build.tag("multi", index)
    build.tag("1.0", manifest)
    build.tag("whole", whole)
    build.tag(
        whole["digest"].replace(":", "-"), build.blob(json_bytes(spoil("listing", listing)), f"{OCI}.index.v1+json")
    )
    files = build.files
    files["index.json"] = json_bytes(spoil("index.json", {"schemaVersion": 2, "manifests": build.entries}))
    blobs = [name for name in files if name.startswith("blobs/")]
    if missing < len(blobs):
        del files[blobs[missing]]
    return files


@given(
    spoil=st.builds(
        Spoiler, kind=st.sampled_from(KINDS), place=st.integers(0, 100), value=anything, removes=st.booleans()
    ),
    missing=st.integers(0, 40),
)
@settings(max_examples=examples(400))
def test_wrong_values_are_broken_tags_or_one_error(spoil: Spoiler, missing: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = _write(Path(directory), _spoilt(spoil, missing))
        try:
            layout = read_layout(path)
        except LayoutError:
            return
        checked = check_images(layout, layout.images.values(), limits=Limits())
        for image in layout.images.values():
            if image.digest not in checked.faults:
                _is_whole(layout, image)
                json.dumps(record_of(image).to_json(), ensure_ascii=False).encode()
        assert all(line.isprintable() for line in notes_of(layout, frozenset()))
        assert {ref.tag for ref in layout.refs}.isdisjoint(found.tag for found in layout.broken)


def _is_whole(layout: Layout, image: Image) -> None:
    """All that is to be published is there, and has its digest."""
    for document in image.documents:
        assert sha256(document.raw) == str(document.digest)
    for blob in image.blobs:
        assert sha256(_bytes(layout, blob.digest)) == str(blob.digest)
        assert blob.size == layout.content(blob.digest).size
    reached = {document.digest for document in image.documents} | {entry.digest for entry in image.absent}
    for document in image.documents:
        edges = successors(document, reached)
        assert {child.digest for child in edges.documents} <= reached
        assert {blob.digest for blob in edges.blobs} <= {blob.digest for blob in image.blobs}
