"""Whole runs: what is removed is un-listed at once, deleted after grace, and does not come back."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import LedgerError
from pipeline.history.removal import RemovalError
from pipeline.keys import LEDGER_KEY, PAGE_KEY, Key, page_key
from pipeline.progress import Silent
from pipeline.verify import verify

from ..client import deltas_of
from ..layouts.builder import LayoutBuilder
from ..runs import Shop, app, other, pairs

POLICY = 'versions = 2\ngrace = "2d"\nmax_delete = 1.0'


def tags(shop: Shop, repository: str = "app") -> list[str]:
    return list(json.loads(shop.folder.contents[Key(f"v2/{repository}/tags/list")])["tags"])


def manifest(tag: str, repository: str = "app") -> Key:
    return Key(f"v2/{repository}/manifests/{tag}")


def test_a_tag_is_un_listed_at_once_deleted_after_grace_and_does_not_come_back(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    shop.images({"1.0": app(0), "1.1": app(1), "pr-1": other(0)})
    shop.run()
    document = json.loads(shop.folder.contents[manifest("pr-1")])
    blobs = {Key(f"v2/app/blobs/{part['digest']}") for part in (document["config"], *document["layers"])}
    outcome = shop.remove("app:pr-1", 1)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert outcome.notes == ("app: the tag pr-1 is published no longer", "app: 1 image is published no longer")
    assert tags(shop) == ["1.0", "1.1"]
    assert "pr-1" not in shop.folder.contents[page_key("app")].decode()
    assert verify(shop.target, jobs=1, limits=shop.config.limits, progress=Silent()).problems == ()
    assert manifest("pr-1") in shop.folder.contents
    shop.check()
    for number in (2, 4):
        outcome = shop.run(number)
        assert outcome.notes == (
            "app: pr-1 is in the layout, but app:pr-1 was removed; `deltapress remove --undo app:pr-1` takes that back",
        )
        assert tags(shop) == ["1.0", "1.1"]
        shop.check()
    assert manifest("pr-1") not in shop.folder.contents
    assert not blobs & shop.folder.contents.keys()
    assert shop.run(5).written.keys == 0


def test_a_bad_image_goes_and_the_tag_leads_to_the_one_before(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    for number in range(3):
        shop.images({"latest": app(number)})
        outcome = shop.run(number)
    bad = outcome.ledger.repositories["app"].tags["latest"].image
    notes = shop.remove(f"app@{bad}", 2.5).notes
    assert notes[0].startswith("app: the tag latest points to sha256:")
    assert shop.folder.contents[manifest("latest")] != shop.folder.contents[manifest(str(bad))]
    assert shop.listed() == pairs((app(0), app(1))), "from the night before, still there"
    shop.check()
    shop.run(3)
    assert shop.listed() == pairs((app(0), app(1))), "though the layout still has the bad one"
    assert shop.run(3.1).written.keys == 0
    shop.images({"latest": app(3)})
    shop.run(4)
    assert shop.listed() == pairs((app(0), app(3)), (app(1), app(3)))
    shop.check()


def test_a_repository_goes_whole_and_stays_out_though_it_is_configured(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY, repositories={"app": "", "team/tool": ""})
    shop.images({"latest": app(0)})
    shop.images({"latest": other(0)}, "team/tool")
    shop.run()
    shop.remove("team/tool", 1)
    assert "team/tool" not in shop.folder.contents[PAGE_KEY].decode()
    assert tags(shop, "team/tool") == []
    assert manifest("latest", "team/tool") in shop.folder.contents, "until the grace period is over"
    assert verify(shop.target, jobs=1, limits=shop.config.limits, progress=Silent()).problems == ()
    shop.check()
    outcome = shop.run(2)
    assert outcome.notes == ("team/tool: was removed; `deltapress remove --undo team/tool` lets it be published again",)
    shop.run(4)
    assert not [key for key in shop.folder.contents if "team/tool" in key]
    shop.check()


def test_the_last_repository_can_go(tmp_path: Path) -> None:
    """Nearly all of the tree goes then, which is no mistake that `max_delete` would have to stop."""
    shop = Shop(tmp_path, policy='grace = "2d"\nmax_delete = 0.1')
    shop.images({"latest": app(0)})
    shop.run()
    shop.remove("app", 1)
    shop.run(2)
    assert shop.run(4).exit_code is ExitCode.SUCCESS
    assert not [key for key in shop.folder.contents if key.startswith("v2/app/")]


@pytest.mark.parametrize("what", ["app", "app:1.1", "app:latest"])
@pytest.mark.parametrize("is_late", [False, True], ids=["in the grace period", "after it"])
def test_an_undo_brings_back_the_same_bytes(tmp_path: Path, what: str, is_late: bool) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    for number in range(2):
        shop.images({"latest": app(number), "1.0": other(0), "1.1": other(1)})
        shop.run(number)
    before = shop.folder.copy().published()
    shop.remove(what, 2)
    assert shop.folder.published() != before
    if is_late:
        shop.prune(5, force=True)
    shop.remove(what, 6, is_undo=True)
    shop.check()
    if is_late:
        shop.run(6)
        assert tags(shop) == ["1.0", "1.1", "latest"]
    else:
        assert shop.folder.published() == before
    assert shop.run(7).notes == ()
    shop.check()


def test_a_dry_run_says_it_and_does_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    shop.images({"1.0": app(0), "1.1": app(1)})
    shop.run()
    before = shop.folder.copy()
    outcome = shop.remove("app:1.1", 1, is_dry=True)
    assert outcome.notes[0] == "app: the tag 1.1 is published no longer"
    assert Key("v2/app/tags/list") in {entry.key for entry in outcome.writes}
    assert shop.folder.contents == before.contents


def test_what_cannot_be_removed_changes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    with pytest.raises(RemovalError, match="app is not published"):
        shop.remove("app")
    shop.images({"1.0": app(0)})
    shop.run()
    before = shop.folder.copy()
    with pytest.raises(RemovalError, match="has no tag 2"):
        shop.remove("app:2")
    assert shop.folder.contents == before.contents
    del shop.folder.contents[LEDGER_KEY]
    with pytest.raises(LedgerError, match="run `deltapress publish` first"):
        shop.remove("app:1.0")


def test_a_new_name_goes_on_from_the_old_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY, repositories={"old/app": ""})
    for number in range(2):
        shop.images({"latest": app(number)}, "old/app")
        shop.run(number)
    kept = {key: data for key, data in shop.folder.contents.items() if key.startswith("v2/old/app/")}
    shop.repositories = {"new/app": 'formerly = ["old/app"]'}
    shop.images({"latest": app(2)}, "new/app")
    outcome = shop.run(2)
    assert outcome.notes == ("old/app: goes on as new/app; left as it is, until `deltapress remove old/app`",)
    listed = [(delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(shop.folder.contents, "new/app")]
    assert sorted(listed) == pairs((app(0), app(2)), (app(1), app(2)))
    assert {key: data for key, data in shop.folder.contents.items() if key.startswith("v2/old/app/")} == kept
    assert shop.run(2.5).written.keys == 0
    shop.check()
    shop.remove("old/app", 3)
    shop.run(6)
    assert not [key for key in shop.folder.contents if key.startswith("v2/old/app/")]
    assert shop.run(7).notes == ()
    shop.check()


def test_an_old_name_that_nobody_knows_is_mentioned_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY, repositories={"new/app": 'formerly = ["old/apt"]'})
    shop.images({"latest": app(0)}, "new/app")
    assert shop.run().notes == ("new/app: `formerly` names old/apt, but nothing was published under that name",)
    assert shop.run(1).notes == ()


def test_what_was_removed_by_the_old_name_stays_out_by_the_new_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY, repositories={"old/app": ""})
    shop.images({"1.0": app(0), "pr": other(0)}, "old/app")
    shop.run()
    shop.remove("old/app:pr", 1)
    shop.repositories = {"new/app": 'formerly = ["old/app"]'}
    shop.images({"1.0": app(0), "pr": other(0)}, "new/app")
    shop.run(2)
    assert tags(shop, "new/app") == ["1.0"]


def test_a_signature_of_what_was_removed_goes_with_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    build = LayoutBuilder()
    image, second = build.image(app(0)), build.image(app(1))
    signature = build.artifact(subject=image)
    build.entry(signature)
    shop.layout({"1.0": image, "1.1": second}, build)
    shop.run()
    assert manifest(signature["digest"]) in shop.folder.contents
    shop.remove("app:1.0", 1)
    for number in (2, 5):
        shop.run(number)
    assert manifest(signature["digest"]) not in shop.folder.contents
    shop.check()
