"""Artifacts for bootc, composefs and flightctl, from the layouts to a device that has updated."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.keys import LEDGER_KEY, Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.tree import contents
from pipeline.verify import verify

from ..client import contents_of
from ..device import ARTIFACT, DELTA, Device, Update, unpack
from ..layouts.builder import OCI, Json, LayoutBuilder, json_bytes, on
from ..layouts.builder import sha256 as digest_of
from ..runs import Shop, app, change_document, other
from ..tars import file, tar
from ..updates import BASE, MIDDLE, NEW_MIDDLE, NEW_TOP, TOP, noise

TAR_DIFF = "application/vnd.tar-diff"
GZIP = f"{OCI}.layer.v1.tar+gzip"


def device(shop: Shop, booted: Json, old: tuple[bytes, ...], root: Path) -> Device:
    return Device(
        contents=contents_of(shop.target), repository="app", booted=booted["digest"], root=unpack(old, root / "root")
    )


def published(
    tmp_path: Path, old: tuple[bytes, ...], new: tuple[bytes, ...], **more: Any
) -> tuple[Shop, Device, LayoutBuilder]:
    """Two nights with one image each."""
    shop, build = Shop(tmp_path), LayoutBuilder()
    booted = build.image(*old, **more)
    shop.layout({"latest": booted}, build)
    shop.run()
    later = LayoutBuilder()
    shop.layout({"latest": later.image(*new, **more)}, later)
    outcome = shop.run(1)
    assert outcome.delta_failures == ()
    shop.check()
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    assert (found.problems, found.unproven) == ((), ())
    return shop, device(shop, booted, old, tmp_path), later


def rebuilt(update: Update) -> list[bytes]:
    return list(update.layers.values())


def artifacts(shop: Shop) -> list[Json]:
    """All that are stored."""
    found = []
    for key, data in shop.folder.contents.items():
        if "/manifests/sha256:" in key and key.startswith("v2/"):
            document = json.loads(data)
            if document.get("artifactType") == ARTIFACT:
                found.append(document)
    return found


def test_one_layer_shares_its_delta_with_the_other_format(tmp_path: Path) -> None:
    shop, found, _ = published(tmp_path, (app(1),), (app(2),))
    update = found.update("latest")
    assert rebuilt(update) == [app(2)]
    assert update.kinds == [TAR_DIFF]
    [delta] = artifacts(shop)[0]["layers"][2:]
    index = json.loads(shop.folder.contents[Key("v2/app/manifests/_deltaindex")])
    document = json.loads(shop.folder.contents[Key(f"v2/app/manifests/{index['manifests'][0]['digest']}")])
    assert [layer["digest"] for layer in document["layers"]] == [delta["digest"]]
    assert shop.run(2).written.keys == 0


def test_many_layers_are_rebuilt_from_the_whole_old_image(tmp_path: Path) -> None:
    _, found, _ = published(tmp_path, (BASE, MIDDLE, TOP), (BASE, NEW_MIDDLE, NEW_TOP))
    update = found.update("latest")
    assert rebuilt(update) == [NEW_MIDDLE, NEW_TOP]
    assert update.kinds == [TAR_DIFF, TAR_DIFF]
    # what the device does not have (three files of 4,000 bytes) and little more: `moved` and `kept` lie in other layers
    assert 12_000 < update.size < 13_500


@pytest.mark.parametrize("compression", ["zstd", "", "gzip"])
def test_however_the_layers_are_compressed(tmp_path: Path, compression: str) -> None:
    new = (other(1), tar(file("new", noise(20, 300))))
    _, found, _ = published(tmp_path, (app(1), other(0)), (app(1), *new), compression=compression)
    update = found.update("latest")
    assert rebuilt(update) == list(new)


def test_docker_images(tmp_path: Path) -> None:
    _, found, later = published(tmp_path, (app(1), other(1)), (app(2), other(2)), docker=True)
    update = found.update("latest")
    assert rebuilt(update) == [app(2), other(2)]
    assert update.manifest in later.blobs.values()


@pytest.mark.parametrize(("cut", "kind"), [(0, GZIP), (512, TAR_DIFF)])
def test_a_layer_goes_whole_only_as_one_gzip_member(tmp_path: Path, cut: int, kind: str) -> None:
    """An empty file, which gzip makes smaller than a delta can be. Of two members, clients would see the first."""
    tiny = tar(file("a", b""))
    stored = b"".join(gzip.compress(part, mtime=0) for part in (tiny[:cut], tiny[cut:]) if part)
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    shop.run()
    build = LayoutBuilder()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest_of(app(2)), digest_of(tiny)]}}
    layers = build.layer(app(2)), build.blob(stored, GZIP)
    shop.layout({"latest": build.manifest(build.blob(json_bytes(config), f"{OCI}.config.v1+json"), *layers)}, build)
    shop.run(1)
    update = device(shop, LayoutBuilder().image(app(1)), (app(1),), tmp_path).update("latest")
    assert rebuilt(update) == [app(2), tiny]
    assert update.kinds == [TAR_DIFF, kind]
    shop.check()


def test_an_index_lists_the_artifacts_of_all_its_platforms(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    images: list[list[Json]] = []
    for number in (1, 2):
        build = LayoutBuilder()
        images.append([build.image(app(number)), build.image(other(number), architecture="arm64")])
        index = build.index(on(images[-1][0], "linux/amd64"), on(images[-1][1], "linux/arm64"))
        signature = build.artifact(subject=index)
        build.entry(signature)
        shop.layout({"latest": index}, build)
        shop.run(number)
    shop.check()
    for place, (booted, old, new) in enumerate(((images[0][0], app(1), app(2)), (images[0][1], other(1), other(2)))):
        update = device(shop, booted, (old,), tmp_path / str(place)).update("latest")
        assert rebuilt(update) == [new]
        listing = json.loads(shop.folder.contents[Key(f"v2/app/referrers/{images[1][place]['digest']}")])
        assert [entry["digest"] for entry in listing["manifests"]] == [update.artifact]
    stored = shop.folder.contents
    both = json.loads(stored[Key(f"v2/app/referrers/{index['digest']}")])["manifests"]
    assert sorted(entry["artifactType"] for entry in both) == sorted([ARTIFACT, ARTIFACT, "text/plain"])
    assert signature["digest"] in {entry["digest"] for entry in both}
    for entry in both:
        document = json.loads(stored[Key(f"v2/app/manifests/{entry['digest']}")])
        assert entry.get("annotations", {}) == document.get("annotations", {})


def test_what_is_stale_is_unlisted_at_once_and_deleted_later(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 1\ngrace = "2d"\nmax_delete = 1.0')
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    [first] = artifacts(shop)
    shop.images({"latest": app(3)})
    shop.run(3)
    target = first["subject"]["digest"]
    assert len(artifacts(shop)) == 2
    for name in (f"referrers/{target}", f"manifests/{target.replace(':', '-')}"):
        assert json.loads(shop.folder.contents[Key(f"v2/app/{name}")])["manifests"] == []
    shop.check()
    shop.run(6)
    [left] = artifacts(shop)
    assert left["annotations"][f"{DELTA}.source"] == target
    shop.check()


def test_a_lost_ledger_takes_artifacts_for_what_they_are(tmp_path: Path) -> None:
    shop, found, _ = published(tmp_path, (BASE, MIDDLE, TOP), (BASE, NEW_MIDDLE, NEW_TOP))
    before = artifacts(shop)
    del shop.folder.contents[LEDGER_KEY]
    outcome = shop.run(2)
    images = outcome.ledger.repositories["app"].images
    assert {str(digest) for digest in images} == {
        found.booted,
        digest_of(found.update("latest").manifest),
    }
    assert artifacts(shop) == before
    shop.check()


@pytest.mark.parametrize(
    ("formats", "listed", "kept"),
    [('["deltaindex"]', True, 0), ('["oci-delta"]', False, 1), ('["oci-delta", "deltaindex"]', True, 1)],
)
def test_the_formats_are_chosen(tmp_path: Path, formats: str, listed: bool, kept: int) -> None:
    shop = Shop(tmp_path, policy=f"formats = {formats}")
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    assert len(artifacts(shop)) == kept
    assert (Key("v2/app/manifests/_deltaindex") in shop.folder.contents) == listed
    shop.check()
    [saving] = shop.dry_run(3).savings
    assert saving.with_deltas < saving.whole
    assert saving.deltas == saving.layers == 1


def test_what_saves_too_little_is_not_listed_and_not_made_again(tmp_path: Path) -> None:
    """One small layer has a delta, a large one shares nothing: together they save nothing."""
    shop = Shop(tmp_path, policy='versions = 1\ngrace = "1d"\nmax_delete = 1.0\nformats = ["oci-delta"]')
    large = tar(file("large", noise(30, 200_000))), tar(file("large", noise(31, 200_000)))
    for number in (1, 2):
        shop.images({"latest": (app(number), large[number - 1])})
        outcome = shop.run(number)
    assert outcome.made or outcome.refused
    assert artifacts(shop) == []
    assert [saving.saved for saving in outcome.savings] == [0]
    for number in range(3, 9):
        outcome = shop.run(number)
        assert (outcome.made, outcome.refused) == ((), ())
    assert shop.run(9).written.keys == 0
    shop.check()


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda a: a["annotations"].pop(f"{DELTA}.source-config"), f"annotations.{DELTA}.source-config: '' is"),
        (lambda a: a["annotations"].update({f"{DELTA}.source-config": a["subject"]["digest"]}), "is not the config of"),
        (lambda a: a["layers"].pop(0), "layers must have one with"),
        (lambda a: a["layers"].pop(1), "layers must have one with"),
        (lambda a: a["layers"].pop(2), "layers lack sha256:"),
        (lambda a: a["layers"][2].update(mediaType="application/vnd.redhat.tar-diff"), "layers[2] is neither a"),
        (lambda a: a["layers"][2]["annotations"].update({f"{DELTA}.to": digest_of(app(2))}), "is no layer of"),
        (lambda a: a.pop("subject"), "subject must be"),
        (lambda a: a["annotations"].update({f"{DELTA}.reused": "[1]"}), "reused must list nothing"),
        (lambda a: a["layers"][2].update(digest=a["layers"][1]["digest"], size=a["layers"][1]["size"]), "tar-diff"),
    ],
)
def test_verify_finds_what_a_client_would_stumble_over(tmp_path: Path, spoil: Any, problem: str) -> None:
    shop, _, _ = published(tmp_path, (app(1),), (app(2),))
    [artifact] = artifacts(shop)
    subject = artifact["subject"]["digest"]
    spoil(artifact)
    raw = json_bytes(artifact)
    stored = shop.folder.contents
    stored[Key(f"v2/app/manifests/{digest_of(raw)}")] = raw
    stored[Key(f"v2/app/referrers/{digest_of(raw)}")] = stored[
        Key(f"v2/app/referrers/{next(key.split('/')[-1] for key in stored if '/referrers/' in key)}")
    ]
    listing = Key(f"v2/app/referrers/{subject}")
    entry = {
        "mediaType": artifact["mediaType"],
        "artifactType": ARTIFACT,
        "digest": digest_of(raw),
        "size": len(raw),
        "annotations": {f"{DELTA}.source": subject, f"{DELTA}.target": subject},
    }
    stored[listing] = json_bytes({**json.loads(stored[listing]), "manifests": [entry]})
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    assert [str(line) for line in found.problems if problem in line.problem]


def test_a_ledger_from_before_has_artifacts_once_its_images_are_seen(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()

    def change(document: Json) -> None:
        for image in document["record"]["images"]:
            for platform in image["platforms"]:
                del platform["config"]
                for layer in platform["layers"]:
                    del layer["oneMember"]

    change_document(shop.folder, "app", change)
    shop.run(1)
    assert len(artifacts(shop)) == 1
    shop.check()


def test_a_format_that_is_chosen_no_more_is_unlisted_at_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    listings = [key for key in shop.folder.contents if key.endswith("/_deltaindex") or "/manifests/sha256-" in key]
    assert len([key for key in listings if key.startswith("v2/")]) == 2
    for left in ("oci-delta", "deltaindex"):
        shop.policy = f'formats = ["{left}"]'
        shop.run(3)
        listed = [key for key in listings if json.loads(shop.folder.contents[key])["manifests"]]
        assert all(("_deltaindex" in key) == (left == "deltaindex") for key in listed)
        assert listed
        shop.check()


def test_a_full_listing_leaves_out_the_oldest_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_MANIFEST_SIZE", 2000)  # room for two entries instead of thousands
    shop = Shop(tmp_path, policy="versions = 3")
    digests = []
    for number in range(4):
        shop.images({"latest": app(number)})
        digests.append(LayoutBuilder().image(app(number))["digest"])
        outcome = shop.run(number)
    listing = shop.folder.contents[Key(f"v2/app/referrers/{digests[3]}")]
    assert len(listing) <= 2000
    sources = {entry["annotations"][f"{DELTA}.source"] for entry in json.loads(listing)["manifests"]}
    assert sources == set(digests[1:3])
    [note] = [line for line in outcome.notes if "leave out the 1 oldest" in line]
    assert note.startswith("app: the referrers of sha256:")
    shop.check()
