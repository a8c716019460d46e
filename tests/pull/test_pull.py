"""Pulls into a layout, over HTTP from a published tree: what is fetched, what is there then, and what goes wrong."""

import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.client.images import NoContainerImageError, NoSuchPlatformError
from pipeline.client.layers import LayerOverLimitError, WrongLayerError
from pipeline.client.repository import UnknownImageError, WrongContentError
from pipeline.client.request import NoSourceError
from pipeline.client.stored import MANIFEST, ROOT
from pipeline.layout.storage import LayoutError
from pipeline.layout.writing import LayoutHeldError, WritableLayout, writable_layout
from pipeline.limits import Limits
from pipeline.oci.descriptor import Platform
from pipeline.oci.digest import Digest
from pipeline.targets.base import TargetError
from pipeline.targets.http.options import HTTPOptions
from pipeline.targets.http.target import HTTPTarget

from ..device import unpack
from ..layouts.builder import LayoutBuilder, on
from ..tars import file, tar
from ..updates import BASE, NEW, OLD, noise
from ..vectors.generate import data, delta, op, opened
from .conftest import SINGLE, World
from .lab import Device, digest, sha256


def ways(outcome: object) -> list[str]:
    return [layer.way for layer in outcome.layers]  # type: ignore[attr-defined]


def test_a_first_pull_has_the_registry_s_own_image(world: World) -> None:
    outcome = world.device.pull("app:1.0")
    assert outcome.is_changed
    assert ways(outcome) == ["whole"] * 3
    assert world.device.tars("1.0") == list(OLD)
    assert world.device.entry("1.0")["digest"] == world.images["old"]["digest"]
    assert world.device.told.steps == []


def test_a_second_pull_asks_for_the_tag_alone(world: World) -> None:
    world.device.pull("app:1.0")
    before = world.device.files()
    world.registry.asked.clear()
    outcome = world.device.pull("app:1.0")
    assert not outcome.is_changed
    assert [(asked.method, asked.path) for asked in world.registry.asked] == [("HEAD", "/v2/app/manifests/1.0")]
    assert world.device.files() == before


def test_without_a_digest_in_the_headers_the_manifest_is_read_and_nothing_else(world: World) -> None:
    world.device.pull("index:1.0")
    world.registry.asked.clear()
    world.registry.says_digests = False
    assert not world.device.pull("index:1.0").is_changed
    assert world.registry.paths() == ["/v2/index/manifests/1.0"]


@pytest.mark.parametrize("repository", ["app", "index", "single"])
def test_an_update_takes_the_deltas(world: World, repository: str) -> None:
    tars = SINGLE[1:] if repository == "single" else (OLD, NEW)
    old, new = ("1.0", "2.0") if repository == "single" else ("1.0", "1.1")
    world.device.pull(f"{repository}:{old}", tag="latest")
    world.registry.asked.clear()
    outcome = world.device.pull(f"{repository}:{new}", tag="latest")
    expected = [tars[1]] if repository == "single" else list(NEW)
    assert ways(outcome) == (["delta"] if repository == "single" else ["here", "delta", "delta"])
    assert outcome.downloaded < outcome.whole / 2
    assert world.device.tars("latest") == expected
    assert world.device.told.steps == []
    config = json.loads(world.device.blob(world.device.entry("latest")["digest"]))["config"]["digest"]
    assert config == str(outcome.config)
    fetched = {path.rpartition("/")[2] for path in world.registry.paths() if "/blobs/" in path}
    assert fetched == {config, *(str(layer.delta) for layer in outcome.layers if layer.delta)}


def test_what_nothing_leads_to_any_more_is_removed_and_the_rest_stays(world: World) -> None:
    world.device.pull("app:1.0", tag="latest")
    world.device.pull("app:1.0", tag="kept")
    index = json.loads((world.device.layout / "index.json").read_bytes())
    foreign = {"mediaType": "text/plain", "digest": "sha256:" + "0" * 64, "size": 7, "x": [1]}
    index["manifests"].append(foreign)
    (world.device.layout / "index.json").write_text(json.dumps(index))
    world.device.pull("app:1.1", tag="latest")
    assert world.device.tars("kept") == list(OLD)
    assert foreign in json.loads((world.device.layout / "index.json").read_bytes())["manifests"]

    world.device.pull("app:1.1", tag="kept")
    assert world.device.files() == used(world, "latest", "kept")


