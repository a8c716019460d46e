"""A publish that has nothing to do reads two files of the target; whatever there is to do, or to say, wakes it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY, PAGE_KEY, Key
from pipeline.oci.digest import Digest
from pipeline.publish import Outcome

from ..layouts.builder import LayoutBuilder, blob_path, compressed, sha256
from ..runs import MemoryFolder, Shop, WatchedTarget, app, other, stored_ledger
from ..targets.wrappers import RecordingTarget

_POLICY = 'versions = 1\nkeep = 2\ngrace = "3d"\nmax_delete = 1.0'


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two repositories, published for three nights: each has a delta, and an image in its grace period."""
    shop = Shop(tmp_path, policy=_POLICY, repositories={"app": "", "team/tool": ""})
    for number in (0, 1, 2):
        shop.images({"latest": app(number)})
        shop.images({"latest": other(number)}, "team/tool")
        outcome = shop.run(number)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert not outcome.is_at_rest
    return shop


def _run(shop: Shop, number: float, **settings: Any) -> tuple[Outcome, RecordingTarget]:
    target = RecordingTarget(shop.target)
    return shop.run(number, target=target, **settings), target


def test_nothing_to_do_costs_two_reads_whatever_there_is(shop: Shop) -> None:
    before = dict(shop.folder.contents)
    outcome, target = _run(shop, 3)
    assert outcome.is_at_rest
    assert outcome.exit_code is ExitCode.SUCCESS
    assert [(call.method, call.key) for call in target.calls] == [
        ("open", LEDGER_KEY),
        ("open", "_deltapress/ledger/journal/1"),
    ]
    assert shop.folder.contents == before


def test_a_layout_that_was_written_again_with_the_same_images_rests(shop: Shop) -> None:
    shop.images({"latest": app(2)})
    assert shop.run(3).is_at_rest


def _changed_layout(shop: Shop) -> None:
    shop.images({"latest": app(3)})


def _lost_layout(shop: Shop) -> None:
    (shop.path / "app" / "index.json").unlink()


def _lost_blobs(shop: Shop) -> None:
    (shop.path / "app" / "blobs").rename(shop.path / "app" / "blob")


def _other_policy(shop: Shop) -> None:
    shop.policy = shop.policy.replace("versions = 1", "versions = 0")


def _other_rules(shop: Shop) -> None:
    shop.repositories["app"] = 'pins = ["latest"]'


def _new_repository(shop: Shop) -> None:
    shop.repositories["new"] = ""
    shop.images({"latest": app(1)}, "new")


def _no_page(shop: Shop) -> None:
    shop.policy += "\n[site]\npages = false"


def _pending(shop: Shop) -> None:
    root = json.loads(shop.folder.contents[LEDGER_KEY])
    root["keys"][PAGE_KEY]["pending"] = True
    shop.folder.contents[LEDGER_KEY] = json.dumps(root).encode()


def _half_done(shop: Shop) -> None:
    shop.folder.contents[Key("_deltapress/ledger/journal/1")] = b"{}"


def _other_document(shop: Shop) -> None:
    root = json.loads(shop.folder.contents[LEDGER_KEY])
    del root["repositories"]["app"]["seen"]
    shop.folder.contents[LEDGER_KEY] = json.dumps(root).encode()


def _lost_root(shop: Shop) -> None:
    del shop.folder.contents[LEDGER_KEY]


def _retraction(shop: Shop) -> None:
    shop.retract("app", number=2.5)


WAKE: list[Callable[[Shop], None]] = [
    _changed_layout,
    _lost_layout,
    _lost_blobs,
    _other_policy,
    _other_rules,
    _new_repository,
    _no_page,
    _pending,
    _half_done,
    _other_document,
    _lost_root,
    _retraction,
]


@pytest.mark.parametrize("change", WAKE)
def test_what_has_changed_is_looked_at(shop: Shop, change: Callable[[Shop], None]) -> None:
    change(shop)
    assert not shop.run(3).is_at_rest


def test_a_retraction_that_is_taken_back_wakes_everybody(shop: Shop) -> None:
    """Also where the ledger remembers nothing but the retraction: what it kept back has to be made."""
    shop.retract(None, number=3, is_all=True)
    for number in (4, 8):
        shop.run(number)
    shop.retract(None, number=9, is_all=True, is_undo=True)
    outcome = shop.run(9)
    assert not outcome.is_at_rest
    assert len(outcome.made) == 2


@pytest.mark.parametrize("settings", [{"repair": True}, {"adopt": True}, {"force": True}], ids=str)
def test_who_asks_for_more_gets_it(shop: Shop, settings: dict[str, Any]) -> None:
    assert not shop.run(3, **settings).is_at_rest
    assert shop.run(3).is_at_rest


