"""What is marked, what is planned, what is deleted, and in which order."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import publish
from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaKey, DeltaRecord
from pipeline.history.records.keys import KeyRecord
from pipeline.keys import LEDGER_KEY, Key, Phase
from pipeline.oci.digest import DiffID, Digest
from pipeline.progress import Silent
from pipeline.publish.prune import PrunePlan, TooMuchError, check_share, forget_deltas, mark, plan_prune, unmark
from pipeline.tree.static import Tree, blob_entry

from ..client import Client, deltas_of, problems
from ..runs import Shop, app, deleted, night
from ..targets.wrappers import RecordingTarget

DAY = timedelta(days=1)
POLICY = 'versions = 1\nkeep = 2\ngrace = "3d"\nmax_delete = 1.0'


def ledger(**since: float | None) -> Ledger:
    """Keys by name, each with the night since which nothing leads to it."""
    record = KeyRecord(digest=Digest.of(b""), size=10, order=(int(Phase.BLOBS), 0))
    return Ledger(
        keys={
            Key(name): replace(record, unreferenced=None if number is None else night(number))
            for name, number in since.items()
        }
    )


def removed(plan: PrunePlan) -> list[str]:
    return [stone.key for stone in plan.remove]


def test_marking_notes_since_when_and_forgives_what_comes_back() -> None:
    before = ledger(a=None, b=1, c=2)
    after = mark(before, Tree(), now=night(5))
    assert {key: record.unreferenced for key, record in after.keys.items()} == {
        "a": night(5),
        "b": night(1),
        "c": night(2),
    }
    assert mark(after, Tree(), now=night(6)) is after


def test_what_the_tree_has_again_is_forgiven_at_once() -> None:
    before = ledger(a=None, b=1, c=2)
    entry = blob_entry("app", Digest.of(b""), 0)
    after = unmark(before, Tree(entries={Key("b"): entry, Key("a"): entry}))
    assert {key: record.unreferenced for key, record in after.keys.items()} == {"a": None, "b": None, "c": night(2)}
    assert unmark(after, Tree(entries={Key("b"): entry})) is after


@pytest.mark.parametrize(("now", "gone"), [(3.9, []), (4, ["a"]), (5, ["a", "b"])])
def test_the_grace_period_is_waited_for(now: float, gone: list[str]) -> None:
    plan = plan_prune(ledger(a=1, b=2, c=None), lambda _: 3 * DAY, now=night(now))
    assert removed(plan) == gone
    assert {stone.key for stone in plan.waiting} == {"a", "b"} - set(gone)
    assert (plan.total, plan.size, plan.share) == (3, 10 * len(gone), len(gone) / 3)


def test_no_grace_means_no_waiting_but_not_in_the_same_run() -> None:
    assert removed(plan_prune(ledger(a=1), lambda _: 0 * DAY, now=night(1))) == []
    assert removed(plan_prune(ledger(a=1), lambda _: 0 * DAY, now=night(1.01))) == ["a"]


def test_each_key_has_the_grace_of_its_repository() -> None:
    plan = plan_prune(ledger(a=1, b=1), lambda key: DAY if key == "a" else 9 * DAY, now=night(5))
    assert removed(plan) == ["a"]


def test_deleting_is_writing_backwards() -> None:
    orders = {"blob": (1, 0), "image": (2, 0), "index": (2, 1), "referrers": (3, 0), "tag": (5, 0), "list": (6, 0)}
    record = KeyRecord(digest=Digest.of(b""), size=1, order=(0, 0), unreferenced=night(0))
    known = Ledger(keys={Key(name): replace(record, order=order) for name, order in orders.items()})
    plan = plan_prune(known, lambda _: DAY, now=night(9))
    assert removed(plan) == ["list", "tag", "referrers", "index", "image", "blob"]


def test_more_than_the_share_is_too_much() -> None:
    plan = plan_prune(ledger(a=1, b=1, c=None, d=None), lambda _: DAY, now=night(5))
    check_share(plan, 0.5)
    with pytest.raises(TooMuchError, match=r"2 of 4 keys, more than max_delete = 0\.49.*--force"):
        check_share(plan, 0.49)


def test_delta_records_go_with_their_bytes() -> None:
    def delta(name: str, *, stored: bool) -> DeltaRecord:
        key = DeltaKey(from_diff_id=DiffID.of(b"old"), to_diff_id=DiffID.of(name.encode()))
        digest = Digest.of(b"stored" if stored else b"gone")
        return DeltaRecord(key=key, generator="", options="", size=7, digest=digest)

    records = [
        delta("wanted", stored=True),
        delta("lost", stored=False),
        delta("old", stored=True),
        delta("x", stored=False),
    ]
    keys = {Key("a"): KeyRecord(digest=Digest.of(b"stored"), size=7, order=(1, 0))}
    before = Ledger(deltas={record.key: record for record in records}, keys=keys)
    after = forget_deltas(before, [records[0].key, records[1].key])
    # one that is still wanted keeps its size: made again only when it would be listed
    assert list(after.deltas.values()) == [records[0], replace(records[1], digest=None), records[2]]
    assert forget_deltas(after, [records[0].key, records[1].key]) is after


def nights(shop: Shop, count: int, *, start: int = 0) -> publish.Outcome:
    for number in range(start, count):
        shop.images({"latest": app(number)})
        outcome = shop.run(number)
    return outcome


def test_an_image_beyond_keep_and_its_delta_go_after_the_grace(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    nights(shop, 2)
    [delta] = deltas_of(shop.folder.contents, "app")
    blob = Key(f"v2/app/blobs/{delta.digest}")
    old = set(shop.folder.published())
    nights(shop, 3, start=2)
    assert delta not in deltas_of(shop.folder.contents, "app")
    assert shop.run(4.9).prune.remove == ()
    assert old <= set(shop.folder.published())
    outcome, target = shop.watched_run(5)
    assert blob in {stone.key for stone in outcome.prune.remove}
    gone = old - set(shop.folder.published())
    assert blob in gone
    # the first image: its manifest, layer and config; its referrers, typed copy and sidecar; the same of the delta and
    # of the artifact, for which the manifest of its target was a blob, too
    assert len([key for key in gone if "/blobs/" in key]) == 4
    assert len([key for key in gone if "/manifests/sha256:" in key and key.startswith("v2")]) == 3
    deletes = deleted(target)
    assert {*deletes} == {*gone}
    assert min(index for index, key in enumerate(deletes) if "/blobs/" in key) > max(
        index for index, key in enumerate(deletes) if "/manifests/" in key
    )
    assert shop.prune(5, is_dry=True).prune == PrunePlan(total=len(outcome.ledger.keys))


def test_what_comes_back_within_the_grace_is_not_written_again(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    nights(shop, 3)
    shop.images({"latest": app(0)})
    target = RecordingTarget(shop.target)
    shop.run(4, target=target)
    assert not [
        call.key for call in target.calls if call.method == "put" and "/blobs/" in str(call.key) and call.size > 1000
    ]
    outcome = shop.run(30)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert problems(shop.folder.contents, at_rest=True) == []


def test_too_much_is_not_deleted_without_force(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY.replace("1.0", "0.05"))
    nights(shop, 3)
    before = shop.folder.published()
    outcome = shop.run(9)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert outcome.prune_problem is not None
    assert "--force" in outcome.prune_problem
    assert shop.folder.published() == before
    assert outcome.prune.remove
    forced = shop.run(9, force=True)
    assert (forced.exit_code, forced.is_pruned) == (ExitCode.SUCCESS, True)
    assert set(shop.folder.published()) == set(before) - {stone.key for stone in outcome.prune.remove}


def test_without_pruning_nothing_is_deleted_and_nothing_is_wrong(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY.replace("1.0", "0.05"))
    nights(shop, 3)
    before = shop.folder.published()
    outcome = shop.run(9, prune=False)
    assert (outcome.exit_code, outcome.is_pruned) == (ExitCode.SUCCESS, False)
    assert outcome.prune.remove
    assert shop.folder.published() == before


def test_the_prune_command_deletes_what_a_run_would_and_its_dry_run_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    nights(shop, 3)
    before = shop.folder.copy()
    settings = publish.Settings(now=night(9), jobs=1, memory=1 << 30)
    dry = publish.prune(shop.config, shop.target, settings, is_dry=True, progress=Silent())
    assert (dry.is_dry, dry.is_pruned) == (True, False)
    assert shop.folder.contents == before.contents
    done = publish.prune(shop.config, shop.target, settings, is_dry=False, progress=Silent())
    assert done.prune == dry.prune
    assert done.is_pruned
    shop.run(9, target=before)
    assert shop.folder.published() == before.published()
    assert problems(shop.folder.contents, at_rest=True) == []


def test_only_what_the_ledger_knows_is_deleted(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    nights(shop, 3)
    mine = {Key("v2/app/blobs/notes.txt"), Key("robots.txt"), Key("v2/another/manifests/latest")}
    shop.folder.contents |= dict.fromkeys(mine, b"mine")
    shop.run(9)
    shop.run(20, force=True)
    assert {shop.folder.contents.get(key) for key in mine} == {b"mine"}


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema": 1}', b"\xff"])
def test_a_damaged_ledger_deletes_nothing(tmp_path: Path, damage: bytes) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    nights(shop, 3)
    before = set(shop.folder.published())
    shop.folder.contents[LEDGER_KEY] = damage
    outcome = shop.run(30)
    assert set(shop.folder.published()) >= before
    assert any("rebuilt" in note for note in outcome.notes)


def test_what_retention_holds_is_published_for_so_long(tmp_path: Path) -> None:
    """A layout that is overwritten every night with another tag; a release, a pinned one, and ten days for the rest."""
    policy = f'{POLICY}\nkeep_tags = ["v*"]\nkeep_for = "10d"'
    shop = Shop(tmp_path, policy=policy, repositories={"app": 'pins = ["nightly-1", "no-such-tag"]'})
    for number in range(30):
        shop.images({"v1.0" if number == 4 else f"nightly-{number}": app(number)})
        outcome, _ = shop.watched_run(number) if number > 24 else (shop.run(number), None)
        tags = Client(shop.folder.contents).tags("app")
        assert f"nightly-{max(0, number - 9)}" in tags or number == 13
        assert ("nightly-3" in tags) == (3 <= number < 14)
        assert ("nightly-1" in tags) == (number >= 1)
        assert ("v1.0" in tags) == (number >= 4)
    assert any("pin no-such-tag" in note for note in outcome.notes)
    assert len(tags) == 2 + 11
