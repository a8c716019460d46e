"""Layouts with one fault each: one clear LayoutError, whatever it is."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.layout import LayoutError, read_layout
from pipeline.layout.archive import MAX_MEMBERS
from pipeline.oci.manifest import MAX_MANIFEST_SIZE

from ..layouts.builder import OCI, LayoutBuilder, blob_path, compressed, json_bytes, on, sha256, tar_of, write_files

ONE = tar_of({"a": b"1"})
TWO = tar_of({"a": b"2"})


class Fault:
    """A layout with a good ref `1.0` and one more file or field that is wrong."""

    def __init__(self) -> None:
        self.build = LayoutBuilder()
        self.image = self.build.image(ONE)
        self.entry = self.build.tag("1.0", on(self.image, "linux/amd64"))

    @property
    def manifest(self) -> str:
        return blob_path(self.image["digest"])

    @property
    def config(self) -> str:
        (name,) = [name for name, data in self.build.blobs.items() if b"rootfs" in data]
        return name

    def replace(self, descriptor: dict[str, Any]) -> None:
        """Let the ref lead to another document."""
        self.build.entries.clear()
        self.entry = self.build.tag("1.0", descriptor)

    def document(self, **members: Any) -> None:
        """Let the ref lead to a manifest with other members than the image's."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "config": self.build.blob(b"{}", "application/vnd.oci.empty.v1+json"),
            "layers": [],
        }
        self.replace(self.build.blob(json_bytes(document | members), f"{OCI}.manifest.v1+json"))


def no_marker(fault: Fault) -> None:
    fault.build.marker = b""


def marker_of_the_future(fault: Fault) -> None:
    fault.build.marker = b'{"imageLayoutVersion":"2.0.0"}'


def marker_too_large(fault: Fault) -> None:
    fault.build.marker += b" " * 5000


def manifest_missing(fault: Fault) -> None:
    del fault.build.blobs[fault.manifest]


def manifest_truncated(fault: Fault) -> None:
    fault.build.blobs[fault.manifest] = fault.build.blobs[fault.manifest][:-5]


def manifest_of_another_size(fault: Fault) -> None:
    fault.entry["size"] += 1


def manifest_damaged(fault: Fault) -> None:
    fault.build.blobs[fault.manifest] = fault.build.blobs[fault.manifest].replace(b"2", b"3", 1)


def manifest_no_json(fault: Fault) -> None:
    fault.replace(fault.build.blob(b"{", f"{OCI}.manifest.v1+json"))


def manifest_a_list(fault: Fault) -> None:
    fault.replace(fault.build.blob(b"[]", f"{OCI}.manifest.v1+json"))


def manifest_deep(fault: Fault) -> None:
    fault.replace(fault.build.blob(b'{"a":' + b"[" * 100_000, f"{OCI}.manifest.v1+json"))


def manifest_too_large(fault: Fault) -> None:
    fault.replace(fault.build.blob(b"{}" + b" " * MAX_MANIFEST_SIZE, f"{OCI}.manifest.v1+json"))


def manifest_of_schema_1(fault: Fault) -> None:
    fault.document(schemaVersion=1)


def manifest_of_another_type(fault: Fault) -> None:
    fault.entry["mediaType"] = f"{OCI}.index.v1+json"


def tag_of_a_layer(fault: Fault) -> None:
    fault.replace(fault.build.layer(ONE))


def layer_with_an_illegal_digest(fault: Fault) -> None:
    fault.document(layers=[{"mediaType": "text/plain", "digest": "sha256:../../../etc/passwd", "size": 1}])


def layer_with_a_negative_size(fault: Fault) -> None:
    fault.document(layers=[{"mediaType": "text/plain", "digest": sha256(b"x"), "size": -1}])


def one_blob_with_two_sizes(fault: Fault) -> None:
    blob = fault.build.blob(b"x", "text/plain")
    fault.document(layers=[blob, {**blob, "size": 2}])


def config_missing(fault: Fault) -> None:
    del fault.build.blobs[fault.config]


def config_damaged(fault: Fault) -> None:
    fault.build.blobs[fault.config] = fault.build.blobs[fault.config].replace(b"amd64", b"arm64")


