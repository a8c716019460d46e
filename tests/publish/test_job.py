"""Whole runs: many nights, all kinds of images, and all that can go wrong in one."""

import json
import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import SCHEMA, LedgerError
from pipeline.keys import LEDGER_KEY, Key
from pipeline.oci.digest import DiffID
from pipeline.report import publish_text
from pipeline.targets.base import LockHeldError, LockInfo, Properties
from pipeline.targets.directory import DirectoryTarget
from pipeline.tree.contents import CollisionError

from ..client import Client, contents_of, deltas_of, problems
from ..layouts.builder import LayoutBuilder
from ..runs import MemoryFolder, Shop, app, deleted, is_of_ledger, night, other, pairs
from ..targets.wrappers import RecordingTarget
from ..tars import Member, file, pax, tar

_ZERO = f"sha256:{'0' * 64}"


def test_six_nights_of_a_layout_that_holds_only_todays_image(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 3\nkeep = 4\ngrace = "36h"\nmax_delete = 1.0')
    blobs: list[str] = []
    for number in range(6):
        shop.images({"latest": app(number)})
        outcome, _ = shop.watched_run(number)
        assert (outcome.exit_code, outcome.delta_failures) == (ExitCode.SUCCESS, ())
        assert shop.listed() == pairs(*((app(old), app(number)) for old in range(max(0, number - 3), number)))
        assert len(outcome.made) == min(number, 3)
        shop.check()
        blobs.append(deltas_of(shop.folder.contents, "app")[0].digest if number else "")
        # un-listed at once, there for the grace period, then gone
        for night_made, digest in enumerate(blobs[1:], start=1):
            is_there = Key(f"v2/app/blobs/{digest}") in shop.folder.contents
            assert is_there == (number - night_made < 3)
    records = outcome.ledger.repositories["app"]
    assert len(records.images) == 4
    assert [saving.source_tags for saving in outcome.savings] == [(), (), ()]
    assert all(saving.with_deltas < 0.2 * saving.whole for saving in outcome.savings)


def test_versions_that_the_layout_has_lost_are_read_back_from_the_tree(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": (other(1), app(1))})
    shop.run()
    shop.images({"latest": (other(2), app(2))})
    target = RecordingTarget(shop.target)
    shop.run(1, target=target)
    read = {str(call.key) for call in target.calls if call.method == "open" and not is_of_ledger(str(call.key))}
    assert len(read) == 2
    assert all("/blobs/" in key or "/manifests/" in key for key in read)
    assert shop.listed() == pairs((app(1), app(2)), (other(1), other(2)))
    shop.check()


def test_a_roll_back_lists_deltas_into_the_old_image(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number, version in enumerate((1, 2, 1, 2)):
        shop.images({"latest": app(version)})
        outcome, _ = shop.watched_run(number)
        shop.check()
    assert shop.listed() == pairs((app(1), app(2)))
    assert outcome.made == ()  # it was made when the second version first came, and its grace is not over


def test_a_delta_whose_bytes_are_gone_is_made_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 2\ngrace = "1h"\nmax_delete = 1.0')
    for number, version in enumerate((1, 2, 1)):
        shop.images({"latest": app(version)})
        shop.run(number)
    shop.run(4)
    shop.images({"latest": app(2)})
    assert len(shop.run(5).made) == 1
    assert shop.listed() == pairs((app(1), app(2)))
    shop.check()


def test_a_policy_that_was_tightened_and_relaxed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='max_ratio = 0.9\ngrace = "1h"\nmax_delete = 1.0')
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    shop.policy = shop.policy.replace("0.9", "0.001")
    assert shop.run(1).made == ()
    assert shop.listed() == []
    assert shop.run(2).prune.remove
    assert shop.run(3).written.keys == 0
    shop.policy = shop.policy.replace("0.001", "0.9")
    assert len(shop.run(4).made) == 1
    assert shop.listed() == pairs((app(1), app(2)))
    shop.check()


def test_a_delta_that_is_too_large_is_refused_with_the_reason_and_not_tried_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="max_ratio = 0.01")
    shop.images({"1.0": app(1), "2.0": app(2)})
    first = shop.run()
    [refused] = first.refused
    assert (first.exit_code, first.made, refused.digest) == (ExitCode.SUCCESS, (), None)
    assert "more than the policy allows" in (refused.refused or "")
    assert shop.listed() == []
    again = shop.run(1)
    assert (again.made, again.refused) == ((), ())
    shop.policy = "max_ratio = 0.9"
    assert len(shop.run(2).made) == 1
    shop.check()


def test_another_generator_makes_every_delta_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    monkeypatch.setattr("pipeline.publish.origins.GENERATOR", "tardiff-next")
    monkeypatch.setattr("pipeline.publish.steps.GENERATOR", "tardiff-next")
    monkeypatch.setattr("pipeline.deltas.job.GENERATOR", "tardiff-next")
    outcome, _ = shop.watched_run(1)
    assert [made.generator for made in outcome.made] == ["tardiff-next"]
    assert shop.run(2).made == ()


def test_a_bad_repository_does_not_stop_the_others(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='grace = "1h"\nmax_delete = 1.0', repositories={"app": "", "bad": "", "other": ""})
    for number in range(4):
        for name, make in (("app", app), ("bad", other), ("other", other)):
            shop.images({"latest": make(number)}, name)
        if number < 3:
            shop.run(number)
    before = {key: data for key, data in shop.folder.published().items() if "/bad/" in key}
    config = next(path for path in (tmp_path / "bad/blobs/sha256").iterdir() if b"rootfs" in path.read_bytes())
    config.unlink()
    outcome, target = shop.watched_run(3)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert list(outcome.failed) == ["bad"]
    assert "bad" in str(outcome.failed["bad"])
    assert "could not be read" in (outcome.prune_problem or "")
    assert deleted(target) == []
    assert {key: data for key, data in shop.folder.published().items() if "/bad/" in key} == before
    for name, make in (("app", app), ("other", other)):
        expected = LayoutBuilder().image(make(3))["digest"]
        assert Client(shop.folder.contents).tags(name) == {"latest": expected}
    shop.check()
    shop.images({"latest": other(3)}, "bad")
    healed = shop.run(4)
    assert (healed.exit_code, healed.prune_problem) == (ExitCode.SUCCESS, None)
    assert healed.is_pruned
    assert healed.prune.remove


def test_when_no_repository_can_be_read_the_input_is_bad(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    outcome = shop.run()
    assert outcome.exit_code is ExitCode.BAD_INPUT
    assert not [key for key in shop.folder.contents if key.startswith("v2/app")]


def test_text_that_cannot_be_written_is_an_error_of_what_holds_it(tmp_path: Path) -> None:
    """An escape such as \\ud800 alone is JSON, but no text: the ledger and the index could not be written."""
    shop = Shop(tmp_path, repositories={"app": "", "bad": ""})
    shop.images({"latest": app(1)})
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image, kind="text/\ud800"))
    shop.layout({"latest": image}, build, "bad")
    outcome = shop.run()
    assert (outcome.exit_code, list(outcome.failed), list(outcome.broken)) == (ExitCode.PARTLY_DONE, [], ["bad"])
    assert "surrogate" in outcome.broken["bad"][0].problem
    shop.check()


