"""What a layout gives when it is whole: refs, images, platforms, artifacts, and what is skipped."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.layout import Image, Layout, LayoutError, read_layout
from pipeline.oci.digest import Digest

from ..layouts.builder import OCI, LayoutBuilder, blob_path, json_bytes, on, sha256, tar_of, write_files

ONE = tar_of({"a": b"1"})
TWO = tar_of({"a": b"2", "b": b"22"})

Write = Callable[[LayoutBuilder], Path]


@pytest.fixture(params=["directory", "archive"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    if request.param == "directory":
        return lambda build: build.write(tmp_path / "layout")
    return lambda build: build.write_archive(tmp_path / "layout.tar")


def tags_of(layout: Layout) -> list[str]:
    return [ref.tag for ref in layout.refs]


def digests_of(image: Image) -> list[str]:
    return [str(document.digest) for document in image.documents]


def test_an_image_is_read_as_it_lies_there(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE, TWO, created="2024-05-06T07:08:09.123456789Z", labels={"a": "b"})
    build.tag("1.0", image)

    layout = read_layout(write(build))

    assert tags_of(layout) == ["1.0"]
    read = layout.refs[0].image
    assert str(read.digest) == image["digest"]
    assert read.root.raw == build.blobs[blob_path(image["digest"])]
    assert read.created == datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    assert len(read.blobs) == 3
    (platform,) = read.platforms
    assert str(platform.platform) == "linux/amd64"
    assert platform.config.labels == {"a": "b"}
    assert [str(layer.diff_id) for layer in platform.layers] == [sha256(ONE), sha256(TWO)]
    for blob in read.blobs:
        with layout.content(blob.digest).open() as stream:
            assert stream.read() == build.blobs[blob_path(str(blob.digest))]


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
def test_every_kind_of_layer_may_take_part_in_deltas(write: Write, docker: bool, compression: str) -> None:
    build = LayoutBuilder()
    build.tag("x", build.image(ONE, compression=compression, docker=docker))
    assert len(read_layout(write(build)).refs[0].image.platforms) == 1


@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_a_multi_arch_image_has_children_before_parents(write: Write, docker: bool) -> None:
    build = LayoutBuilder()
    amd, arm = build.image(ONE, docker=docker), build.image(TWO, docker=docker, architecture="arm64")
    inner = build.index(on(arm, "linux/arm64/v8"), docker=docker)
    outer = build.index(on(amd, "linux/amd64"), inner, docker=docker)
    build.tag("x", outer)

    image = read_layout(write(build)).refs[0].image

    assert digests_of(image) == [amd["digest"], arm["digest"], inner["digest"], outer["digest"]]
    assert [str(found.platform) for found in image.platforms] == ["linux/amd64", "linux/arm64/v8"]


def test_a_shared_child_appears_once(write: Write) -> None:
    build = LayoutBuilder()
    child = build.image(ONE)
    root = build.index(on(child, "linux/amd64"), on(child, "linux/amd64"), build.index(on(child, "linux/amd64")))
    build.tag("x", root)
    image = read_layout(write(build)).refs[0].image
    assert len(image.documents) == 3
    assert len(image.platforms) == 1
    assert len({blob.digest for blob in image.blobs}) == len(image.blobs) == 2


def test_one_manifest_may_serve_two_platforms(write: Write) -> None:
    build = LayoutBuilder()
    child = build.image(ONE)
    build.tag("x", build.index(on(child, "linux/arm64"), on(child, "linux/arm64/v8")))
    image = read_layout(write(build)).refs[0].image
    assert [str(found.platform) for found in image.platforms] == ["linux/arm64", "linux/arm64/v8"]


def test_attestations_are_published_but_are_no_platform(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    attestation = build.attestation(image)
    build.tag("latest", build.index(on(image, "linux/amd64"), attestation))
    read = read_layout(write(build)).refs[0].image
    assert attestation["digest"] in digests_of(read)
    assert [str(found.manifest.digest) for found in read.platforms] == [image["digest"]]


def test_what_docker_buildx_writes_for_two_names(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    root = build.index(on(image, "linux/amd64"), build.attestation(image))
    for name in ["docker.io/library/app:latest", "docker.io/library/other:latest"]:
        build.tag("latest", {**root, "annotations": {"io.containerd.image.name": name}})
    assert tags_of(read_layout(write(build))) == ["latest"]


def _helm(build: LayoutBuilder) -> tuple[dict[str, object], int]:
    config = build.blob(b'{"name":"chart"}', "application/vnd.cncf.helm.config.v1+json")
    chart = build.blob(b"\x1f\x8bchart", "application/vnd.cncf.helm.chart.content.v1.tar+gzip")
    return build.manifest(config, chart), 2


def _cosign(build: LayoutBuilder) -> tuple[dict[str, object], int]:
    config = build.blob(b'{"rootfs":{"type":"layers","diff_ids":[]}}', f"{OCI}.config.v1+json")
    return build.manifest(config, build.blob(b"{}", "application/vnd.dev.cosign.simplesigning.v1+json")), 2


def _encrypted(build: LayoutBuilder) -> tuple[dict[str, object], int]:
    config = build.blob(b'{"rootfs":{"type":"layers","diff_ids":[]}}', f"{OCI}.config.v1+json")
    return build.manifest(config, build.blob(b"secret", f"{OCI}.layer.v1.tar+gzip+encrypted")), 2


def _foreign(build: LayoutBuilder) -> tuple[dict[str, object], int]:
    config = build.blob(json_bytes({"os": "windows", "rootfs": {"diff_ids": []}}), f"{OCI}.config.v1+json")
    foreign = {
        "mediaType": f"{OCI}.layer.nondistributable.v1.tar+gzip",
        "digest": sha256(b"elsewhere"),
        "size": 9,
        "urls": ["https://example.org/layer"],
    }
    return build.manifest(config, foreign, build.layer(ONE)), 2


def _no_layers(build: LayoutBuilder) -> tuple[dict[str, object], int]:
    return build.image(), 1


@pytest.mark.parametrize("kind", [_helm, _cosign, _encrypted, _foreign, _no_layers], ids=lambda kind: kind.__name__[1:])
def test_what_has_no_readable_layers_is_published_without_deltas(
    write: Write, kind: Callable[[LayoutBuilder], tuple[dict[str, object], int]]
) -> None:
    build = LayoutBuilder()
    descriptor, blobs = kind(build)
    build.tag("1.0", descriptor)
    image = read_layout(write(build)).refs[0].image
    assert image.platforms == ()
    assert len(image.blobs) == blobs


@pytest.mark.parametrize(
    ("name", "rename", "tag"),
    [
        ("1.0", {}, "1.0"),
        ("localhost/app:1.0", {}, "1.0"),
        ("registry.example.org:5000/team/app:1.0", {}, "1.0"),
        ("localhost/app:1.0", {"localhost/app:1.0": "one"}, "one"),
        ("localhost/app:1.0", {"1.0": "one"}, "one"),
        ("1.0", {"2.0": "two"}, "1.0"),
        ("runtime/org.test.P/x86_64/stable", {"runtime/org.test.P/x86_64/stable": "stable"}, "stable"),
    ],
)
def test_the_tag_of_a_ref_name(write: Write, name: str, rename: dict[str, str], tag: str) -> None:
    build = LayoutBuilder()
    build.tag(name, build.image(ONE))
    assert tags_of(read_layout(write(build), rename=rename)) == [tag]


def test_an_image_without_a_name_is_named_by_rename(write: Write) -> None:
    build = LayoutBuilder()
    build.entry(build.image(ONE))
    assert tags_of(read_layout(write(build), rename={"": "latest"})) == ["latest"]


def test_refs_keep_the_order_of_the_index(write: Write) -> None:
    build = LayoutBuilder()
    for name in ["b", "c", "a"]:
        build.tag(name, build.image(tar_of({name: b""})))
    assert tags_of(read_layout(write(build))) == ["b", "c", "a"]


def test_tags_select_after_rename_and_leave_the_rest_unread(write: Write) -> None:
    build = LayoutBuilder()
    build.tag("old", build.image(ONE))
    build.tag("2.0", build.image(TWO))
    broken = build.tag("broken", build.image(ONE))
    broken["digest"], broken["size"] = "md5:nonsense", -1
    build.tag("no/legal/tag", build.image(ONE))
    layout = read_layout(write(build), tags=["1.*", "2.*"], rename={"old": "1.0"})
    assert tags_of(layout) == ["1.0", "2.0"]


def test_one_name_twice_for_one_image_is_one_ref(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.tag("1.0", image)
    build.tag("localhost/app:1.0", image)
    assert tags_of(read_layout(write(build))) == ["1.0"]


def test_artifacts_belong_to_what_is_published(write: Write) -> None:
    build = LayoutBuilder()
    image, other = build.image(ONE), build.image(TWO)
    signature = build.artifact(subject=image)
    countersignature = build.artifact(subject=signature, data=b"countersigned")
    stray = build.artifact(subject=other, data=b"stray")
    for descriptor in [countersignature, stray, signature]:
        build.entry(descriptor)
    build.tag("1.0", image)
    build.tag("dev", other)
    nameless = build.entry(build.image(tar_of({})))

    layout = read_layout(write(build), tags=["1.*"])

    assert [str(found.digest) for found in layout.artifacts] == [countersignature["digest"], signature["digest"]]
    told = [str(Digest.parse(descriptor["digest"]).short) for descriptor in (stray, nameless)]
    assert [name in entry.name for name, entry in zip(told, layout.skipped, strict=True)] == [True, True]


def test_a_name_for_the_unnamed_is_not_given_to_artifacts(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.entry(image)
    build.entry(build.artifact(subject=image))
    layout = read_layout(write(build), rename={"": "latest"})
    assert tags_of(layout) == ["latest"]
    assert len(layout.artifacts) == 1


def test_an_unnamed_entry_that_a_ref_reaches_is_not_worth_a_word(write: Write) -> None:
    build = LayoutBuilder()
    child = build.image(ONE)
    build.entry(child)
    build.tag("1.0", build.index(on(child, "linux/amd64")))
    layout = read_layout(write(build))
    assert layout.skipped == ()
    assert layout.artifacts == ()


def test_listings_of_another_registry_are_skipped_and_cosign_tags_are_not(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    listing = image["digest"].replace(":", "-")
    for name in ["1.0", "_deltaindex", listing, f"{listing}.sig"]:  # the third leads to no listing
        build.tag(name, image)
    layout = read_layout(write(build))
    assert tags_of(layout) == ["1.0", f"{listing}.sig"]
    assert len(layout.skipped) == 2


def test_unknown_members_and_odd_spelling_survive(write: Write) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    raw = build.blobs[blob_path(image["digest"])].replace(b"{", b'{ "x" :  [ 1.0 ],', 1) + b"\n\n"
    build.tag("1.0", build.blob(raw, image["mediaType"]))
    assert read_layout(write(build)).refs[0].image.root.raw == raw


def test_old_layouts_name_no_media_types_at_the_top(write: Write) -> None:
    build = LayoutBuilder()
    del build.tag("1.0", build.image(ONE))["mediaType"]
    assert len(read_layout(write(build)).refs[0].image.platforms) == 1


@pytest.mark.parametrize("created", [None, "", "yesterday", "0001-01-01T00:00:00+14:00", "2024-02-30T00:00:00Z"])
def test_an_odd_date_is_no_date(write: Write, created: str | None) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE, created=created))
    assert read_layout(write(build)).refs[0].image.created is None


def test_the_youngest_platform_dates_the_image(write: Write) -> None:
    build = LayoutBuilder()
    dates = ["2024-01-02T00:00:00Z", "2024-01-02T01:00:00+05:00"]
    build.tag("1.0", build.index(*(on(build.image(ONE, created=date), "linux/amd64") for date in dates)))
    assert read_layout(write(build)).refs[0].image.created == datetime(2024, 1, 2, tzinfo=UTC)


def test_refs_share_what_they_share(tmp_path: Path) -> None:
    build = LayoutBuilder()
    children = [on(build.image(tar_of({"n": b"%d" % number})), "linux/amd64") for number in range(10)]
    for number in range(500):
        build.tag(f"v{number}", build.index(*children, on(build.image(ONE, labels={"n": str(number)}), "linux/arm64")))
    layout = read_layout(build.write(tmp_path / "layout"))
    assert len(layout.refs) == 500
    assert len({id(document) for ref in layout.refs for document in ref.image.documents}) == 500 * 2 + 10


def test_links_inside_a_layout_and_to_it_are_followed(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.tag("1.0", image)
    real = build.write(tmp_path / "real")
    blob = real / blob_path(image["digest"])
    blob.rename(real / "elsewhere")
    blob.symlink_to("../../elsewhere")
    (tmp_path / "link").symlink_to("real")
    assert tags_of(read_layout(tmp_path / "link")) == ["1.0"]


def test_an_archive_may_say_dot_slash(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    (tmp_path / "a.tar").write_bytes(tar_of({f"./{name}": data for name, data in build.files.items()}))
    assert tags_of(read_layout(tmp_path / "a.tar")) == ["1.0"]


def test_sha512_is_read_from_its_own_folder(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    raw = build.blobs.pop(blob_path(image["digest"]))
    image["digest"] = "sha512:" + hashlib.sha512(raw).hexdigest()
    build.tag("1.0", image)
    write_files(tmp_path / "layout", {blob_path(image["digest"]): raw})
    layout = read_layout(build.write(tmp_path / "layout"))
    assert str(layout.refs[0].image.digest) == image["digest"]


def test_content_that_is_not_there_is_our_error(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    layout = read_layout(build.write(tmp_path / "layout"))
    with pytest.raises(LayoutError, match="is missing"):
        layout.content(Digest.of(b"nothing"))