def config_with_too_few_diff_ids(fault: Fault) -> None:
    fault.replace(fault.build.image(ONE, TWO, diff_ids=[sha256(ONE)]))


def config_with_an_illegal_diff_id(fault: Fault) -> None:
    fault.replace(fault.build.image(ONE, diff_ids=["sha256:short"]))


def child_missing(fault: Fault) -> None:
    fault.replace(fault.build.index(on(fault.image, "linux/amd64")))
    del fault.build.blobs[fault.manifest]


def child_said_to_be_of_two_types(fault: Fault) -> None:
    other = {**fault.image, "mediaType": f"{OCI}.index.v1+json"}
    fault.replace(fault.build.index(fault.image, other))


def child_said_to_be_of_two_sizes(fault: Fault) -> None:
    fault.replace(fault.build.index(fault.image, {**fault.image, "size": fault.image["size"] + 1}))


def indexes_too_deep(fault: Fault) -> None:
    descriptor = fault.image
    for _ in range(8):
        descriptor = fault.build.index(descriptor)
    fault.replace(descriptor)


def name_twice(fault: Fault) -> None:
    fault.build.tag("1.0", fault.build.image(TWO))


def name_twice_after_rename(fault: Fault) -> None:
    fault.build.tag("old", fault.build.image(TWO))


def name_illegal(fault: Fault) -> None:
    fault.build.tag("runtime/org.test.P/x86_64/stable", fault.image)


def name_with_digest(fault: Fault) -> None:
    fault.build.tag(f"localhost/app@{fault.image['digest']}", fault.image)


def annotations_no_map(fault: Fault) -> None:
    fault.build.entry({**fault.image, "annotations": ["1.0"]})


def unnamed_damaged(fault: Fault) -> None:
    fault.build.entry(fault.build.image(TWO))["size"] += 1


def nothing_there(fault: Fault) -> None:
    fault.build.entries.clear()


def nothing_with_a_name(fault: Fault) -> None:
    fault.build.entries[:] = [fault.image]


FAULTS: dict[Callable[[Fault], None], str] = {
    no_marker: "oci-layout: the document: is not JSON",
    marker_of_the_future: "only '1.0.0' is known",
    marker_too_large: "at most 4,096 are read",
    manifest_missing: r"manifest sha256:\w+… of index.json \(tag 1.0\) is missing",
    manifest_truncated: r"is \d+ bytes, index.json says \d+",
    manifest_of_another_size: r"is \d+ bytes, index.json says \d+",
    manifest_damaged: "is damaged: its bytes have another digest",
    manifest_no_json: "is not JSON",
    manifest_a_list: "must be a JSON object, not a list",
    manifest_deep: "nested more than",
    manifest_too_large: "at most 4,194,304 are read",
    manifest_of_schema_1: "schemaVersion: is 1",
    manifest_of_another_type: "mediaType: is",
    tag_of_a_layer: "a tag names a manifest or an index",
    layer_with_an_illegal_digest: r"layers\[0\].digest: .*is not a digest",
    layer_with_a_negative_size: r"layers\[0\].size: must be a size from 0 to 2\^63 - 1, not -1",
    one_blob_with_two_sizes: r"is 2 bytes in manifest sha256:\w+… \(tag 1.0\), but 1 elsewhere",
    config_missing: r"config sha256:\w+… of manifest sha256:\w+… \(tag 1.0, linux/amd64\) is missing",
    config_damaged: "is damaged: its bytes have another digest",
    config_with_too_few_diff_ids: "rootfs.diff_ids has 1 entries for 2 layers",
    config_with_an_illegal_diff_id: r"rootfs.diff_ids\[0\]: 'sha256:short' is not a digest",
    child_missing: r"manifest sha256:\w+… of index sha256:\w+… \(tag 1.0\) is missing, and so is each other",
    child_said_to_be_of_two_types: "is of type",
    child_said_to_be_of_two_sizes: r"is \d+ bytes, the index says \d+",
    indexes_too_deep: "nested more than 8 indexes deep",
    name_twice: r"tag 1.0 stands for two images, (?s:.*)Nothing tells them apart: make the layout anew",
    name_twice_after_rename: r"tag 1.0 stands for two images, (?s:.*)rename = \{ \"old\" = ",
    name_illegal: r'is not a valid tag.\n.*rename = \{ "runtime/org.test.P/x86_64/stable" = "stable" \}',
    name_with_digest: r'is not a valid tag.\n.*rename = \{ "localhost/app@sha256:\w+" = "latest" \}',
    annotations_no_map: r"manifests\[1\].annotations: must be an object, not a list",
    unnamed_damaged: r"is \d+ bytes, index.json says \d+",
    nothing_there: "its index.json lists no image",
    nothing_with_a_name: r'its image has no name.\n.*rename = \{ "" = "latest" \}',
}