@pytest.mark.parametrize("source", ["index old", "index old amd64"])
def test_the_files_of_an_old_image_are_enough(world: World, tmp_path: Path, source: str) -> None:
    root = unpack(OLD, tmp_path / "root")
    outcome = world.device.pull("index:1.1", root=root, source=digest(world.images[source]))
    assert ways(outcome) == ["whole", "delta", "delta"]
    assert world.device.tars("1.1") == list(NEW)
    assert {layer.source for layer in outcome.layers if layer.way == "delta"} == {str(root)}


def test_deltas_of_one_layer_are_taken_where_there_are_no_others(world: World) -> None:
    for tag in (world.tree / "v2").rglob("referrers/*"):
        tag.write_text('{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}')
    for repository, old, new, expected in (("single", "1.0", "2.0", ["delta"]), ("app", "1.0", "1.1", None)):
        world.device.pull(f"{repository}:{old}", tag=repository)
        outcome = world.device.pull(f"{repository}:{new}", tag=repository)
        assert expected is None or ways(outcome) == expected
        assert "delta" in ways(outcome)
    assert world.device.tars("app") == list(NEW)
    assert world.device.told.steps == []


def test_of_several_deltas_the_smallest_is_taken(world: World) -> None:
    """In whatever order they are listed; and the layer that it makes is not compressed."""
    smallest, largest = sorted(world.deltas("single"), key=lambda blob: blob.stat().st_size)
    assert smallest.stat().st_size < largest.stat().st_size
    (world.tree / "v2/single/manifests/_deltaindex").unlink()
    listing = world.tree / "v2/single/referrers" / world.images["single 2.0"]["digest"]
    listed = json.loads(listing.read_bytes())
    taken = []
    for number, versions in enumerate((("0.0",), ("1.0",), ("0.0", "1.0"), ("0.0", "1.0"))):
        listed["manifests"].reverse()
        listing.write_text(json.dumps(listed))
        device = Device(world.device.path / str(number), world.device.target)
        for old in versions:
            device.pull(f"single:{old}", tag=old)
        [layer] = device.pull("single:2.0").layers
        taken.append(str(layer.delta))
        manifest = json.loads(device.blob(device.entry("2.0")["digest"]))
        assert [device.blob(descriptor["digest"]) for descriptor in manifest["layers"]] == [SINGLE[2]]
    assert set(taken[:2]) == {smallest.name, largest.name}
    assert taken[2:] == [smallest.name] * 2


def test_a_dry_run_downloads_and_writes_nothing(world: World) -> None:
    world.device.pull("app:1.0", tag="latest")
    before = world.device.files()
    dry = world.device.pull("app:1.1", tag="latest", is_dry=True)
    assert world.device.files() == before
    wet = world.device.pull("app:1.1", tag="latest")
    assert (dry.downloaded, dry.whole, ways(dry)) == (wet.downloaded, wet.whole, ways(wet))
    assert dry.is_dry
    assert dry.is_changed
    other = world.other_device()
    assert ways(other.pull("app:1.1", is_dry=True)) == ["whole"] * 3
    assert not other.path.exists()


def add_image(
    world: World, tag: str, *tars: bytes, diff_ids: list[str] | None = None, compression: str = "gzip"
) -> None:
    """Put an image into the tree by hand, without deltas."""
    build = LayoutBuilder()
    image = build.image(*tars, diff_ids=diff_ids, compression=compression)
    folder = world.tree / "v2/app"
    for name, blob in build.blobs.items():
        (folder / "blobs" / name.removeprefix("blobs/").replace("/", ":")).write_bytes(blob)
    (folder / "manifests" / tag).write_bytes(build.blobs["blobs/" + image["digest"].replace(":", "/")])


def test_a_kill_costs_nothing_twice(world: World) -> None:
    tars = tuple(tar(file("big", noise(number, 3_000_000))) for number in range(2))
    add_image(world, "big", *tars)
    for dies_after in (1_500_000, 2_500_000, 4_500_000):
        world.device.told.dies_after, world.device.told.advanced = dies_after, 0
        with pytest.raises(KeyboardInterrupt):
            world.device.pull("app:big")
    world.device.told.dies_after = None
    world.device.pull("app:big")
    assert world.device.tars("big") == list(tars)
    blobs = [asked for asked in world.registry.asked if "/blobs/" in asked.path]
    ranges = [asked.headers["Range"] for asked in blobs if "Range" in asked.headers]
    assert ranges == ["bytes=2097152-", "bytes=2097152-"]


