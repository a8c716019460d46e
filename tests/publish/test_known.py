"""What counts as published before, and so is not read again: only what this repository has, and as what it is."""

import json
from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY, Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.verify import verify

from ..layouts.builder import DOCKER, OCI, Json, LayoutBuilder, blob_path, compressed, json_bytes, on, sha256
from ..runs import Shop, app, other


def test_a_digest_is_not_enough_to_have_the_blob_of_another_repository(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"secret": "", "app": ""})
    shop.images({"1.0": app(1)}, "secret")
    shop.images({"1.0": other(1)})
    shop.run()
    build = LayoutBuilder()
    data = compressed(app(1), "gzip")
    loot = {"mediaType": "text/plain", "digest": sha256(data), "size": len(data)}
    artifact = build.manifest(build.blob(b"{}", "text/plain"), loot)
    shop.layout({"1.0": build.image(other(1)), "loot": artifact}, build)
    outcome = shop.run(1)
    assert [found.tag for found in outcome.broken["app"]] == ["loot"]
    assert "is missing" in outcome.broken["app"][0].problem
    assert Key(f"v2/app/blobs/{loot['digest']}") not in shop.folder.contents


def _image_with_a_false_diff_id(build: LayoutBuilder) -> Json:
    return build.image(app(1), diff_ids=[sha256(app(2))])


def test_what_was_published_as_a_blob_is_checked_as_an_image(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = _image_with_a_false_diff_id(build)
    manifest = json.loads(build.blobs[blob_path(image["digest"])])
    parts = [image, manifest["config"], *manifest["layers"]]
    carrier = build.manifest(build.blob(b"{}", "text/plain"), *({**part, "mediaType": "text/plain"} for part in parts))
    tags = {"carrier": carrier}
    shop.layout(tags, build)
    assert shop.run().exit_code is ExitCode.SUCCESS
    shop.layout({"lie": image}, build)
    outcome = shop.run(1)
    assert [found.tag for found in outcome.broken["app"]] == ["lie"]
    assert "has the DiffID" in outcome.broken["app"][0].problem


def test_what_was_published_as_no_platform_is_checked_as_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = _image_with_a_false_diff_id(build)
    shop.layout({"index": build.index(on(build.image(other(1)), "linux/amd64"), on(image, "unknown/unknown"))}, build)
    assert shop.run().exit_code is ExitCode.SUCCESS
    shop.layout({"lie": image}, build)
    outcome = shop.run(1)
    assert [found.tag for found in outcome.broken["app"]] == ["lie"]


def test_what_is_known_may_be_gone_from_the_layout(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    shop.layout({"1.0": build.image(app(1))}, build)
    shop.run()
    del build.blobs[blob_path(sha256(compressed(app(1), "gzip")))]
    shop.layout({"2.0": build.image(other(2))}, build)
    outcome = shop.run(1)
    assert outcome.exit_code is ExitCode.SUCCESS
    shop.check()


def test_verify_and_clients_agree_on_what_an_entry_without_a_type_is(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    child = on(build.image(app(1)), "linux/amd64")
    del child["mediaType"]
    shop.layout({"1.0": build.index(child)}, build)
    assert shop.run().exit_code is ExitCode.SUCCESS
    shop.check()
    assert Key(f"v2/app/manifests/{child['digest']}") in shop.folder.contents
    assert Key(f"v2/app/blobs/{child['digest']}") not in shop.folder.contents


def test_verify_finds_a_manifest_that_is_stored_as_a_blob(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    child = on(build.image(app(1)), "linux/amd64")
    del child["mediaType"]
    shop.layout({"1.0": build.index(child)}, build)
    shop.run()
    raw = shop.folder.contents.pop(Key(f"v2/app/manifests/{child['digest']}"))
    shop.folder.contents[Key(f"v2/app/blobs/{child['digest']}")] = raw
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    assert any(f"leads to the manifest {child['digest']}, which is a blob here" in str(line) for line in found.problems)


def test_a_rebuilt_ledger_knows_what_an_entry_without_a_type_is(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    child = on(build.image(app(1)), "linux/amd64")
    del child["mediaType"]
    index = build.index(child)
    shop.layout({"latest": index}, build)
    shop.run()
    del shop.folder.contents[LEDGER_KEY]
    record = shop.run(1).ledger.repositories["app"]
    assert [str(digest) for digest in record.images] == [index["digest"]]
    assert not record.tags["latest"].has_moved
    shop.check()


def test_a_docker_manifest_that_does_not_say_so_is_served_as_all_clients_take_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [sha256(app(1))]}}
    described = build.blob(json_bytes(config), f"{DOCKER}.container.image.v1+json")
    document = {"schemaVersion": 2, "config": described, "layers": [build.layer(app(1), docker=True)]}
    image = build.blob(json_bytes(document), f"{DOCKER}.distribution.manifest.v2+json")
    shop.layout({"1.0": image}, build)
    assert shop.run().exit_code is ExitCode.SUCCESS
    sidecar = shop.folder.contents[Key("v2/app/manifests/.web/1.0.meta")].decode()
    assert sidecar == f"Content-Type: {OCI}.manifest.v1+json\n"
