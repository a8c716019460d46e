"""Digests, names, descriptors and documents: what is read, what is refused, and how it is told."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.oci.descriptor import Descriptor, Platform
from pipeline.oci.digest import DiffID, Digest, DigestError
from pipeline.oci.fields import FieldError, Fields, parse_json_object
from pipeline.oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest, parse_document, parse_image_config, successors
from pipeline.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pipeline.oci.reference import NameGrammarError, attached_to, check_repository, is_reserved_tag, is_tag

HEX = "ab" * 32
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize("text", [DIGEST, "sha512:" + "0" * 128])
def test_a_digest_is_its_text(text: str) -> None:
    assert str(Digest.parse(text)) == text
    assert Digest.parse(text) == Digest.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        "sha256:",
        f"sha256:{HEX[:-1]}",
        f"sha256:{HEX}0",
        f"sha256:{HEX.upper()}",
        f"sha512:{HEX}",
        f"md5:{HEX[:32]}",
        f"SHA256:{HEX}",
        f"sha256:{HEX[:-1]}\n",
        f"sha256:{HEX[:-1]}٣",
        f" {DIGEST}",
        "sha256:../../../" + "a" * 55,
    ],
)
def test_anything_else_is_no_digest(text: str) -> None:
    with pytest.raises(DigestError) as caught:
        Digest.parse(text)
    assert caught.value.text == text[:80]


def test_digests_are_made_of_bytes() -> None:
    assert str(Digest.of(b"")) == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    hasher = Digest.parse("sha512:" + "0" * 128).new_hasher()
    assert len(Digest.of_hasher("sha512", hasher).hex) == 128


@pytest.mark.parametrize("name", ["a", "team/app", "a.b_c__d---e/0", "blobs", "foo/manifests", "x" * 200])
def test_repository_names(name: str) -> None:
    assert check_repository(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "a/", "/a", "a//b", "A", "a..b", "a/../b", ".", "..", "a___b", "-a", "a-", "a b", "ä", "a\n", "x" * 201],
)
def test_illegal_repository_names(name: str) -> None:
    with pytest.raises(NameGrammarError):
        check_repository(name)


@pytest.mark.parametrize("tag", ["latest", "v1.2.3", "_x", "A-B.c", "x" * 128, "_deltaindex"])
def test_tags(tag: str) -> None:
    assert is_tag(tag)


@pytest.mark.parametrize("tag", ["", ".hidden", "-x", "a/b", "a:b", "a b", "ü", "x" * 129, "latest\n", "1.0+build"])
def test_illegal_tags(tag: str) -> None:
    assert not is_tag(tag)


def test_reserved_tags() -> None:
    reserved = ["_deltaindex", f"sha256-{HEX}", f"sha256-{HEX}.sig", "sha512-" + "0" * 128]
    assert all(map(is_reserved_tag, reserved))
    assert not any(map(is_reserved_tag, ["latest", "sha256-abc", f"x-sha256-{HEX}", "deltaindex"]))


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"", "is not JSON"),
        (b"[]", "must be a JSON object, not a list"),
        (b'{"a": 1', "is not JSON"),
        (b'\xff{"a": 1}', "is not UTF-8 (byte 0)"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
    ],
)
def test_what_is_no_object(raw: bytes, problem: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_json_object(raw)
    assert problem in str(caught.value)


def test_pairs_of_surrogates_are_text() -> None:
    assert parse_json_object(b'{"a": "\\ud83d\\ude00"}') == {"a": "😀"}


def test_fields_name_the_path() -> None:
    fields = Fields({"layers": [{}, {"digest": "x", "size": True}], "labels": {"a": 1}, "n": None}, "manifest")
    layers = fields.objects("layers")
    complaints: list[tuple[Callable[[], object], str]] = [
        (lambda: layers[1].digest("digest"), "manifest.layers[1].digest: 'x' is not a digest"),
        (lambda: layers[0].digest("digest"), "manifest.layers[0].digest: is missing"),
        (lambda: layers[1].size("size"), "manifest.layers[1].size: must be an integer, not a boolean"),
        (lambda: fields.texts("labels"), "manifest.labels.a: must be a string, not a number"),
        (lambda: fields.object("layers"), "manifest.layers: must be an object, not a list"),
        (lambda: fields.text("n"), "manifest.n: must be a string, not null"),
    ]
    for call, message in complaints:
        with pytest.raises(FieldError) as caught:
            call()
        assert str(caught.value).startswith(message)
    assert fields.texts("n") == {}
    assert fields.objects("n") == ()
    assert fields.optional_text("n") is None


@pytest.mark.parametrize("size", [-1, 1 << 63, 1.5, "1", None])
def test_sizes(size: Any) -> None:
    with pytest.raises(FieldError):
        Fields({"size": size}).size("size")


def test_a_descriptor_survives() -> None:
    document = {
        "mediaType": OCI_MANIFEST,
        "artifactType": "text/plain",
        "digest": DIGEST,
        "size": 7,
        "platform": {"architecture": "arm64", "os": "windows", "variant": "v8", "os.version": "10.0"},
        "annotations": {"a": "b", "c": "d"},
    }
    descriptor = Descriptor.read(Fields(document))
    assert descriptor.to_json() == document
    assert str(descriptor.platform) == "windows/arm64/v8"
    bare = {"mediaType": "", "digest": DIGEST, "size": 0}
    assert Descriptor.read(Fields(bare)).to_json() == bare


def test_platforms_differ_in_every_part() -> None:
    parts = {"os": "linux", "architecture": "arm", "variant": "v7", "os_version": "1"}
    platforms = {Platform(**{**parts, name: "x"}) for name in parts} | {Platform(**parts)}
    assert len(platforms) == 5
    assert Platform(os="unknown", architecture="unknown").is_unknown


def _descriptor(media_type: str = "x", **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": DIGEST, "size": 1, **more}


def _manifest(**more: Any) -> bytes:
    layer = _descriptor("application/vnd.oci.image.layer.v1.tar+gzip")
    return json.dumps({"schemaVersion": 2, "config": _descriptor(OCI_CONFIG), "layers": [layer], **more}).encode()


def test_a_manifest_keeps_its_bytes_and_knows_its_type() -> None:
    raw = _manifest(future=["unknown"])
    document = parse_document(raw)
    assert isinstance(document, Manifest)
    assert (document.raw, document.digest, document.media_type) == (raw, Digest.of(raw), OCI_MANIFEST)
    assert document.is_image
    assert document.descriptor().size == len(raw)
    # clients refuse one that is served as Docker's and does not say so
    assert parse_document(raw, DOCKER_MANIFEST).media_type == OCI_MANIFEST
    assert parse_document(_manifest(mediaType=DOCKER_MANIFEST), DOCKER_MANIFEST).media_type == DOCKER_MANIFEST
    assert isinstance(parse_document(b'{"schemaVersion": 2, "manifests": []}'), Index)
    assert parse_document(b'{"schemaVersion": 2, "manifests": null}', DOCKER_LIST).media_type == OCI_INDEX


@pytest.mark.parametrize(
    ("raw", "media_type", "problem"),
    [
        (b"{}", "", "schemaVersion: is None, only 2"),
        (b'{"schemaVersion": 1}', "", "schemaVersion: is 1, only 2"),
        (_manifest(mediaType=OCI_INDEX), OCI_MANIFEST, "mediaType: is 'application/vnd.oci.image.index.v1+json', but"),
        (_manifest(mediaType="text/plain"), "", "mediaType: is 'text/plain', which is not a type of manifest"),
        (_manifest(config=None), "", "config: must be an object, not null"),
        (_manifest(layers=[{"digest": DIGEST}]), "", "layers[0].size: is missing"),
        (_manifest(annotations={"a": 1}), "", "annotations.a: must be a string, not a number"),
        (_manifest(subject={"digest": "x", "size": 1}), "", "subject.digest: 'x' is not a digest"),
        (b" " * (MAX_MANIFEST_SIZE + 1), "", "4,194,304 bytes only"),
    ],
)
def test_damaged_documents(raw: bytes, media_type: str, problem: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_document(raw, media_type)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("change", "is_image"),
    [
        ({}, True),
        ({"layers": []}, False),
        ({"config": _descriptor("application/vnd.cncf.helm.config.v1+json")}, False),
        ({"layers": [_descriptor("application/vnd.docker.image.rootfs.diff.tar.zstd")]}, True),
        ({"layers": [_descriptor("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")]}, False),
        ({"layers": [_descriptor("application/vnd.in-toto+json")]}, False),
    ],
)
def test_what_is_an_image(change: dict[str, Any], is_image: bool) -> None:
    document = parse_document(_manifest(**change))
    assert isinstance(document, Manifest)
    assert document.is_image == is_image


def test_successors_are_all_edges_but_the_subject_and_foreign_layers() -> None:
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    with_urls, without = _descriptor(foreign, urls=["https://x"]), _descriptor(foreign, size=2)
    manifest = parse_document(_manifest(layers=[with_urls, without, _descriptor("y")], subject=_descriptor(size=9)))
    edges = successors(manifest)
    assert [blob.media_type for blob in edges.blobs] == [OCI_CONFIG, foreign, "y"]
    assert edges.documents == ()
    entries = [_descriptor(OCI_MANIFEST), _descriptor(DOCKER_LIST), _descriptor("text/plain")]
    index = parse_document(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    edges = successors(index)
    assert [entry.media_type for entry in edges.documents] == [OCI_MANIFEST, DOCKER_LIST]
    assert [entry.media_type for entry in edges.blobs] == ["text/plain"]


def test_image_configs() -> None:
    config = parse_image_config(
        json.dumps(
            {
                "os": "linux",
                "architecture": "arm",
                "variant": "v7",
                "created": "2024-01-01T00:00:00Z",
                "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
                "config": {"Labels": {"a": "b"}},
            }
        ).encode()
    )
    assert config.diff_ids == (DiffID.parse(DIGEST),)
    assert (str(config.platform), config.created, config.labels) == ("linux/arm/v7", "2024-01-01T00:00:00Z", {"a": "b"})
    bare = parse_image_config(b'{"rootfs": {"diff_ids": []}, "config": {"Labels": null}}')
    assert (bare.labels, bare.diff_ids, bare.created) == ({}, (), None)
    for raw in (b"", b"{}", b"null", b'{"os": 7}', b'{"rootfs": {}}', b'{"rootfs": {"diff_ids": null}}'):
        assert parse_image_config(raw).diff_ids == ()
    for raw in (b"[]", b"text", b'{"rootfs": {"diff_ids": ["x"]}}', b'{"rootfs": {"diff_ids": [1]}}'):
        with pytest.raises(FieldError):
            parse_image_config(raw)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/aarch64", "linux/arm64/v8", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/7", "linux/arm/v7", True),
        ("linux/amd64", "linux/x86_64", True),
        ("linux/amd64", "linux/amd64/v1", True),
        ("Linux/AMD64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm64", "linux/arm64/v9", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_platforms_that_clients_take_for_the_same(one: str, other: str, is_same: bool) -> None:
    def read(text: str) -> Platform:
        os, architecture, *variant = text.split("/")
        return Platform(os=os, architecture=architecture, variant="".join(variant))

    assert (read(one).kind == read(other).kind) is is_same


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("10.0.20348.2582", "10.0.20348.2700", True),
        ("10.0.20348", "10.0.20348.2700", True),
        ("10.0.17763.1", "10.0.20348.1", False),
    ],
)
def test_a_build_of_windows_is_the_same_whatever_its_revision(one: str, other: str, is_same: bool) -> None:
    kinds = {Platform(os="windows", architecture="amd64", os_version=text).kind for text in (one, other)}
    assert (len(kinds) == 1) is is_same


@pytest.mark.parametrize(
    ("tag", "digest"),
    [
        (DIGEST.replace(":", "-"), DIGEST),
        (DIGEST.replace(":", "-") + ".sig", DIGEST),
        ("sha512-" + "a" * 128 + ".att", "sha512:" + "a" * 128),
        ("sha256-" + "a" * 63, None),
        ("sha512-" + "a" * 64, None),
        ("latest", None),
        ("_deltaindex", None),
    ],
)
def test_what_a_tag_made_of_a_digest_belongs_to(tag: str, digest: str | None) -> None:
    assert attached_to(tag) == (None if digest is None else Digest.parse(digest))