@pytest.mark.parametrize("beginning", [b"other bytes", b"x" * 2_000_000], ids=["short", "long"])
def test_a_damaged_beginning_is_fetched_again(world: World, beginning: bytes) -> None:
    layer = json.loads((world.tree / "v2/app/manifests/1.0").read_bytes())["layers"][0]["digest"]
    world.device.layout.mkdir(parents=True)
    unfinished = world.device.layout / ".deltapress-unfinished"
    unfinished.mkdir()
    (unfinished / layer.replace(":", "-")).write_bytes(beginning)
    world.device.pull("app:1.0")
    assert world.device.tars("1.0") == list(OLD)


def test_a_layer_that_a_killed_run_finished_is_not_fetched_again(world: World) -> None:
    other = world.other_device()
    other.pull("app:1.0", tag="t")
    other.pull("app:1.1", tag="t")
    shutil.copytree(other.layout / "blobs", world.device.layout / "blobs")
    for blob in (world.device.layout / "blobs/sha256").iterdir():
        if blob.read_bytes() == NEW[2]:
            blob.write_bytes(b"damaged" + NEW[2][7:])
    outcome = world.device.pull("app:1.1")
    assert ways(outcome) == ["here", "here", "whole"]
    assert [step for step in world.device.told.steps if "is left out" in step]
    assert world.device.tars("1.1") == list(NEW)


def spoiled(world: World, fault: str) -> None:
    for blob in world.deltas():
        good = blob.read_bytes()
        if fault == "missing":
            blob.unlink()
        elif fault == "damaged":
            blob.write_bytes(good[:-9] + bytes([good[-9] ^ 1]) + good[-8:])
        elif fault == "short":
            blob.write_bytes(good[:-5])
        elif fault == "long":
            blob.write_bytes(good + b"more")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("missing", "is not in the target"),
        ("damaged", "has another digest"),
        ("short", "ends after"),
        ("long", "has more than the promised"),
    ],
)
def test_without_a_good_delta_the_whole_layer_comes(world: World, fault: str, said: str) -> None:
    world.device.pull("app:1.0", tag="t")
    spoiled(world, fault)
    outcome = world.device.pull("app:1.1", tag="t")
    assert ways(outcome) == ["here", "whole", "whole"]
    assert world.device.tars("t") == list(NEW)
    assert len(world.device.told.steps) == 2
    assert all(said in step and "is fetched whole" in step for step in world.device.told.steps)


@pytest.mark.parametrize("what", ["other files", "gone", "link"])
def test_another_root_than_was_said_costs_only_bytes(world: World, tmp_path: Path, what: str) -> None:
    root = unpack(OLD, tmp_path / "root")
    secret = tmp_path / "secret"
    app = root / "usr/bin/app"
    if what == "link":
        secret.write_bytes(app.read_bytes())
        app.unlink()
        app.symlink_to(secret)
    elif what == "gone":
        shutil.rmtree(root / "usr")
    else:
        app.write_bytes(bytes(9000))
    outcome = world.device.pull("app:1.1", root=root, source=digest(world.images["old"]))
    assert "whole" in ways(outcome)[1:]
    assert [step for step in world.device.told.steps if "is fetched whole" in step]
    assert world.device.tars("1.1") == list(NEW)


