"""Layouts as tools really write them, where that is not quite as the specification has it."""

import json
from pathlib import Path

import pytest

from pipeline.layout import Layout, LayoutError, read_layout
from pipeline.layout.check import check_images
from pipeline.layout.notes import notes_of
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from pipeline.quantities import format_size

from ..layouts.builder import DOCKER, OCI, REF_NAME, Json, LayoutBuilder, blob_path, json_bytes, on, sha256, tar_of

ONE = tar_of({"a": b"1"})
TWO = tar_of({"a": b"2"})
WHOLE_NAME = "io.containerd.image.name"


def read(build: LayoutBuilder, path: Path, **options: object) -> Layout:
    """The layout, all of whose blobs are right."""
    layout = read_layout(build.write(path / "layout"), **options)  # type: ignore[arg-type]
    assert not check_images(layout, layout.images.values(), limits=Limits()).faults
    return layout


def tags_of(layout: Layout) -> list[str]:
    return [ref.tag for ref in layout.refs]


# Configs


@pytest.mark.parametrize(
    "config",
    [b"", b"\n", b"{}", b"null", b'{"architecture": "amd64", "os": "linux"}', b'{"os": 7}', b'{"rootfs": {}}'],
    ids=lambda config: config.decode().strip() or "empty",
)
def test_an_artifact_may_borrow_the_type_of_an_image_config(tmp_path: Path, config: bytes) -> None:
    build = LayoutBuilder()
    build.tag("policy", build.manifest(build.blob(config, f"{OCI}.config.v1+json"), build.layer(ONE)))
    image = read(build, tmp_path).refs[0].image
    assert image.platforms == ()
    assert len(image.blobs) == 2


@pytest.mark.parametrize("config", [b"text", b"[]", b'{"rootfs": []}', b'{"rootfs": {"diff_ids": ["x"]}}'])
def test_a_config_that_is_none_is_a_fault(tmp_path: Path, config: bytes) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.manifest(build.blob(config, f"{OCI}.config.v1+json"), build.layer(ONE)))
    with pytest.raises(LayoutError, match="config sha256"):
        read(build, tmp_path)


def test_null_is_an_empty_text(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE, annotations={"a": "b"}, labels={"a": "b"})
    manifest = json.loads(build.blobs[blob_path(image["digest"])])
    config = json.loads(build.blobs[blob_path(manifest["config"]["digest"])])
    config["config"]["Labels"] = {"a": None}
    manifest |= {"config": build.blob(json_bytes(config), f"{OCI}.config.v1+json"), "annotations": {"a": None}}
    entry = build.tag("1.0", build.blob(json_bytes(manifest), OCI_MANIFEST))
    entry["annotations"]["x"] = None
    image_read = read(build, tmp_path).refs[0].image
    assert image_read.platforms[0].config.labels == {"a": ""}
    assert image_read.root.annotations == {"a": ""}


# Media types


@pytest.mark.parametrize("said", ["", None, "application/json", "application/vnd.example.unknown+json"])
@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
def test_an_entry_of_an_index_is_what_its_content_says(tmp_path: Path, said: str | None, docker: bool) -> None:
    build = LayoutBuilder()
    child = on(build.image(ONE, docker=docker), "linux/amd64")
    if said is None:
        del child["mediaType"]
    else:
        child["mediaType"] = said
    inner = {**build.index(on(build.image(TWO, architecture="arm64"), "linux/arm64")), "mediaType": said or ""}
    build.tag("1.0", build.index(child, inner))
    image = read(build, tmp_path).refs[0].image
    assert [str(found.platform) for found in image.platforms] == ["linux/amd64", "linux/arm64"]
    types = [document.media_type for document in image.documents]
    assert types == [DOCKER_MANIFEST if docker else OCI_MANIFEST, OCI_MANIFEST, OCI_INDEX, OCI_INDEX]
    assert {str(blob.digest) for blob in image.blobs}.isdisjoint({str(document.digest) for document in image.documents})


@pytest.mark.parametrize("data", [b"", b"text", b"{}", b'{"schemaVersion": 2}', b'{"_type": "statement"}'])
def test_an_entry_that_is_no_manifest_stays_a_blob(tmp_path: Path, data: bytes) -> None:
    build = LayoutBuilder()
    build.tag("cache", build.index(build.blob(data, "application/vnd.buildkit.cacheconfig.v0")))
    image = read(build, tmp_path).refs[0].image
    assert [str(blob.digest) for blob in image.blobs] == [sha256(data)]


