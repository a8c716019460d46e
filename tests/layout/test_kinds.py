"""All kinds of layers and images in whole runs: which get deltas, and what becomes of the others."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import Key

from ..client import deltas_of, sha256
from ..layouts.builder import Json, LayoutBuilder, on
from ..layouts.builder import sha256 as diff_id_of
from ..runs import Shop, app, other, pairs
from ..tars import file, tar


def test_a_layer_that_was_compressed_again_is_no_change(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number, compression in enumerate(("gzip", "zstd", "")):
        build = LayoutBuilder()
        shop.layout({"latest": build.image(other(0), app(1), compression=compression)}, build)
        outcome, _ = shop.watched_run(number)
        assert outcome.made == ()
    shop.check()


@pytest.mark.parametrize("old", ["gzip", "zstd", "", "docker"])
@pytest.mark.parametrize("new", ["gzip", "zstd", "", "docker"])
def test_deltas_between_all_kinds_of_layers(tmp_path: Path, old: str, new: str) -> None:
    shop = Shop(tmp_path)
    for number, kind in enumerate((old, new)):
        build = LayoutBuilder()
        docker = kind == "docker"
        image = build.image(other(0), app(number), compression="gzip" if docker else kind, docker=docker)
        shop.layout({"latest": image}, build)
        shop.run(number)
    assert shop.listed() == pairs((app(0), app(1)))
    shop.check()


def _others(build: LayoutBuilder, number: int) -> dict[str, Json]:
    image = build.image(app(number))
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": diff_id_of(b"elsewhere %d" % number),
        "size": 9,
        "urls": ["https://example.org/layer"],
    }
    config = build.blob(b'{"number":%d}' % number, "application/vnd.cncf.helm.config.v1+json")
    image_config = build.blob(
        json.dumps({"rootfs": {"type": "layers", "diff_ids": [diff_id_of(b"?")]}, "n": number}).encode(),
        "application/vnd.oci.image.config.v1+json",
    )
    secret = build.blob(b"secret %d" % number, "application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    return {
        "none": build.index(on(build.image(created=f"2024-01-0{number + 1}T00:00:00Z"), "linux/amd64")),
        "chart": build.manifest(config, build.blob(b"chart %d" % number, "application/vnd.cncf.helm.chart.content.v1")),
        "foreign": build.manifest(image_config, foreign),
        "encrypted": build.manifest(image_config, secret),
        "attested": build.index(on(image, "linux/amd64"), build.attestation(image)),
    }


def test_what_has_no_tar_layers_is_published_as_it_is_without_deltas(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in range(2):
        build = LayoutBuilder()
        tags = _others(build, number)
        shop.layout(tags, build)
        outcome, _ = shop.watched_run(number)
        assert outcome.exit_code is ExitCode.SUCCESS
        for tag, descriptor in tags.items():
            key = Key(f"v2/app/manifests/{tag}")
            assert sha256(shop.folder.contents[key]) == descriptor["digest"]
    assert shop.listed() == pairs((app(0), app(1)))
    assert {skipped.series for skipped in outcome.plan.skipped} == {"none", "chart", "foreign", "encrypted"}
    shop.check()


def test_a_tar_that_no_client_could_extract_is_published_without_a_delta(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    odd = tar(file("a", b"1" * 2000))[:1000] + b"x" * 4000
    shop.images({"1.0": odd, "2.0": app(1)})
    outcome = shop.run()
    assert (outcome.exit_code, outcome.delta_failures) == (ExitCode.SUCCESS, ())
    assert shop.run(1).made == ()
    shop.check()


def test_the_proof_of_a_multi_layer_flatpak_is_the_merged_tree(tmp_path: Path) -> None:
    labels = {"org.flatpak.ref": "app/org.test.App/x86_64/stable", "org.flatpak.metadata": "[Application]"}
    shop = Shop(tmp_path)
    for number in range(3):
        build = LayoutBuilder()
        shop.layout({"latest": build.image(other(0), app(number), labels=labels)}, build)
        outcome, _ = shop.watched_run(number)
        shop.check()
    assert shop.listed() == pairs(*((app(old), new) for old in (0, 1) for new in (other(0), app(2))))
    identity = [delta for delta in deltas_of(shop.folder.contents, "app") if delta.to_diff_id == diff_id_of(other(0))]
    assert all(delta.size < 1000 for delta in identity)
    assert outcome.exit_code is ExitCode.SUCCESS