def hostile(world: World, made: bytes) -> None:
    """Put `made` in the place of every one, with listings that promise it."""
    names = {blob.name: blob for blob in world.deltas()}
    new = sha256(made)
    for repository in ("app",):
        folder = world.tree / "v2" / repository
        for blob in names.values():
            (blob.parent / new).write_bytes(made)
        renamed: dict[str, str] = {}
        for document in [*folder.glob("manifests/sha256:*"), folder / "manifests/_deltaindex"]:
            found = json.loads(document.read_bytes())
            is_changed = False
            for layer in found.get("layers", []):
                if layer["digest"] in names:
                    layer |= {"digest": new, "size": len(made)}
                    is_changed = True
            if is_changed:
                raw = json.dumps(found).encode()
                (document.parent / sha256(raw)).write_bytes(raw)
                renamed[document.name] = sha256(raw)
        for listing in [*folder.glob("referrers/*"), folder / "manifests/_deltaindex"]:
            found = json.loads(listing.read_bytes())
            for entry in found["manifests"]:
                if entry["digest"] in renamed:
                    entry["digest"] = renamed[entry["digest"]]
                    entry["size"] = (folder / "manifests" / entry["digest"]).stat().st_size
            listing.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (b"../secret", "normalised"),
        (b"/etc/passwd", "normalised"),
        (b"usr/out/passwd", "through a symlink"),
        (b"usr/fifo", "not a regular file"),
    ],
    ids=["up", "absolute", "link", "fifo"],
)
def test_a_hostile_delta_reads_nothing_outside(world: World, tmp_path: Path, path: bytes, said: str) -> None:
    root = unpack(OLD, tmp_path / "root")
    (tmp_path / "secret").write_text("secret")
    (root / "usr/out").symlink_to("/etc")
    os.mkfifo(root / "usr/fifo")
    hostile(world, delta(opened(path), op(1, 6)))
    outcome = world.device.pull("app:1.1", root=root, source=digest(world.images["old"]))
    assert ways(outcome) == ["whole"] * 3
    assert all(said in step for step in world.device.told.steps)
    assert world.device.tars("1.1") == list(NEW)


def test_a_delta_that_makes_another_layer_is_told(world: World, tmp_path: Path) -> None:
    hostile(world, delta(data(b"something else")))
    world.device.pull("app:1.0", tag="t")
    assert ways(world.device.pull("app:1.1", tag="t")) == ["here", "whole", "whole"]
    assert all("makes sha256:" in step for step in world.device.told.steps)


def test_a_delta_cannot_make_more_than_a_layer_may_have(world: World) -> None:
    hostile(world, delta(*[data(bytes(1 << 20))] * 3))
    world.device.pull("app:1.0", tag="t")
    outcome = world.device.pull("app:1.1", tag="t", limits=Limits(layer=1 << 21))
    assert ways(outcome) == ["here", "whole", "whole"]
    assert all("decompresses to more than the allowed 2,097,152" in step for step in world.device.told.steps)


def test_wrong_content_is_no_image(world: World) -> None:
    manifest = world.tree / "v2/app/manifests" / world.images["old"]["digest"]
    layer = json.loads(manifest.read_bytes())["layers"][1]["digest"]
    good = world.blob(layer).read_bytes()
    world.blob(layer).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(WrongContentError, match=f"{layer}: what is there has another digest"):
        world.device.pull("app:1.0")
    assert not (world.device.layout / "index.json").exists()
    world.blob(layer).write_bytes(good)
    (world.tree / "v2/app/manifests" / world.images["old"]["digest"]).write_bytes(b"{}")
    world.registry.says_digests = False
    with pytest.raises(WrongContentError, match=r"does not have the digest"):
        world.device.pull(f"app@{world.images['old']['digest']}", tag="t")