def fault_of(path: Path, **options: Any) -> LayoutError:
    """The one thing that is wrong with the layout, or with one tag of it."""
    try:
        layout = read_layout(path, **options)
    except LayoutError as error:
        return error
    (broken,) = layout.broken
    return broken.error


@pytest.mark.parametrize("archive", [False, True], ids=["directory", "archive"])
@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_one_clear_error(tmp_path: Path, spoil: Callable[[Fault], None], archive: bool) -> None:
    fault = Fault()
    spoil(fault)
    path = tmp_path / "layout"
    (fault.build.write_archive if archive else fault.build.write)(path)
    error = fault_of(path, rename={"old": "1.0"})
    assert re.search(FAULTS[spoil], str(error))
    assert error.path == path
    assert str(error).startswith(f"{path}: ")
    assert len(str(error).splitlines()) <= 2


def test_an_error_says_where_it_is(tmp_path: Path) -> None:
    fault = Fault()
    config_missing(fault)
    with pytest.raises(LayoutError) as caught:
        read_layout(fault.build.write(tmp_path))
    assert caught.value.tag == "1.0"
    assert str(caught.value.digest) == json.loads(fault.build.blobs[fault.manifest])["config"]["digest"]


def test_two_platforms_under_one_name_want_an_index(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", on(build.image(ONE), "linux/amd64"))
    build.tag("1.0", on(build.image(TWO, architecture="arm64"), "linux/arm64"))
    with pytest.raises(LayoutError, match="Make one index of them"):
        read_layout(build.write(tmp_path))


def test_no_ref_matches(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no ref matches tags 2\.\*; it has 1\.0\."):
        read_layout(Fault().build.write(tmp_path), tags=["2.*"])


def test_the_layouts_own_words_cannot_move_the_cursor(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("\x1b[2J\ud800" + "x" * 5000, build.image(ONE))
    with pytest.raises(LayoutError) as caught:
        read_layout(build.write(tmp_path), tags=["\x1b*", "y"])
    assert str(caught.value).replace("\n", "").isprintable()
    with pytest.raises(LayoutError) as caught:
        read_layout(tmp_path, tags=["y"])
    assert str(caught.value).replace("\n", "").isprintable()
    assert len(str(caught.value)) < 2000


# What only a directory can have.


def blob_outside(layout: Path, name: str) -> None:
    outside = layout.parent / "outside"
    (layout / name).rename(outside)
    (layout / name).symlink_to(outside)


def folder_outside(layout: Path, name: str) -> None:
    (layout / "blobs").rename(layout.parent / "blobs")
    (layout / "blobs").symlink_to("../blobs")


def blob_a_directory(layout: Path, name: str) -> None:
    (layout / name).unlink()
    (layout / name).mkdir()


def blob_a_fifo(layout: Path, name: str) -> None:
    (layout / name).unlink()
    os.mkfifo(layout / name)


def blob_a_device(layout: Path, name: str) -> None:
    (layout / name).unlink()
    (layout / name).symlink_to("/dev/zero")


def blob_a_loop(layout: Path, name: str) -> None:
    (layout / name).unlink()
    (layout / name).symlink_to(Path(name).name)


def blob_folder_a_file(layout: Path, name: str) -> None:
    (layout / "blobs").rename(layout / "other")
    (layout / "blobs").write_bytes(b"")


def blob_a_dangling_link(layout: Path, name: str) -> None:
    (layout / name).unlink()
    (layout / name).symlink_to("nowhere")


@pytest.mark.parametrize(
    ("trick", "problem"),
    [
        (blob_outside, "leads out of the layout"),
        (folder_outside, "leads out of the layout"),
        (blob_a_directory, "must be a file, not a directory"),
        (blob_a_fifo, "must be a file, not a named pipe"),
        (blob_a_device, "leads out of the layout"),
        (blob_a_loop, "leads to itself|Too many levels"),
        (blob_folder_a_file, "is missing"),
        (blob_a_dangling_link, "is missing"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("which", ["manifest", "config"])
def test_path_tricks(tmp_path: Path, trick: Callable[[Path, str], None], problem: str, which: str) -> None:
    fault = Fault()
    layout = fault.build.write(tmp_path / "layout")
    trick(layout, getattr(fault, which))
    with pytest.raises(LayoutError, match=problem):
        read_layout(layout)


def test_what_is_no_layout_at_all(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "directory").mkdir()
    for name, problem in {
        "missing": "No such file",
        "fifo": "neither a directory nor a file",
        "file": "neither a layout directory nor a readable oci-archive",
        "empty": "neither a layout directory nor a readable oci-archive",
        "directory": "has no file index.json",
    }.items():
        with pytest.raises(LayoutError, match=problem):
            read_layout(tmp_path / name)


# What only an archive can have.


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_compressed_archive_is_refused(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(compressed(tar_of(Fault().build.files), compression))
    with pytest.raises(LayoutError, match=f"compressed with {compression}(?s:.*)Decompress it first"):
        read_layout(path)


def test_a_truncated_archive(tmp_path: Path) -> None:
    fault = Fault()
    files = fault.build.files
    manifest = files.pop(fault.manifest)
    whole = tar_of({**files, fault.manifest: manifest})
    path = tmp_path / "a.tar"
    path.write_bytes(whole[: whole.index(manifest) + 10])
    with pytest.raises(LayoutError, match=r"the archive ends inside blobs/|unexpected end of data"):
        read_layout(path)


def _member(name: str, **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member, b"x" * member.size


def _archive(path: Path, fault: Fault, *members: tuple[tarfile.TarInfo, bytes], without: str = "") -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in fault.build.files.items():
            if name != without:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_plain_file(tmp_path: Path, kind: bytes) -> None:
    fault = Fault()
    odd = _member(fault.manifest, type=kind, linkname="/etc/passwd")
    with pytest.raises(LayoutError, match=r"in the archive, .* must be a plain file, not"):
        read_layout(_archive(tmp_path / "a.tar", fault, odd, without=fault.manifest))


def test_members_that_nobody_asks_for_do_no_harm(tmp_path: Path) -> None:
    members = [
        _member("../../etc/passwd", size=3),
        _member("/etc/passwd", size=3),
        _member("link", type=tarfile.SYMTYPE, linkname="/"),
        _member("blobs", type=tarfile.DIRTYPE),
    ]
    read_layout(_archive(tmp_path / "a.tar", Fault(), *members))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar"]


def test_two_indexes_in_one_archive(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"has index\.json twice"):
        read_layout(_archive(tmp_path / "a.tar", Fault(), _member("index.json", size=2)))


def test_an_invented_header_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 40
    path.write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(LayoutError, match="a header of"):
        read_layout(path)


def test_the_number_of_members_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarfile.TarInfo("x").tobuf() * (MAX_MEMBERS + 1))
    with pytest.raises(LayoutError, match="has more than 100,000 members"):
        read_layout(path)


def test_a_chain_of_long_names_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    path.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + b"x" + bytes(511)) * 5000)
    with pytest.raises(LayoutError, match="neither a layout directory nor a readable oci-archive"):
        read_layout(path)


def test_a_layout_that_loses_a_file_while_it_is_read(tmp_path: Path) -> None:
    fault = Fault()
    layout = read_layout(fault.build.write(tmp_path))
    (tmp_path / fault.manifest).unlink()
    with pytest.raises(LayoutError, match="is missing"):
        layout.content(layout.refs[0].image.digest)


def test_write_files_is_the_builders(tmp_path: Path) -> None:
    fault = Fault()
    write_files(tmp_path / "a", fault.build.files)
    assert read_layout(tmp_path / "a").refs == read_layout(fault.build.write(tmp_path / "b")).refs
