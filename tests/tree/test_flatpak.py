"""`index/static`: one image a ref, the newest, as flatpak reads it; icons, and the files that people click on."""

import base64
import configparser
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.keys import FLATPAK_INDEX_KEY, IMMUTABLE, PAGE_KEY, Headers, Key

from ..client import problems
from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import MemoryFolder, Shop, app

REF = "app/org.test.Hello/x86_64/stable"
ICON, ICON_128 = (f"org.freedesktop.appstream.icon-{size}" for size in (64, 128))
DELTA_URL = "io.github.containers.DeltaUrl"
NO_LABELS: Mapping[str, str] = {}


def flatpak(
    build: LayoutBuilder, number: int, *, ref: str = REF, more_labels: Mapping[str, str] = NO_LABELS, **more: Any
) -> Json:
    labels = {"org.flatpak.ref": ref, "org.flatpak.metadata": f"[Application]\nnumber={number}\n", "extra": "ü<"}
    return build.image(app(number), labels={**labels, **more_labels}, **more)


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


# --- icons, delta manifests


def png(number: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + bytes([number])


def data_uri(icon: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(icon).decode()}"


def test_an_icon_is_a_file_beside_the_index(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    keys = []
    for number in (1, 2):
        build = LayoutBuilder()
        labels = {ICON: data_uri(png(number)), ICON_128: data_uri(png(number))}
        shop.layout({"latest": flatpak(build, number, more_labels=labels)}, build)
        shop.watched_run(number)
        [found] = index_of(shop)["app"]
        assert found["Labels"][ICON] == found["Labels"][ICON_128]
        keys.append(Key(f"index/{found['Labels'][ICON]}"))
        assert shop.folder.contents[keys[-1]] == png(number)
        assert shop.folder.headers[keys[-1]] == Headers(content_type="image/png", cache_control=IMMUTABLE)
    assert keys[0] in shop.folder.contents, "a client may still read the old index"
    assert shop.run(3).written.keys == 0
    shop.run(30)
    assert keys[0] not in shop.folder.contents


@pytest.mark.parametrize(
    "label",
    [
        "https://example.org/icon.png",
        "data:image/png;base64,####",
        "data:image/svg+xml;base64," + base64.b64encode(png(1)).decode(),
        "data:image/png;base64," + base64.b64encode(b"<html>").decode(),
        data_uri(png(1) + bytes(1 << 20)),
    ],
    ids=["address", "no base64", "another type", "no PNG", "large"],
)
def test_what_is_no_icon_stays_in_its_label(tmp_path: Path, label: str) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    shop.layout({"latest": flatpak(build, 1, more_labels={ICON: label})}, build)
    shop.run()
    [found] = index_of(shop)["app"]
    assert found["Labels"][ICON] == label
    assert not [key for key in shop.folder.contents if key.startswith("index/icons")]


@pytest.mark.parametrize("order", ["images-first", "deltas-first"])
def test_the_index_names_the_delta_manifest_of_an_image(tmp_path: Path, order: str) -> None:
    shop = Shop(tmp_path, policy=f'delta_url = true\norder = "{order}"')
    for number in (1, 2):
        build = LayoutBuilder()
        shop.layout({"latest": flatpak(build, number)}, build)
        shop.watched_run(number)
    listing = json.loads(shop.folder.contents[Key("v2/app/manifests/_deltaindex")])
    [found] = index_of(shop)["app"]
    assert found["Labels"][DELTA_URL] == f"v2/app/manifests/{listing['manifests'][0]['digest']}"
    assert shop.run(3).written.keys == 0
    shop.policy = "delta_url = false"
    shop.run(4)
    assert DELTA_URL not in index_of(shop)["app"][0]["Labels"]


# --- the files that people click on


def flatpak_files_of(shop: Shop) -> dict[str, configparser.SectionProxy]:
    found = {}
    for key, data in shop.folder.contents.items():
        if key.endswith((".flatpakrepo", ".flatpakref")):
            parser = configparser.ConfigParser(interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign]  # the case of keys matters here
            parser.read_string(data.decode())
            [group] = parser.sections()
            assert group == ("Flatpak Repo" if key.endswith("repo") else "Flatpak Ref")
            found[str(key)] = parser[group]
    return found


SITE = '[flatpak]\nname = "ours"\nurl = "https://flatpak.example.org/some/path/"\n'


def app_shop(path: Path, more: str = SITE, target: MemoryFolder | None = None, ids: Iterable[str] = (REF,)) -> Shop:
    """Publishes an image for each of the refs."""
    shop = Shop(path, target=target or MemoryFolder(), site=more)
    build = LayoutBuilder()
    shop.layout({f"t{number}": flatpak(build, number, ref=ref) for number, ref in enumerate(ids)}, build)
    return shop


def test_a_remote_has_files_for_itself_and_its_apps(tmp_path: Path) -> None:
    more = 'title = "Our \\\\ apps"\nbranch = "1.0"\nicon = "https://example.org/i.png"\n'
    more += 'runtime_repo = "https://example.org/r.flatpakrepo"'
    ids = ["app/org.test.A/x86_64/1.0", "app/org.test.A/aarch64/1.0", "app/org.test.A/x86_64/beta"]
    ids += [
        "runtime/org.test.P/x86_64/1.0",
        "app/../x86_64/1.0",
        "app/org.test.A/x86_64/..",
        "app/org.test.a/x86_64/1.0",
    ]
    shop = app_shop(tmp_path, SITE + more, ids=ids)
    shop.watched_run()
    files = flatpak_files_of(shop)
    assert {name: dict(values) for name, values in files.items()} == {
        "ours.flatpakrepo": {
            "Version": "1",
            "Title": "Our \\\\ apps",
            "Url": "oci+https://flatpak.example.org/some/path",
            "Icon": "https://example.org/i.png",
            "DefaultBranch": "1.0",
        },
        "org.test.A.flatpakref": {
            "Version": "1",
            "Title": "org.test.A from Our \\\\ apps",
            "Name": "org.test.A",
            "Branch": "1.0",
            "IsRuntime": "false",
            "Url": "oci+https://flatpak.example.org/some/path",
            "SuggestRemoteName": "ours",
            "RuntimeRepo": "https://example.org/r.flatpakrepo",
        },
        "org.test.A@beta.flatpakref": {
            **dict(files["org.test.A.flatpakref"]),
            "Branch": "beta",
        },
        # on a file system that ignores case, its short name would be that of the first
        "org.test.a@1.0.flatpakref": {
            **dict(files["org.test.A.flatpakref"]),
            "Title": "org.test.a from Our \\\\ apps",
            "Name": "org.test.a",
        },
    }
    page = shop.folder.contents[PAGE_KEY].decode()
    assert all(f'href="{name}"' in page for name in files)
    assert "https://flatpak.example.org/some/path/ours.flatpakrepo" in page
    assert shop.folder.headers[Key("ours.flatpakrepo")].content_type == "application/vnd.flatpak.repo"
    assert shop.folder.headers[Key("org.test.A.flatpakref")].content_type == "application/vnd.flatpak.ref"
    assert shop.run(1).written.keys == 0
    assert shop.reconcile(1).stray == ()


def test_without_an_address_there_are_no_files(tmp_path: Path) -> None:
    shop = app_shop(tmp_path, "")
    shop.run()
    assert flatpak_files_of(shop) == {}


def test_a_remote_that_is_no_longer_configured_goes_after_the_grace_period(tmp_path: Path) -> None:
    shop = app_shop(tmp_path)
    shop.run(1)
    shop.site = SITE.replace("ours", "new")
    shop.run(2)
    assert set(flatpak_files_of(shop)) == {"ours.flatpakrepo", "new.flatpakrepo", "org.test.Hello.flatpakref"}
    assert flatpak_files_of(shop)["org.test.Hello.flatpakref"]["SuggestRemoteName"] == "new"
    shop.run(30)
    assert set(flatpak_files_of(shop)) == {"new.flatpakrepo", "org.test.Hello.flatpakref"}


def test_two_configurations_publish_remotes_into_one_target(tmp_path: Path) -> None:
    target = MemoryFolder()
    one = app_shop(tmp_path / "one", target=target)
    other = app_shop(
        tmp_path / "other", SITE.replace("ours", "theirs"), target, ["app/org.test.Other/x86_64/stable", REF + "2"]
    )
    other.repositories = {"more": ""}
    (tmp_path / "other" / "app").rename(tmp_path / "other" / "more")
    other.policy = "delta_url = true"
    one.run(1)
    other.run(2)
    names = {"ours.flatpakrepo", "org.test.Hello.flatpakref"}
    names |= {"theirs.flatpakrepo", "org.test.Other.flatpakref", "org.test.Hello@stable2.flatpakref"}
    assert set(flatpak_files_of(one)) == names
    assert (one.run(30).written.keys, other.run(31).written.keys) == (0, 0)
    assert set(flatpak_files_of(one)) == names, "what the other configuration wants is no garbage"
    third = Shop(tmp_path / "third", target=target, repositories={"plain": ""})
    third.images({"latest": app(1)}, "plain")
    third.run(32)
    third.run(60)
    assert set(flatpak_files_of(one)) == names, "nor for one that knows nothing of flatpak"
    assert problems(target.contents, at_rest=True) == []


def test_of_one_remote_the_last_configuration_is_right(tmp_path: Path) -> None:
    target = MemoryFolder()
    app_shop(tmp_path / "one", SITE + 'title = "One"', target).run(1)
    other = app_shop(tmp_path / "other", SITE + 'title = "Two"', target)
    (tmp_path / "other" / "app").rename(tmp_path / "other" / "more")
    other.repositories = {"more": ""}
    other.run(2)
    assert flatpak_files_of(other)["ours.flatpakrepo"]["Title"] == "Two"


def test_a_removed_app_has_no_file_any_more(tmp_path: Path) -> None:
    shop = app_shop(tmp_path, ids=[REF, "app/org.test.Other/x86_64/stable"])
    shop.run(1)
    shop.remove("app:t1", 2)
    shop.run(30)
    assert set(flatpak_files_of(shop)) == {"ours.flatpakrepo", "org.test.Hello.flatpakref"}