def test_a_config_that_lies_of_its_layers_is_refused(world: World) -> None:
    add_image(world, "lie", BASE, diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(WrongLayerError, match="but the image's config says sha256:000"):
        world.device.pull("app:lie")


def test_a_layer_that_cannot_be_decompressed_is_named(world: World) -> None:
    add_image(world, "cut", gzip.compress(BASE)[:-9], diff_ids=[sha256(BASE)], compression="")
    with pytest.raises(WrongLayerError, match=r"^layer sha256:[0-9a-f]{64}: gzip stream: is truncated; the image was"):
        world.device.pull("app:cut")


def test_a_layer_over_the_limit_is_named_and_what_to_do() -> None:
    digest = Digest.of(b"")
    raised = str(LayerOverLimitError(digest, Limits(layer=2000), 1000))
    assert raised.endswith("more than the allowed 2,000 bytes; if that is right, allow more with --max-size")
    assert "that is 1,000 times what is stored" in str(LayerOverLimitError(digest, Limits(), 1 << 20))


@pytest.mark.parametrize("is_old_here", [False, True])
def test_a_layer_over_the_limit_is_refused(world: World, is_old_here: bool) -> None:
    if is_old_here:
        world.device.pull("app:1.0", tag="t")
    with pytest.raises(
        LayerOverLimitError, match=r"^layer sha256:[0-9a-f]{64} decompresses .* 1,000 bytes; .*max-size"
    ):
        world.device.pull("app:1.1", tag="t", limits=Limits(layer=1000))


def test_the_platform_is_chosen(world: World) -> None:
    world.device.pull("index:1.1", tag="a")
    world.device.pull("index:1.1", tag="a", platform=Platform(os="linux", architecture="aarch64"))
    assert world.device.entry("a")["platform"]["architecture"] == "arm64"
    with pytest.raises(NoSuchPlatformError, match=r"no image for linux/s390x; it has linux/amd64, linux/arm64"):
        world.device.pull("index:1.1", platform=Platform(os="linux", architecture="s390x"))


def test_what_is_no_image_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(UnknownImageError, match=r"has no image app:9"):
        world.device.pull("app:9")
    with pytest.raises(NoContainerImageError, match=r"no container image of readable layers"):
        world.device.pull("app:_deltaindex".replace("_deltaindex", artifact(world)))
    with pytest.raises(NoSourceError, match=r"is no folder"):
        world.device.pull("app:1.1", root=tmp_path / "none", source=digest(world.images["old"]))
    world.device.pull("app:1.1", root=tmp_path, source=Digest.of(b"unknown"))
    assert [step for step in world.device.told.steps if "no delta from" in step]


def test_an_image_without_layers_is_told(world: World) -> None:
    add_image(world, "empty")
    with pytest.raises(NoContainerImageError, match=r"^app:empty: has no layers, so there is nothing to pull$"):
        world.device.pull("app:empty")


def test_a_pull_that_finds_nothing_leaves_nothing(world: World) -> None:
    with pytest.raises(UnknownImageError):
        world.device.pull("app:9")
    assert not world.device.layout.exists()
    world.device.layout.mkdir()
    with pytest.raises(UnknownImageError):
        world.device.pull("app:9")
    assert world.device.files() == set()
    assert world.device.layout.exists()


def artifact(world: World) -> str:
    """A tag for an artifact."""
    folder = world.tree / "v2/app/manifests"
    for manifest in folder.glob("sha256:*"):
        if "artifactType" in json.loads(manifest.read_bytes()):
            (folder / "artifact").write_bytes(manifest.read_bytes())
    return "artifact"


def test_a_layout_is_for_one_at_a_time_and_for_nothing_else(world: World, tmp_path: Path) -> None:
    world.device.pull("app:1.0")
    with writable_layout(world.device.layout), pytest.raises(LayoutHeldError, match=r"by another process"):
        world.device.pull("app:1.1")
    other = Device(tmp_path / "home", world.device.target)
    (tmp_path / "home/layout").mkdir(parents=True)
    (tmp_path / "home/layout/letter.txt").write_text("dear")
    with pytest.raises(LayoutError, match=r"neither empty nor an OCI image layout"):
        other.pull("app:1.0")
    assert other.files() == {"letter.txt"}


def test_an_unreachable_registry_changes_nothing(world: World) -> None:
    world.device.pull("app:1.0", tag="t")
    before = world.device.files()
    nowhere = HTTPTarget("http://127.0.0.1:9", HTTPOptions(attempts=1))
    with pytest.raises(TargetError, match="cannot be reached"):
        replace(world.device, target=nowhere).pull("app:1.1", tag="t")
    assert world.device.files() == before


def test_the_files_are_unpacked_and_follow_the_image(world: World, tmp_path: Path) -> None:
    place = tmp_path / "files"
    world.device.pull("app:1.0", tag="t", unpack=place)
    assert (place / "etc/three").exists()
    assert not (place / "usr/lib/gone").exists()
    world.registry.asked.clear()
    world.device.pull("app:1.0", tag="t", unpack=place)
    assert len(world.registry.asked) == 1
    world.device.pull("app:1.1", tag="t", unpack=place)
    assert (place / "usr/bin/kept").exists()
    shutil.rmtree(place)
    assert not world.device.pull("app:1.1", tag="t", unpack=place).is_changed
    assert (place / "usr/bin/kept").exists()


def test_a_list_that_tells_nothing_of_its_entries_is_enough(world: World) -> None:
    for listing in (world.tree / "v2").rglob("referrers/*"):
        found = json.loads(listing.read_bytes())
        for entry in found["manifests"]:
            del entry["annotations"]
            entry["artifactType"] = "application/vnd.oci.empty.v1+json"
        listing.write_text(json.dumps(found))
    (world.tree / "v2/app/manifests/_deltaindex").unlink()
    world.device.pull("app:1.0", tag="t")
    assert ways(world.device.pull("app:1.1", tag="t")) == ["here", "delta", "delta"]


def test_notes_inside_an_index_of_somebody_else_are_not_believed(world: World) -> None:
    """Another tool may have put an index there that calls a wrong layer one that a pull has verified."""
    build = LayoutBuilder()
    wrong = build.image(BASE, tar(file("wrong", b"1")), NEW[2], diff_ids=[sha256(layer) for layer in NEW])
    wrong["annotations"] = dict.fromkeys((MANIFEST, ROOT), wrong["digest"])
    build.tag("theirs", build.index(on(wrong, "linux/amd64")))
    build.write(world.device.layout)
    outcome = world.device.pull("app:1.1")
    assert ways(outcome)[1] != "here"
    assert world.device.tars("1.1") == list(NEW)
    assert [step for step in world.device.told.steps if "is left out" in step]


def test_what_is_left_of_another_image_makes_room(world: World) -> None:
    add_image(world, "big", tar(file("big", noise(1, 3_000_000))))
    world.device.told.dies_after = 1_500_000
    with pytest.raises(KeyboardInterrupt):
        world.device.pull("app:big", tag="t")
    unfinished = world.device.layout / ".deltapress-unfinished"
    assert sum(left.stat().st_size for left in unfinished.iterdir()) > 1_000_000
    world.device.told.dies_after, world.device.told.advanced = 10, 0
    with pytest.raises(KeyboardInterrupt):
        world.device.pull("app:1.0", tag="t")
    assert sum(left.stat().st_size for left in unfinished.iterdir()) < 1_000_000


def used(world: World, *tags: str) -> set[str]:
    """The files of a layout that has these images and nothing else."""
    found = {"index.json", "oci-layout"}
    for tag in tags:
        entry = world.device.entry(tag)
        manifest = json.loads(world.device.blob(entry["digest"]))
        for descriptor in (entry, manifest["config"], *manifest["layers"]):
            found.add("blobs/" + descriptor["digest"].replace(":", "/"))
    return found


def test_what_a_killed_pull_has_finished_goes_with_the_next_image(world: World) -> None:
    world.device.pull("app:1.0", tag="t")
    add_image(world, "big", *(tar(file("big", noise(number, 2_000_000))) for number in range(2)))
    world.device.told.dies_after = 3_000_000
    with pytest.raises(KeyboardInterrupt):
        world.device.pull("app:big", tag="t")
    [finished] = [name for name in world.device.files() - used(world, "t") if name.startswith("blobs/")]
    world.device.told.dies_after, world.device.told.advanced = 10, 0
    with pytest.raises(KeyboardInterrupt):
        world.device.pull("app:1.1", tag="t")
    assert finished in world.device.files()
    world.device.told.dies_after = None
    world.device.pull("app:1.1", tag="t")
    assert world.device.files() == used(world, "t")


def test_a_kill_before_the_old_image_is_removed_leaves_it_to_the_next_pull(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.device.pull("app:1.0", tag="t")
    with monkeypatch.context() as patch:
        patch.setattr(WritableLayout, "remove_loose", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.device.pull("app:1.1", tag="t")
    assert world.device.tars("t") == list(NEW)
    assert world.device.files() > used(world, "t")
    world.device.pull("single:1.0", tag="t")
    assert world.device.files() == used(world, "t")


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_image_of_docker_s_types_becomes_one_that_others_find_in_a_layout(world: World) -> None:
    build = LayoutBuilder()
    image = build.image(*OLD, docker=True)
    for name, blob in build.blobs.items():
        world.blob(name.removeprefix("blobs/").replace("/", ":")).write_bytes(blob)
    manifest = build.blobs["blobs/" + image["digest"].replace(":", "/")]
    (world.tree / "v2/app/manifests/docker").write_bytes(manifest)
    outcome = world.device.pull("app:docker")
    assert world.device.tars("docker") == list(OLD)
    assert str(outcome.manifest) == image["digest"]
    stored = json.loads(world.device.blob(world.device.entry("docker")["digest"]))
    types = {stored["mediaType"], stored["config"]["mediaType"], *(layer["mediaType"] for layer in stored["layers"])}
    assert {kind.split(".")[1] for kind in types} == {"oci"}
    assert not world.device.pull("app:docker").is_changed