@pytest.mark.parametrize("name", ["pipeline.publish.origins.GENERATOR", "pipeline.publish.origins.__version__"])
def test_another_program_looks_at_everything(shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(name, "another")
    assert not shop.run(3).is_at_rest


def test_pulls_that_are_counted_while_a_run_is_under_way_wake_the_next(shop: Shop) -> None:
    file = shop.path / "demand.json"
    newest = shop.dry_run(2).ledger.repositories["app"].tags["latest"].image

    def count(pulls: int) -> None:
        file.write_text(json.dumps({"pulls": {"app": {str(newest): pulls}}}))

    count(1)
    shop.policy += '\ndemand = "demand.json"'
    shop.images({"latest": app(3)})
    assert not shop.run(3, target=WatchedTarget(shop.target, lambda: count(9))).is_at_rest
    outcome = shop.run(4)
    assert not outcome.is_at_rest
    rules = outcome.ledger.repositories["app"].rules
    assert rules is not None
    assert rules.pulls == {newest: 9}
    assert shop.run(4).is_at_rest


def test_templates_that_change_while_a_run_is_under_way_wake_the_next(shop: Shop) -> None:
    (shop.path / "own").mkdir()
    note = shop.path / "own" / "note.txt"
    note.write_text("before")

    def change() -> None:
        note.write_text("after")

    shop.policy += '\n[site]\ntemplates = "own"'
    shop.images({"latest": app(3)})
    assert not shop.run(3, target=WatchedTarget(shop.target, change)).is_at_rest
    assert not shop.run(3.5).is_at_rest
    assert shop.run(3.5).is_at_rest


def test_the_end_of_a_grace_period_wakes_it(shop: Shop) -> None:
    waiting = {key: known for key, known in stored_ledger(shop.target).keys.items() if known.unreferenced is not None}
    assert waiting
    assert shop.run(4.9).is_at_rest
    outcome = shop.run(5)
    assert not outcome.is_at_rest
    assert {stone.key for stone in outcome.prune.remove} == waiting.keys()
    assert shop.run(5.5).is_at_rest
    assert shop.run(50).is_at_rest


def test_deletions_that_are_put_off_keep_it_awake(shop: Shop) -> None:
    for number in (5, 6):
        assert not shop.run(number, prune=False).is_at_rest
    assert shop.run(7).prune.remove
    assert shop.run(8).is_at_rest


def test_the_end_of_keep_for_wakes_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 0\nkeep = 1\nkeep_for = "10d"\ngrace = "1d"\nmax_delete = 1.0')
    for number in (1, 2, 3):
        shop.images({"latest": app(number)})
        shop.run(number)
    assert shop.run(11.9).is_at_rest
    outcome = shop.run(12)
    assert not outcome.is_at_rest
    assert len(outcome.ledger.repositories["app"].images) == 2
    assert shop.run(12.5).is_at_rest
    assert len(shop.run(13.5).ledger.repositories["app"].images) == 1


def test_what_is_broken_is_reported_every_night(shop: Shop) -> None:
    build = LayoutBuilder()
    layout = shop.layout({"latest": build.image(app(2)), "broken": build.image(app(9))}, build)
    (layout / blob_path(sha256(compressed(app(9), "gzip")))).unlink()
    for number in (3, 4):
        outcome = shop.run(number)
        assert (outcome.exit_code, list(outcome.broken)) == (ExitCode.PARTLY_DONE, ["app"])


def test_what_is_noted_of_a_repository_is_noted_every_night(shop: Shop) -> None:
    shop.repositories["app"] = 'pins = ["nothing"]'
    for number in (3, 4):
        assert any(note.startswith("app: the pin nothing") for note in shop.run(number).notes)


def test_a_delta_that_failed_is_tried_again(shop: Shop) -> None:
    blob = Key(f"v2/app/blobs/{Digest.of(compressed(app(2), 'gzip'))}")
    good = shop.folder.contents[blob]
    shop.folder.contents[blob] = b"?" * len(good)
    shop.images({"latest": app(3)})
    for number in (3, 4):
        assert len(shop.run(number).delta_failures) == 1
    shop.folder.contents[blob] = good
    assert len(shop.run(5).made) == 1
    assert shop.run(5.5).is_at_rest


def test_a_repository_of_somebody_else_is_mentioned_and_wakes_nobody(shop: Shop) -> None:
    whole = dict(shop.repositories)
    del shop.repositories["app"]
    outcome = shop.run(3)
    assert outcome.is_at_rest
    assert outcome.notes == ("app: published, but not in deltapress.toml; left as it is",)
    assert not shop.run(5).is_at_rest  # what waits there is deleted here
    assert shop.run(6).is_at_rest
    shop.repositories = whole
    assert not shop.run(7).is_at_rest  # its own publisher looks once
    assert shop.run(8).is_at_rest
    assert shop.run(8).notes == ()


def test_what_was_removed_for_good_wakes_nobody(shop: Shop) -> None:
    del shop.repositories["app"]
    shop.remove("app", 3)
    shop.run(4)
    shop.run(7)
    shop.run(8)
    outcome = shop.run(9)
    assert outcome.is_at_rest
    assert outcome.notes == ()


def test_an_archive_is_known_by_its_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    build.tag("latest", build.image(app(1)))
    path = build.write_archive(tmp_path / "app")
    shop.run(1)
    assert shop.run(2).is_at_rest
    os.utime(path, ns=(1, 1))
    assert not shop.run(3).is_at_rest
    assert shop.run(4).is_at_rest


def test_a_clock_that_went_back_wakes_it(shop: Shop) -> None:
    assert shop.run(2.5).is_at_rest
    assert not shop.run(1).is_at_rest  # what was marked in the future


def test_two_configurations_leave_each_other_at_rest(tmp_path: Path) -> None:
    target = MemoryFolder()
    one = Shop(tmp_path / "one", target=target)
    two = Shop(tmp_path / "two", target=target, policy="versions = 1", repositories={"tool": ""})
    one.images({"latest": app(1)})
    two.images({"latest": other(1)}, "tool")
    for number in (1, 2):
        for shop in (one, two):
            shop.run(number)
    before = dict(target.contents)
    for shop in (one, two, one, two):
        assert shop.run(3).is_at_rest
    assert target.contents == before