@pytest.mark.parametrize("says_so", [False, True])
def test_what_does_not_say_that_it_is_dockers_is_served_as_ocis(tmp_path: Path, says_so: bool) -> None:
    build = LayoutBuilder()

    def document(media_type: str, **members: object) -> Json:
        own = {"mediaType": media_type} if says_so else {}
        return build.blob(json_bytes({"schemaVersion": 2, **own, **members}), media_type)

    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha256(ONE)]}}
    manifest = document(
        DOCKER_MANIFEST,
        config=build.blob(json_bytes(config), f"{DOCKER}.container.image.v1+json"),
        layers=[build.layer(ONE, docker=True)],
    )
    build.tag("one", manifest)
    build.tag("all", document(DOCKER_LIST, manifests=[on(manifest, "linux/amd64")]))
    layout = read(build, tmp_path)
    types = [ref.image.root.media_type for ref in layout.refs]
    assert types == ([DOCKER_MANIFEST, DOCKER_LIST] if says_so else [OCI_MANIFEST, OCI_INDEX])
    assert all(len(ref.image.platforms) == 1 for ref in layout.refs)


FOREIGN = [
    *(f"{OCI}.layer.nondistributable.v1.tar{packed}" for packed in ("", "+gzip", "+zstd")),
    *(f"{DOCKER}.image.rootfs.foreign.diff.tar{packed}" for packed in ("", ".gzip", ".zstd")),
]


@pytest.mark.parametrize("media_type", FOREIGN)
def test_a_foreign_layer_lies_elsewhere(tmp_path: Path, media_type: str) -> None:
    build = LayoutBuilder()
    config = {"os": "windows", "architecture": "amd64", "rootfs": {"diff_ids": [sha256(b"x"), sha256(ONE)]}}
    foreign = {"mediaType": media_type, "digest": sha256(b"x"), "size": 1, "urls": ["https://example.org/x"]}
    described = build.blob(json_bytes(config), f"{OCI}.config.v1+json")
    build.tag("1.0", build.manifest(described, foreign, build.layer(ONE)))
    image = read(build, tmp_path).refs[0].image
    assert len(image.blobs) == 2
    del foreign["urls"]
    build.entries.clear()
    build.tag("1.0", build.manifest(described, foreign, build.layer(ONE)))
    layout = read_layout(build.write(tmp_path / "layout"))
    assert "is missing" in str(*check_images(layout, layout.images.values(), limits=Limits()).faults.values())


# Files


def test_the_marker_may_be_missing(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    path = build.write(tmp_path / "layout")
    (path / "oci-layout").unlink()
    assert tags_of(read_layout(path)) == ["1.0"]


@pytest.mark.parametrize(("files", "transport"), [((), "docker-archive:FILE"), (("version",), "dir:DIRECTORY")])
def test_what_skopeo_makes_a_layout_of_is_named(files: tuple[str, ...], transport: str, tmp_path: Path) -> None:
    for name in ("manifest.json", *files):
        (tmp_path / name).write_text("{}")
    with pytest.raises(LayoutError, match=f"`skopeo copy {transport} oci:LAYOUT:TAG` makes one of it"):
        read_layout(tmp_path)


def test_only_what_docker_save_wrote_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"[]")
    with pytest.raises(LayoutError, match="skopeo copy docker-archive:"):
        read_layout(tmp_path)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(LayoutError) as caught:
        read_layout(tmp_path)
    assert "skopeo" not in str(caught.value)


# Names


def test_names_are_told_apart_by_what_containerd_calls_them(tmp_path: Path) -> None:
    build = LayoutBuilder()
    for name, tar in {"docker.io/library/a:1.0": ONE, "docker.io/library/b:1.0": TWO}.items():
        build.tag("1.0", build.image(tar))["annotations"][WHOLE_NAME] = name
    with pytest.raises(LayoutError) as caught:
        read(build, tmp_path)
    assert "(docker.io/library/a:1.0) and " in str(caught.value)
    assert 'rename = { "docker.io/library/b:1.0" = "b-1.0" }' in str(caught.value)
    assert tags_of(read(build, tmp_path, rename={"docker.io/library/b:1.0": "b-1.0"})) == ["1.0", "b-1.0"]


@pytest.mark.parametrize(
    ("names", "advised", "tags"),
    [
        (["localhost/a:1.0", "localhost/b:1.0"], {"localhost/b:1.0": "b-1.0"}, ["1.0", "b-1.0"]),
        (["localhost/a:1.0", "1.0"], {"localhost/a:1.0": "a-1.0"}, ["a-1.0", "1.0"]),
        (["1.0", "localhost/a:1.0"], {"localhost/a:1.0": "a-1.0"}, ["1.0", "a-1.0"]),
    ],
)
def test_the_advice_for_two_names_works(
    tmp_path: Path, names: list[str], advised: dict[str, str], tags: list[str]
) -> None:
    build = LayoutBuilder()
    for name, tar in zip(names, [ONE, TWO], strict=True):
        build.tag(name, build.image(tar))
    [(name, tag)] = advised.items()
    with pytest.raises(LayoutError) as caught:
        read(build, tmp_path)
    assert f'rename = {{ "{name}" = "{tag}" }}' in str(caught.value)
    assert tags_of(read(build, tmp_path, rename=advised)) == tags


