"""`index/static`: one image a ref, the newest, as flatpak reads it."""

import json
from pathlib import Path
from typing import Any

from pipeline.keys import FLATPAK_INDEX_KEY

from ..client import problems
from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import Shop, app

REF = "app/org.test.Hello/x86_64/stable"


def flatpak(build: LayoutBuilder, number: int, *, ref: str = REF, **more: Any) -> Json:
    labels = {"org.flatpak.ref": ref, "org.flatpak.metadata": f"[Application]\nnumber={number}\n", "extra": "ü<"}
    return build.image(app(number), labels=labels, **more)


def index_of(shop: Shop) -> dict[str, list[Json]]:
    document = json.loads(shop.folder.contents[FLATPAK_INDEX_KEY])
    assert document["Registry"] == "../"
    return {result["Name"]: result["Images"] for result in document["Results"]}


def test_an_image_as_the_client_reads_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = flatpak(build, 1)
    shop.layout({"latest": image, "stable": image}, build)
    shop.run()
    assert json.loads(shop.folder.contents[FLATPAK_INDEX_KEY]) == {
        "Registry": "../",
        "Results": [
            {
                "Name": "app",
                "Lists": [],
                "Images": [
                    {
                        "Digest": image["digest"],
                        "MediaType": "application/vnd.oci.image.manifest.v1+json",
                        "OS": "linux",
                        "Architecture": "amd64",
                        "Tags": ["latest", "stable"],
                        "Annotations": {},
                        "Labels": {
                            "extra": "ü<",
                            "org.flatpak.metadata": "[Application]\nnumber=1\n",
                            "org.flatpak.ref": REF,
                        },
                    }
                ],
            }
        ],
    }


def test_without_flatpaks_the_index_is_empty(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    half = {"org.flatpak.ref": REF}
    shop.layout({"plain": build.image(app(1)), "half": build.image(app(2), labels=half)}, build)
    shop.run()
    assert index_of(shop) == {}


def test_one_image_a_ref_the_one_that_the_tag_points_to_now(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2, 1):
        build = LayoutBuilder()
        image = flatpak(build, number)
        shop.layout({"latest": image}, build)
        shop.watched_run(number)
        [found] = index_of(shop)["app"]
        assert found["Digest"] == image["digest"]


def test_among_tags_that_never_moved_the_highest_version(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    newest = flatpak(build, 3)
    shop.layout({"1.0": flatpak(build, 1), "2.0": newest, "1.1": flatpak(build, 2)}, build)
    shop.run()
    [found] = index_of(shop)["app"]
    assert (found["Digest"], found["Tags"]) == (newest["digest"], ["2.0"])


def test_an_old_release_that_was_built_again_is_not_the_newest(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number, again in enumerate((1, 4)):
        build = LayoutBuilder()
        newest = flatpak(build, 3)
        shop.layout({"1.0": flatpak(build, again), "2.0": newest}, build)
        shop.run(number)
    [found] = index_of(shop)["app"]
    assert (found["Digest"], found["Tags"]) == (newest["digest"], ["2.0"])


def test_each_ref_and_each_architecture_is_listed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "more/apps": ""})
    build = LayoutBuilder()
    amd = flatpak(build, 1)
    arm = flatpak(build, 1, ref=REF.replace("x86_64", "aarch64"), architecture="arm64")
    shop.layout({"latest": build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))}, build)
    build = LayoutBuilder()
    shop.layout({"x": flatpak(build, 5, ref="runtime/org.test.Platform/x86_64/1")}, build, "more/apps")
    shop.run()
    index = index_of(shop)
    # never the digest of the index: the client wants an image
    assert {image["Digest"] for image in index["app"]} == {amd["digest"], arm["digest"]}
    assert {image["Architecture"] for image in index["app"]} == {"amd64", "arm64"}
    assert [image["Tags"] for image in index["app"]] == [["latest"], ["latest"]]
    assert [image["Labels"]["org.flatpak.ref"] for image in index["more/apps"]] == [
        "runtime/org.test.Platform/x86_64/1"
    ]
    assert problems(shop.folder.contents, at_rest=True) == []


def test_the_same_ref_in_two_repositories_is_the_one_that_came_last(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "beta": ""})
    build = LayoutBuilder()
    shop.layout({"latest": flatpak(build, 1)}, build, "beta")
    shop.run(1)
    build = LayoutBuilder()
    shop.layout({"latest": flatpak(build, 2)}, build, "app")
    shop.run(2)
    assert list(index_of(shop)) == ["app"]
