"""What a small layout may cost: time and memory do not grow with the product of what it holds."""

import io
import os
import tarfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pipeline.content import FileContent
from pipeline.history.scan import record_of
from pipeline.layout import LayoutError, images, read_layout
from pipeline.layout.archive import MAX_HEADER, MAX_HEADERS
from pipeline.layout.images import ANY_TEXT, MAX_LAYERS
from pipeline.layout.refs import MAX_INDEX_SIZE
from pipeline.layout.selection import MAX_ATTACHED_DEPTH
from pipeline.oci.fields import MAX_DEPTH, MAX_OBJECTS, FieldError, parse_json_object

from ..layouts.builder import OCI, LayoutBuilder, blob_path, json_bytes, on, sha256, tar_of

ONE = tar_of({"a": b"1"})


def test_one_image_under_many_tags_is_walked_and_kept_once(tmp_path: Path) -> None:
    build = LayoutBuilder()
    blob = build.blob(b"x", "text/plain")
    index = build.index(*({**blob, "annotations": {"n": str(number)}} for number in range(2000)))
    for number in range(3000):
        build.tag(f"t{number}", index)
    layout = read_layout(build.write(tmp_path))
    assert len(layout.refs) == 3000
    assert len({id(ref.image) for ref in layout.refs}) == 1


def test_a_fault_is_found_once_and_told_for_each_tag(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE, diff_ids=["sha256:short"])
    build.tag("good", build.image(ONE))
    for number in range(2000):
        build.tag(f"t{number}", image)
    layout = read_layout(build.write(tmp_path))
    assert [ref.tag for ref in layout.refs] == ["good"]
    assert [found.tag for found in layout.broken] == [f"t{number}" for number in range(2000)]
    assert "tag t1999 leads to what tag t0 leads to: config" in layout.broken[-1].problem


def test_a_wrong_size_is_the_fault_of_the_entry_alone(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.tag("bad", image)["size"] += 1
    build.tag("good", image)
    build.tag("worse", image)["mediaType"] = f"{OCI}.index.v1+json"
    layout = read_layout(build.write(tmp_path))
    assert [ref.tag for ref in layout.refs] == ["good"]
    assert [found.tag for found in layout.broken] == ["bad", "worse"]


def test_what_many_indexes_hold_is_not_followed_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_STEPS", 1000)
    build = LayoutBuilder()
    blobs = [build.blob(b"%d" % number, "text/plain") for number in range(50)]
    lying = build.index(*blobs, {**blobs[0], "size": 7})
    build.tag("good", build.image(ONE))
    for number in range(30):
        build.tag(f"t{number}", build.index({**lying, "annotations": {"n": str(number)}}))
    with pytest.raises(LayoutError, match="more than 1,000 references would have to be followed"):
        read_layout(build.write(tmp_path))


@pytest.mark.parametrize("many", [MAX_LAYERS, MAX_LAYERS + 1])
def test_the_layers_of_an_image_are_bounded(tmp_path: Path, many: int) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(*[ONE] * many))
    path = build.write(tmp_path)
    if many <= MAX_LAYERS:
        assert len(read_layout(path).refs[0].image.platforms[0].layers) == many
    else:
        with pytest.raises(LayoutError, match=f"has {many} layers, an image may have {MAX_LAYERS}"):
            read_layout(path)


def test_an_artifact_may_have_more_blobs_than_an_image_layers(tmp_path: Path) -> None:
    build = LayoutBuilder()
    blob = build.blob(b"x", "text/plain")
    build.tag("1.0", build.manifest(blob, *[blob] * (2 * MAX_LAYERS)))
    assert len(read_layout(build.write(tmp_path)).refs[0].image.blobs) == 1


@pytest.mark.parametrize("in_order", [True, False])
def test_what_is_attached_to_each_other_is_bounded(tmp_path: Path, in_order: bool) -> None:
    build = LayoutBuilder()
    image = above = build.image(ONE)
    chain = []
    for number in range(MAX_ATTACHED_DEPTH + 3):
        above = build.artifact(subject=above, data=b"%d" % number)
        chain.append(above)
    for entry in chain if in_order else reversed(chain):
        build.entry(entry)
    build.tag("1.0", image)
    layout = read_layout(build.write(tmp_path))
    assert {str(found.digest) for found in layout.artifacts} == {
        entry["digest"] for entry in chain[:MAX_ATTACHED_DEPTH]
    }
    reasons = sorted({entry.reason for entry in layout.skipped})
    assert reasons == [
        "has a subject that is not published",
        f"is attached to something that is attached to another, more than {MAX_ATTACHED_DEPTH} deep",
    ]


def test_long_labels_of_one_manifest_are_remembered_once(tmp_path: Path) -> None:
    build = LayoutBuilder()
    labels = {"org.flatpak.ref": "app/x/x86_64/stable", "org.flatpak.metadata": "m" * 100_000}
    image = build.image(ONE, labels=labels)
    build.tag("1.0", build.index(*(on(image, f"linux/a{number}") for number in range(200))))
    record = record_of(read_layout(build.write(tmp_path)).refs[0].image)
    assert len(record.platforms) == 200
    assert sum(bool(platform.labels) for platform in record.platforms) == 1
    assert record.platforms[0].is_flatpak


