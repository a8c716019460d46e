"""Artifacts that carry the signatures of the new image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.keys import Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.verify import verify

from ..device import ARTIFACT, DELTA
from ..layouts.builder import Json, LayoutBuilder, blob_path, json_bytes, on
from ..layouts.builder import sha256 as digest_of
from ..layouts.signatures import bundle, signature, signature_tag
from ..runs import Shop, app

Attach = Callable[[LayoutBuilder, Json], list[Json]]


def by_tag(build: LayoutBuilder, image: Json) -> list[Json]:
    return [build.tag(signature_tag(image), signature(build, image, "a", "b"))]


def by_subject(build: LayoutBuilder, image: Json) -> list[Json]:
    return [build.entry(signature(build, image, subject=image))]


def by_bundle(build: LayoutBuilder, image: Json) -> list[Json]:
    return [build.entry(bundle(build, image))]


def by_all(build: LayoutBuilder, image: Json) -> list[Json]:
    return [*by_tag(build, image), *by_subject(build, image), *by_bundle(build, image)]


def nights(tmp_path: Path, attach: Attach = lambda _build, _image: []) -> tuple[Shop, LayoutBuilder, Json, list[Json]]:
    """Two, with an image each, of which the second has something attached."""
    shop = Shop(tmp_path, policy='versions = 2\ngrace = "1d"\nmax_delete = 1.0')
    shop.images({"latest": app(1)})
    shop.run()
    build = LayoutBuilder()
    image = build.image(app(2))
    attached = attach(build, image)
    shop.layout({"latest": image}, build)
    shop.watched_run(1)
    shop.check()
    return shop, build, image, attached


def artifact(shop: Shop, image: Json) -> Json:
    listed = json.loads(shop.folder.contents[Key(f"v2/app/referrers/{image['digest']}")])["manifests"]
    [found] = [entry["digest"] for entry in listed if entry.get("artifactType") == ARTIFACT]
    return dict(json.loads(shop.folder.contents[Key(f"v2/app/manifests/{found}")]))


def parts(document: Json, content: str) -> list[str]:
    return [part["digest"] for part in document["layers"] if part["annotations"][f"{DELTA}.content"] == content]


def problems(shop: Shop) -> list[str]:
    return [str(problem) for problem in verify(shop.target, jobs=1, limits=Limits(), progress=Silent()).problems]


@pytest.mark.parametrize("attach", [by_tag, by_subject, by_bundle, by_all])
def test_a_signature_travels_with_the_deltas(tmp_path: Path, attach: Attach) -> None:
    shop, build, image, attached = nights(tmp_path, attach)
    found = artifact(shop, image)
    assert parts(found, "cosign-signature") == sorted(entry["digest"] for entry in attached)
    documents = [json.loads(build.blobs[blob_path(entry["digest"])]) for entry in attached]
    blobs = {part["digest"] for document in documents for part in (document["config"], *document["layers"])}
    assert sorted(parts(found, "cosign-signature-content")) == sorted(blobs)
    for part in found["layers"]:
        assert part["annotations"].keys() <= {f"{DELTA}.content", f"{DELTA}.to"}
        assert digest_of(shop.folder.contents[Key(f"v2/app/blobs/{part['digest']}")]) == part["digest"]
    assert problems(shop) == []
    assert shop.run(2).written.keys == 0


def test_a_signature_that_comes_later_changes_the_artifact(tmp_path: Path) -> None:
    shop, _, image, _ = nights(tmp_path)
    unsigned = artifact(shop, image)
    assert parts(unsigned, "cosign-signature") == []
    build = LayoutBuilder()
    shop.layout({"latest": build.image(app(2))}, build)
    by_tag(build, image)
    build.write(shop.path / "app")
    outcome, _ = shop.watched_run(2)
    assert outcome.made == ()
    signed = artifact(shop, image)
    assert len(parts(signed, "cosign-signature")) == 1
    assert signed["layers"][: len(unsigned["layers"])] == unsigned["layers"]

    def is_stored() -> bool:
        stored = [data for key, data in shop.folder.contents.items() if key.startswith("v2/app/manifests/sha256:")]
        return any(json.loads(data) == unsigned for data in stored)

    assert is_stored(), "a client that read the listing before may still ask for it"
    shop.run(4)
    assert not is_stored()
    shop.check()
    # the same bytes as if it had been there from the beginning
    assert signed == artifact(nights(tmp_path / "twin", by_tag)[0], image)


@pytest.mark.parametrize(
    "attach",
    [
        lambda build, image: [build.entry(bundle(build, image, predicate="https://cyclonedx.org/bom"))],
        lambda build, image: [build.entry(build.artifact(subject=image))],
        lambda build, image: [build.entry(bundle(build, image, data=bytes(1 << 20)))],
        lambda build, image: [build.tag(signature_tag(image), build.image(app(5)))],
        lambda build, image: [build.tag(signature_tag(image), build.index(on(signature(build, image), "linux/amd64")))],
    ],
    ids=["statement", "artifact", "large", "image", "index"],
)
def test_what_is_no_signature_stays_where_it_is(tmp_path: Path, attach: Attach) -> None:
    shop, _, image, attached = nights(tmp_path, attach)
    assert parts(artifact(shop, image), "cosign-signature") == []
    assert Key(f"v2/app/manifests/{attached[0]['digest']}") in shop.folder.contents


def test_a_signature_of_an_index_is_none_of_its_images(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        build = LayoutBuilder()
        image = build.image(app(number))
        index = build.index(on(image, "linux/amd64"))
        by_tag(build, index)
        shop.layout({"latest": index}, build)
        shop.run(number)
    assert parts(artifact(shop, image), "cosign-signature") == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda layers: layers.pop(-1), "carries the manifest {signature}, and not its blob"),
        (lambda layers: layers[-1].update(size=7), "carries the manifest {signature}, and not its blob"),
        (lambda layers: layers[3].update(layers[4] | {"annotations": layers[3]["annotations"]}), "none of a manifest"),
        (
            lambda layers: layers[3].update(digest=layers[4]["digest"], size=layers[4]["size"]),
            "which is no manifest: ",
        ),
    ],
)
def test_verify_misses_a_part_of_a_signature(tmp_path: Path, spoil: Any, problem: str) -> None:
    shop, _, image, attached = nights(tmp_path, by_tag)
    document = artifact(shop, image)
    spoil(document["layers"])
    raw = json_bytes(document)
    stored = shop.folder.contents
    listing = Key(f"v2/app/referrers/{image['digest']}")
    [entry] = json.loads(stored[listing])["manifests"]
    entry |= {"digest": digest_of(raw), "size": len(raw)}
    stored[Key(f"v2/app/manifests/{digest_of(raw)}")] = raw
    stored[listing] = json_bytes({**json.loads(stored[listing]), "manifests": [entry]})
    wanted = problem.format(signature=attached[0]["digest"])
    assert [line for line in problems(shop) if wanted in line]