def test_images_without_names_have_no_rename(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.entry(build.image(ONE))
    build.entry(build.image(TWO))
    for rename in ({}, {"": "latest"}):
        with pytest.raises(LayoutError, match="give each a name of its own when it is copied") as caught:
            read(build, tmp_path, rename=rename)
        assert "rename =" not in str(caught.value)


def test_a_whole_name_stands_in_for_a_ref_name(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.entry({**build.image(ONE), "annotations": {WHOLE_NAME: "docker.io/library/a:1.0"}})
    assert tags_of(read(build, tmp_path)) == ["1.0"]


# What is attached


def test_signatures_of_what_is_published_come_with_it(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image, other = build.image(ONE), build.image(TWO)
    build.tag("1.0", image)
    build.tag("dev", other)
    signed = {kind: image["digest"].replace(":", "-") + kind for kind in (".sig", ".att", ".sbom")}
    for name in (*signed.values(), other["digest"].replace(":", "-") + ".sig"):
        build.tag(name, build.artifact(data=name.encode()))
    layout = read(build, tmp_path, tags=["1.*"])
    assert tags_of(layout) == ["1.0", *signed.values()]
    assert layout.skipped == ()


def test_a_fallback_listing_gives_its_artifacts(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    signature = build.artifact(subject=image)
    counter = build.artifact(subject=signature, data=b"countersigned")
    stranger = build.artifact(subject=build.image(TWO), data=b"of another")
    for subject, listed in ((image, [signature, stranger]), (signature, [counter])):
        build.tag(subject["digest"].replace(":", "-"), build.index(*listed))
    build.tag("1.0", image)
    layout = read(build, tmp_path, tags=["1.*"])
    assert tags_of(layout) == ["1.0"]
    assert [str(found.digest) for found in layout.artifacts] == [signature["digest"], counter["digest"]]


def test_a_fallback_listing_of_what_is_not_published_is_not_even_read(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    entry = build.tag(build.image(TWO)["digest"].replace(":", "-"), build.index())
    entry["size"] += 1
    assert tags_of(read(build, tmp_path)) == ["1.0"]


def test_a_damaged_fallback_listing_is_named(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.image(ONE)
    build.tag("1.0", image)
    name = image["digest"].replace(":", "-")
    build.tag(name, build.index())["size"] += 1
    layout = read(build, tmp_path)
    assert (tags_of(layout), [found.tag for found in layout.broken]) == (["1.0"], [name])


# Lines for people


def test_what_is_left_out_for_one_reason_stands_in_one_line(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    nights = [build.image(tar_of({"n": b"%d" % number})) for number in range(40)]
    for image in nights:
        build.entry(image)
    layout = read(build, tmp_path)
    [line] = notes_of(layout, frozenset())
    assert line.startswith("40 entries of index.json are left out; each has neither a name nor a subject: manifest sha")
    assert line.endswith("and 35 more.")
    published = frozenset(Digest.parse(image["digest"]) for image in nights)
    assert notes_of(layout, published) == ()


def test_the_ref_name_counts_before_the_whole_name(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.entry({**build.image(ONE), "annotations": {REF_NAME: "mine", WHOLE_NAME: "docker.io/library/a:1.0"}})
    assert tags_of(read(build, tmp_path)) == ["mine"]


def test_a_glob_that_matches_nothing_is_noted(tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(ONE))
    build.tag("2.0", build.image(TWO))
    layout = read(build, tmp_path, tags=["1.*", "3.*", "v*"])
    assert notes_of(layout, frozenset()) == ('no tag of the layout matches "3.*", "v*" in `tags`; it has 1.0.',)
    assert notes_of(read(build, tmp_path / "again", tags=["1.*", "[2-9].0"]), frozenset()) == ()


def test_new_layers_that_are_not_compressed_are_noted(tmp_path: Path) -> None:
    build = LayoutBuilder()
    image = build.tag("1.0", build.image(ONE, compression=""))
    layout = read(build, tmp_path)
    [line] = notes_of(layout, frozenset())
    assert line.startswith(f"1 of the new layers is not compressed, {format_size(len(ONE))}, and clients without")
    assert notes_of(layout, {Digest.parse(image["digest"])}) == ()