def test_what_many_images_share_is_bounded(tmp_path: Path) -> None:
    build = LayoutBuilder()
    labels = {"org.flatpak.ref": "app/x/x86_64/stable", "org.flatpak.metadata": "m" * 1_000_000}
    image = on(build.image(ONE, labels=labels), "linux/amd64")
    for number in range(ANY_TEXT // 1_000_000 + 20):
        build.tag(f"t{number}", build.index({**image, "annotations": {"n": str(number)}}))
    with pytest.raises(LayoutError, match=r"the ledger would have to hold more than [\d,]+ bytes") as caught:
        read_layout(build.write(tmp_path))
    assert "Divide it into several layouts" in str(caught.value)


@pytest.mark.parametrize("escape", ["", '"\\u0041"'], ids=["plain", "with_an_escape"])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 300, *range(960, 1000, 2), 5000, 100_000])
def test_json_of_any_depth_is_one_error(depth: int, escape: str) -> None:
    raw = b'{"a": ' + b"[" * depth + escape.encode() + b"]" * depth + b"}"
    with pytest.raises(FieldError, match=f"is nested more than {MAX_DEPTH} levels deep"):
        parse_json_object(raw)


def test_json_as_deep_as_allowed() -> None:
    depth = MAX_DEPTH - 2  # the object, and what is in the innermost list
    value: Any = parse_json_object(b'{"a": ' + b"[" * depth + b'"\\u0041"' + b"]" * depth + b"}")["a"]
    for _ in range(depth):
        [value] = value
    assert value == "A"


@pytest.mark.parametrize("where", ["{%s: 1}", '{"a": [1, {"b": [%s]}]}'])
def test_half_a_surrogate_is_found_wherever_it_is(where: str) -> None:
    with pytest.raises(FieldError, match="half of a surrogate pair"):
        parse_json_object((where % '"\\ud800"').encode())


def test_an_index_of_nothing_but_braces_takes_no_memory(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    path = build.write(tmp_path)
    head, tail = b'{"schemaVersion": 2, "manifests": [{}', b"]}"
    many = (MAX_INDEX_SIZE - len(head) - len(tail)) // 3
    (path / "index.json").write_bytes(head + b",{}" * many + tail)
    tracemalloc.start()
    try:
        with pytest.raises(LayoutError, match=f"has more than {MAX_OBJECTS:,} objects and lists"):
            read_layout(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_INDEX_SIZE


# Archives


def _archive(path: Path, *headers: bytes) -> Path:
    """An oci-archive, before whose last member stand extended headers with these contents."""
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    with tarfile.open(path, "w") as archive:
        for name, data in build.files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name == "index.json":
                for content in headers:
                    extended = tarfile.TarInfo("x")
                    extended.type, extended.size = tarfile.XHDTYPE, len(content)
                    archive.addfile(extended, io.BytesIO(content))
                    between = tarfile.TarInfo("y")
                    archive.addfile(between)
            archive.addfile(member, io.BytesIO(data))
    return path


def _comment(size: int) -> bytes:
    text = b"%d comment=" % size
    return text + b"x" * (size - len(text) - 1) + b"\n"


def test_extended_headers_of_the_usual_size_are_read(tmp_path: Path) -> None:
    assert read_layout(_archive(tmp_path / "a.tar", _comment(1000), _comment(MAX_HEADER))).refs


@pytest.mark.parametrize("content", [b"1" * 65_000, _comment(MAX_HEADER + 1)], ids=["digits", "comment"])
def test_a_large_extended_header_is_not_read(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(LayoutError, match=f"at most {MAX_HEADER:,} are read"):
        read_layout(_archive(tmp_path / "a.tar", content))


def test_all_extended_headers_together_are_bounded(tmp_path: Path) -> None:
    many = MAX_HEADERS // MAX_HEADER + 1
    with pytest.raises(LayoutError, match=f"extended headers of more than {MAX_HEADERS:,} bytes"):
        read_layout(_archive(tmp_path / "a.tar", *[_comment(MAX_HEADER)] * many))


def test_an_archive_may_be_called_by_a_link(tmp_path: Path) -> None:
    _archive(tmp_path / "a.tar")
    (tmp_path / "latest.tar").symlink_to("a.tar")
    layout = read_layout(tmp_path / "latest.tar")
    with layout.content(layout.refs[0].image.blobs[0].digest).open() as stream:
        assert stream.read()


# Files that are swapped between the look and the opening


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_takes_the_place_of_a_blob_is_not_read(tmp_path: Path, kind: str) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    layout = read_layout(build.write(tmp_path / "layout"))
    blob = layout.refs[0].image.blobs[-1]
    content = layout.content(blob.digest)
    assert isinstance(content, FileContent)
    place = tmp_path / "layout" / blob_path(str(blob.digest))
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        (tmp_path / "secret").write_bytes(b"secret")
        place.symlink_to(tmp_path / "secret")
    else:
        place.mkdir()
    with pytest.raises(OSError, match=r"no regular file|symbolic links|directory"):
        content.open()


def test_the_digest_of_a_listed_name_is_no_path(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    raw = json_bytes({"schemaVersion": 2, "config": {"digest": sha256(b"")[:-1] + "/", "size": 0}, "layers": []})
    build.tag("bad", build.blob(raw, f"{OCI}.manifest.v1+json"))
    [broken] = read_layout(build.write(tmp_path)).broken
    assert broken.tag == "bad"
    assert "is not a digest" in broken.problem