def test_a_dry_run_says_what_would_be_and_writes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\ngrace = "1h"\nmax_delete = 1.0')
    for number in range(3):
        shop.images({"latest": app(number)})
        shop.run(number)
    shop.images({"latest": app(3)})
    before = shop.folder.copy()
    planned = shop.dry_run(4)
    assert planned.is_dry
    assert shop.folder.contents == before.contents
    target = RecordingTarget(shop.target)
    done = shop.run(4, target=target)
    puts = [call.key for call in target.calls if call.method == "put"]
    assert {entry.key for entry in planned.writes} <= set(puts)
    assert [job.key for job in planned.plan.jobs] == [made.key for made in done.made]
    assert planned.prune.remove == done.prune.remove


def test_what_the_storage_cannot_promise_is_said_in_every_run_that_writes(tmp_path: Path) -> None:
    class Careless(MemoryFolder):
        @contextmanager
        def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
            with super().lock(now=now, wait=wait) as taken:
                yield replace(taken, caveats=("memory: forgets everything",))

    shop = Shop(tmp_path, target=Careless())
    shop.images({"latest": app(1)})
    for outcome in (shop.run(), shop.run(1), shop.run(1, repair=True), shop.prune(2)):
        assert outcome.notes == ("memory: forgets everything",)
        assert "memory: forgets everything" in publish_text(outcome)


def test_tags_that_a_file_system_takes_for_one_are_refused_there(tmp_path: Path) -> None:
    """A file system that ignores case shows the lock file under both names."""
    shop = Shop(tmp_path, target=DirectoryTarget(tmp_path / "public"), repositories={"app": "", "other": ""})
    shop.images({"Latest": app(1), "latest": app(2)})
    shop.images({"Latest": other(1)}, "other")
    private = tmp_path / "public" / "_deltapress"
    private.mkdir(parents=True)
    (private / "lock").touch()
    (private / "LOCK").hardlink_to(private / "lock")
    outcome = shop.run()
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["app"])
    assert isinstance(outcome.failed["app"], CollisionError)
    assert re.search(r"manifests/Latest and .*manifests/latest are one file", str(outcome.failed["app"]))
    assert not [key for key in contents_of(shop.target) if key.startswith("v2/app/")]
    assert set(Client(contents_of(shop.target)).tags("other")) == {"Latest"}
    (private / "LOCK").unlink()
    assert shop.run().exit_code is ExitCode.SUCCESS
    assert set(Client(contents_of(shop.target)).tags("app")) == {"Latest", "latest"}


