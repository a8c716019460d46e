"""A tag that is broken in its layout is left out and named; the others are published, and what it led to stays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.oci.digest import Digest
from pipeline.report import failures, outcome_json

from ..client import problems
from ..layouts.builder import OCI, Json, LayoutBuilder, blob_path, compressed, json_bytes, sha256
from ..runs import Shop, app, deleted, other


def without_manifest(build: LayoutBuilder) -> Json:
    image = build.image(app(9))
    del build.blobs[blob_path(image["digest"])]
    return image


def without_layer(build: LayoutBuilder) -> Json:
    image = build.image(app(9))
    del build.blobs[blob_path(sha256(compressed(app(9), "gzip")))]
    return image


def with_a_damaged_layer(build: LayoutBuilder) -> Json:
    image = build.image(app(9))
    name = blob_path(sha256(compressed(app(9), "gzip")))
    build.blobs[name] = build.blobs[name][:-1] + b"!"
    return image


def with_a_false_diff_id(build: LayoutBuilder) -> Json:
    return build.image(app(9), diff_ids=[sha256(app(8))])


def with_a_layer_that_is_no_tar(build: LayoutBuilder) -> Json:
    image = build.image(app(9))
    manifest = json.loads(build.blobs[blob_path(image["digest"])])
    manifest["layers"] = [build.blob(b"\x1f\x8bnot gzip", f"{OCI}.layer.v1.tar+gzip")]
    return build.blob(json_bytes(manifest), image["mediaType"])


def of_schema_1(build: LayoutBuilder) -> Json:
    return build.blob(b'{"schemaVersion": 1}', f"{OCI}.manifest.v1+json")


def with_no_size(build: LayoutBuilder) -> Json:
    image = build.image(app(9))
    del image["size"]
    return image


FAULTS = (
    *(without_manifest, without_layer, with_a_damaged_layer, with_a_false_diff_id),
    *(with_a_layer_that_is_no_tar, of_schema_1, with_no_size),
)
spoilt = pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)


def tags(shop: Shop) -> list[str]:
    listed: list[str] = json.loads(shop.folder.contents["v2/app/tags/list"])["tags"]  # type: ignore[index]
    return listed


def digest_of(shop: Shop, tag: str) -> Digest:
    return Digest.of(shop.folder.contents[f"v2/app/manifests/{tag}"])  # type: ignore[index]


@spoilt
def test_the_other_tags_are_published(tmp_path: Path, spoil: Callable[[LayoutBuilder], Json]) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    shop.layout({"1.0": build.image(app(1)), "bad": spoil(build), "2.0": build.image(app(2))}, build)
    outcome = shop.run()
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert not outcome.failed
    assert [found.tag for found in outcome.broken["app"]] == ["bad"]
    assert tags(shop) == ["1.0", "2.0"]
    assert len(shop.listed()) == 1
    shop.check()
    (told,) = failures(outcome)
    assert told.startswith(str(outcome.broken["app"][0].error))
    assert "Tag bad of repository app was left out" in told
    (shown,) = outcome_json(outcome)["broken"]
    assert (shown["repository"], shown["tag"]) == ("app", "bad")
    assert shown["problem"] == outcome.broken["app"][0].problem


@spoilt
def test_what_was_published_of_it_stays(tmp_path: Path, spoil: Callable[[LayoutBuilder], Json]) -> None:
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\ngrace = "0s"\nmax_delete = 1.0')
    build = LayoutBuilder()
    shop.layout({"nightly": build.image(app(1)), "1.0": build.image(other(1))}, build)
    shop.run()
    before = digest_of(shop, "nightly")
    for number in range(2, 8):  # far more nights than are kept
        build = LayoutBuilder()
        shop.layout({"nightly": spoil(build), f"1.{number}": build.image(other(number))}, build)
        outcome, target = shop.watched_run(number)
        assert outcome.exit_code is ExitCode.PARTLY_DONE
        assert deleted(target) == []
        assert digest_of(shop, "nightly") == before
        assert {"nightly", f"1.{number}"} <= set(tags(shop))
    build = LayoutBuilder()
    shop.layout({"nightly": build.image(app(3)), "1.9": build.image(other(9))}, build)
    outcome = shop.run(9)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert outcome.is_pruned
    assert digest_of(shop, "nightly") != before
    shop.check()


def test_when_every_tag_is_broken_the_repository_has_failed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    shop.layout({"1.0": without_manifest(build), "2.0": of_schema_1(build)}, build)
    outcome = shop.run()
    assert outcome.exit_code is ExitCode.BAD_INPUT
    text = str(outcome.failed["app"])
    assert "1.0: manifest sha256:" in text
    assert "2.0: manifest sha256:" in text
    shop.repositories["fine"] = ""
    shop.images({"1.0": app(1)}, "fine")
    assert shop.run().exit_code is ExitCode.PARTLY_DONE


def test_a_damaged_signature_is_left_out_alone(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image, data=b"whole"))
    build.entry(build.artifact(subject=image, data=b"spoilt"))
    build.blobs[blob_path(sha256(b"spoilt"))] = b"Spoilt"
    shop.layout({"1.0": image}, build)
    outcome = shop.run()
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert [found.tag for found in outcome.broken["app"]] == [None]
    listing = shop.folder.contents[f"v2/app/referrers/{image['digest']}"]  # type: ignore[index]
    assert len(json.loads(listing)["manifests"]) == 1
    shop.check()


def test_where_a_name_cannot_be_read_no_tag_counts_as_lost(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    build = LayoutBuilder()
    build.entry({**build.image(app(1)), "annotations": {"org.opencontainers.image.ref.name": ["1.0"]}})
    shop.layout({"2.0": build.image(app(2))}, build)
    outcome = shop.run(1)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert outcome.ledger.repositories["app"].tags["1.0"].lost is None
    shop.images({"2.0": app(2)})
    assert shop.run(2).ledger.repositories["app"].tags["1.0"].lost is not None


def test_two_images_under_one_name_are_both_left_out(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    build.tag("1.0", build.image(app(2)))
    shop.layout({"2.0": build.image(app(3))}, build)
    assert [found.tag for found in shop.run().broken["app"]] == ["1.0"]
    assert tags(shop) == ["2.0"]


def test_a_damaged_blob_of_a_broken_tag_does_no_harm_to_whom_it_reaches_whole(tmp_path: Path) -> None:
    """Another repository has the same layer: it must not be taken from the layout in which it is damaged."""
    shop = Shop(tmp_path, repositories={"app": "", "fine": ""})
    build = LayoutBuilder()
    shop.layout({"bad": with_a_damaged_layer(build), "1.0": build.image(other(1))}, build)
    shop.images({"1.0": app(9)}, "fine")
    outcome = shop.run()
    assert not outcome.failed
    assert list(outcome.broken) == ["app"]
    assert problems(shop.folder.contents, at_rest=True) == []