def test_a_dry_run_needs_no_lock_and_a_run_waits_for_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    with shop.target.lock(now=night(0), wait=0):
        assert shop.dry_run().writes
        with pytest.raises(LockHeldError):
            shop.run()


@pytest.mark.parametrize(
    "command",
    [
        Shop.run,
        partial(Shop.run, repair=True, force=True),
        Shop.dry_run,
        Shop.prune,
        partial(Shop.reconcile, force=True),
    ],
    ids=["publish", "repair", "plan", "prune", "reconcile"],
)
def test_the_ledger_of_a_newer_program_stops_every_command(tmp_path: Path, command: Callable[..., object]) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    shop.run()
    document = json.loads(shop.folder.contents[LEDGER_KEY])
    shop.folder.contents[LEDGER_KEY] = json.dumps({**document, "schema": SCHEMA + 1}).encode()
    shop.folder.contents[Key("v2/old/tags/list")] = b"stray"
    shop.images({"latest": app(2)})
    before = shop.folder.copy()
    with pytest.raises(
        LedgerError, match=r"has schema \d+, this deltapress knows up to \d+; use the newer one"
    ) as caught:
        command(shop, 1)
    assert caught.value.exit_code is ExitCode.TARGET_FAILED
    assert shop.folder.contents == before.contents


@pytest.mark.parametrize("stores_headers", [True, False], ids=["bucket", "folder"])
def test_foreign_files_outlive_every_command(tmp_path: Path, stores_headers: bool) -> None:
    """Beside ours and among ours, through publishing, pruning, repairs, and a lost ledger."""
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\ngrace = "1h"\nmax_delete = 1.0')
    shop.folder.properties = Properties(stores_headers=stores_headers)
    foreign = dict.fromkeys(
        map(Key, ("robots.txt", "v2/app/blobs/notes.txt", "v2/app/mine", "_deltapress/mine", f"v2/A/blobs/{_ZERO}")),
        b"mine",
    )
    shop.folder.contents |= foreign
    for number in range(8):
        shop.images({"latest": app(number)})
        if number == 5:
            del shop.folder.contents[LEDGER_KEY]
        outcome = shop.run(number, repair=number % 3 == 2, force=True)
        assert outcome.exit_code is ExitCode.SUCCESS
        pruned = shop.prune(number + 0.1)
        shop.reconcile(number + 0.2, force=True)
        assert {key: shop.folder.contents.get(key) for key in foreign} == foreign
        ours = {key: data for key, data in shop.folder.contents.items() if key not in foreign}
        assert problems(ours, None if not stores_headers else shop.folder.headers, at_rest=True) == []
    assert pruned.prune.remove


def test_a_repository_that_left_the_configuration_stays_as_it_is(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='grace = "1h"\nmax_delete = 1.0', repositories={"app": "", "gone": ""})
    for name in shop.repositories:
        shop.images({"1.0": app(1), "2.0": app(2)}, name)
    shop.run()
    before = shop.folder.published()
    del shop.repositories["gone"]
    for number in (1, 2):
        outcome = shop.run(number)
        assert any(note.startswith("gone:") for note in outcome.notes)
    assert shop.folder.published() == before


def test_two_series_want_the_same_pair(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        shop.images({"stable": app(number), "nightly": app(number)})
        outcome = shop.run(number)
    assert len(outcome.made) == 1
    assert len(outcome.savings) == 2
    shop.check()


def test_a_run_says_what_cost_sources(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    content = random.Random(1).randbytes(20_000)
    old = tar(file("bin/app", content), *(pax(file(f"odd{number}", content), path="") for number in range(3)))
    shop.images({"latest": old})
    shop.run(1)
    shop.images({"latest": tar(file("bin/app", content), file("new", b"n"))})
    [line] = [line for line in shop.run(2).notes if "give no sources" in line]
    assert line.startswith(
        f"layer {DiffID.of(old).short}: readers of tars differ about 3 entries of old layers, which "
    )
    assert line.endswith("give no sources: a pax header with an empty 'path' (3)")


def test_a_run_says_why_a_layer_gives_no_deltas_at_all(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    content = random.Random(1).randbytes(20_000)
    shop.images({"latest": tar(file("bin/app", content), Member(path=b"x", type=b"X", data=b"12 path=x/y\n"))})
    shop.run(1)
    shop.images({"latest": tar(file("bin/app", content), file("new", b"n"))})
    [refused] = shop.run(2).refused
    assert refused.refused is not None
    assert "an entry of type 'X', which readers take differently" in refused.refused
