"""The ledger's document: what is written is read, and what is wrong is named."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger, LedgerError
from pipeline.history.records.deltas import DeltaKey, DeltaRecord, RetractionRecord
from pipeline.history.records.keys import KeyRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.store import LedgerStore, load_ledger
from pipeline.keys import LEDGER_KEY, Key, blob_key, repository_of
from pipeline.oci.digest import DiffID, Digest
from pipeline.targets.base import Target
from pipeline.targets.memory import MemoryTarget

from ..crash.points import deaths
from ..layouts.builder import LayoutBuilder, on
from ..runs import MemoryFolder, Shop, app, change_document, document_key, night, other, read_again, stored_ledger
from ..targets.wrappers import FAILURE_MODES, RecordingTarget
from .old_ledgers import whole


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """One that has everything: moves, lost tags, subjects, platforms, labels, remotes, deltas, refusals, tombstones."""
    site = '[flatpak]\nname = "ours"\nurl = "https://example.org"\ntitle = "ö\\u2028"'
    shop = Shop(tmp_path_factory.mktemp("shop"), policy="delta_url = true", site=site)
    labels = {"org.flatpak.ref": "app/ö/x/y", "org.flatpak.metadata": "[x]"}
    for number in range(3):
        build = LayoutBuilder()
        amd = build.image(other(0), app(number), labels=labels, created="2024-02-29T12:00:00.5+02:00")
        arm = build.image(app(50 + number), architecture="arm", variant="v7", os="linux")
        index = build.index({**on(amd, "linux/amd64"), "annotations": {"a": "ü"}}, on(arm, "linux/arm/v7"))
        build.entry(build.artifact(subject=index))
        shop.layout({"latest": index, f"lost{number}": arm}, build)
        outcome = shop.run(number / 3)
    keys = {
        Key("v2/app/blobs/" + str(Digest.of(b"gone"))): KeyRecord(digest=Digest.of(b""), size=0, order=(0, 0)),
        Key("pending"): KeyRecord(digest=Digest.of(b""), size=1, order=(1, 2), headers="abc", is_pending=True),
        Key("gone"): KeyRecord(digest=Digest.of(b""), size=0, order=(0, 0), unreferenced=night(1.00001)),
    }
    deltas = dict(outcome.ledger.deltas)
    first = min(deltas)
    deltas[first] = replace(deltas[first], digest=None, refused="too large")
    retractions = {
        "--all": RetractionRecord(since=night(1)),
        f"app@{Digest.of(b'')}": RetractionRecord(since=night(2), deltas=(first,)),
    }
    return replace(outcome.ledger.with_keys(keys), deltas=deltas, retractions=retractions)


def test_what_is_written_is_read(ledger: Ledger) -> None:
    assert read_again(ledger) == ledger
    assert read_again(Ledger()) == Ledger()
    assert ledger.outlines
    assert any(record.below for record in ledger.deltas)
    assert ledger.remotes["ours"].remote.title == "ö\u2028"


def test_the_same_ledger_gives_the_same_bytes(ledger: Ledger) -> None:
    one, two = MemoryTarget(), MemoryTarget()
    LedgerStore(one).save(ledger)
    LedgerStore(two).save(stored_ledger(one))
    assert one.contents == two.contents


def test_it_is_json_with_one_record_a_line(ledger: Ledger) -> None:
    target = MemoryTarget()
    LedgerStore(target).save(ledger)
    root, part = target.contents[LEDGER_KEY], target.contents[document_key(target, "app")]
    assert json.loads(root)["schema"] == 4
    assert json.loads(part)["repository"] == "app"
    records = len(ledger.keys) + len(ledger.deltas) + len(ledger.outlines) + len(ledger.repositories)
    records += len(ledger.remotes)
    assert records < len(root.splitlines()) + len(part.splitlines()) < records + 25


def test_the_order_in_which_things_were_first_seen_survives(ledger: Ledger) -> None:
    before, after = ledger.repositories["app"], read_again(ledger).repositories["app"]
    assert list(after.tags) == list(before.tags) == ["latest", "lost0", "lost1", "lost2"]
    assert list(after.images) == list(before.images)


@pytest.mark.parametrize("schema", [1, 2, 3])
def test_a_ledger_in_one_document_is_read_and_divided_when_something_is_written(ledger: Ledger, schema: int) -> None:
    target = MemoryTarget()
    target.contents[LEDGER_KEY] = whole(ledger, schema)
    found = stored_ledger(target)
    if schema > 1:
        assert found == replace(ledger, remotes={}, retractions=ledger.retractions if schema == 3 else {})
    assert found.keys == ledger.keys
    store = LedgerStore(target)
    assert store.load() is not None
    assert store.save(found)
    assert json.loads(target.contents[LEDGER_KEY])["repositories"].keys() == {"app"}
    assert stored_ledger(target) == found


def _set(*path: str | int, value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for part in path[:-1]:
            document = document[part]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_set("schema", value="1"), "schema"),
        (_set("repositories", value=[]), "repositories"),
        (_set("repositories", "app", "document", value="x"), "repositories.app.document"),
        (_set("renewed", value="noon"), "renewed"),
        (_set("keys", "gone", value=None), "keys.gone"),
    ],
    ids=str,
)
def test_a_damaged_root_is_named(ledger: Ledger, change: Callable[[Any], None], where: str) -> None:
    target = MemoryTarget()
    LedgerStore(target).save(ledger)
    document = json.loads(target.contents[LEDGER_KEY])
    change(document)
    target.contents[LEDGER_KEY] = json.dumps(document).encode()
    with pytest.raises(LedgerError) as caught:
        LedgerStore(target).load()
    assert where in str(caught.value)
    assert str(caught.value).startswith("_deltapress/ledger.json: ")
    assert not caught.value.is_newer
    assert caught.value.exit_code is ExitCode.TARGET_FAILED


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (_set("repository", value="other"), "repository: is 'other'"),
        (_set("record", "tags", "latest", value={}), "record.tags.latest.moves"),
        (_set("record", "tags", "latest", "moves", 0, "image", value="x"), "moves[0].image"),
        (_set("record", "tags", "latest", "moves", 0, "since", value="noon"), "moves[0].since"),
        (_set("record", "tags", "latest", "moves", 0, "since", value="2024-01-01"), "a time with a time zone"),
        (_set("record", "images", 0, "documents", value=[]), "images[0].documents"),
        (_set("record", "rules", "maxRatio", value="0.9"), "record.rules.maxRatio"),
        (_set("record", "rules", "maxRatio", value=2), "rules.maxRatio: is no share"),
        (_set("record", "rules", "grace", value=1 << 62), "rules.grace: is more than a time can be"),
        (_set("record", "rules", "scopes", value=[7]), "rules.scopes[0]"),
        (_set("removals", value={"app:1": {"since": "2026-01-01T00:00:00Z"}}), "removals.app:1.taken"),
        (_set("deltas", 0, "from", value="sha256:0"), "deltas[0].from"),
        (_set("deltas", 0, "size", value=-1), "deltas[0].size"),
        (_set("keys", "v2/app/gone", value=None), "keys.v2/app/gone"),
        (_set("keys", "v2/app/gone", value={"digest": 7}), "keys.v2/app/gone.digest"),
        (_set("outlines", value={"sha256:0": []}), "outlines.sha256:0"),
    ],
    ids=str,
)
def test_a_damaged_record_is_named(ledger: Ledger, change: Callable[[Any], None], where: str) -> None:
    target = MemoryTarget()
    LedgerStore(target).save(ledger)
    change_document(target, "app", change)
    stored = LedgerStore(target).load()
    assert stored is not None
    assert stored.bad.keys() == {"app"}
    assert stored.bad["app"].startswith(f"{document_key(target, 'app')}: cannot be read: ")
    assert where in stored.bad["app"]
    assert stored.ledger.repositories == {}
    assert stored.ledger.keys.keys() == {key for key in ledger.keys if repository_of(key) is None}


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"\xff", b" " * 100])
def test_a_document_that_is_not_what_the_root_names_is_named(ledger: Ledger, damage: bytes | None) -> None:
    target = MemoryTarget()
    both = replace(ledger, repositories={**ledger.repositories, "other": ledger.repositories["app"]})
    LedgerStore(target).save(both)
    key = document_key(target, "app")
    if damage is None:
        del target.contents[key]
    else:
        target.contents[key] = damage
    stored = load_ledger(target)
    assert stored is not None
    assert list(stored.bad) == ["app"]
    assert str(key) in stored.bad["app"]
    assert ("is not in the target" if damage is None else "have another digest") in stored.bad["app"]
    assert stored.ledger.repositories == {"other": ledger.repositories["app"]}


def test_every_cut_is_an_error(ledger: Ledger) -> None:
    target = MemoryTarget()
    LedgerStore(target).save(ledger)
    for key, raw in list(target.contents.items()):
        for end in range(0, len(raw) - 2, 97):
            target.contents[key] = raw[:end]
            try:
                stored = LedgerStore(target).load()
            except LedgerError:
                assert key == LEDGER_KEY
            else:
                assert stored is not None
                assert stored.bad
        target.contents[key] = raw


def test_a_newer_schema_is_told_apart() -> None:
    target = MemoryTarget()
    target.contents[LEDGER_KEY] = b'{"schema": 5}'
    with pytest.raises(LedgerError, match="schema 5") as caught:
        LedgerStore(target).load()
    assert caught.value.is_newer


def _many(ledger: Ledger, count: int) -> Ledger:
    return Ledger(repositories={f"app{number}": ledger.repositories["app"] for number in range(count)})


def _puts(target: RecordingTarget) -> list[str]:
    return [str(call.key) for call in target.calls if call.method == "put"]


def test_the_store_writes_only_what_changed(ledger: Ledger) -> None:
    folder = MemoryTarget()
    target = RecordingTarget(folder)
    assert LedgerStore(target).load() is None
    store = LedgerStore(target)
    many = _many(ledger, 5)
    assert store.save(many)
    assert not store.save(read_again(many))
    again = LedgerStore(target)
    stored = again.load()
    assert stored is not None
    assert stored.ledger == many
    target.calls.clear()
    assert not again.save(many)
    assert _puts(target) == []
    old = document_key(folder, "app3")
    changed = {**many.repositories, "app3": replace(ledger.repositories["app"], rules=None)}
    assert again.save(replace(many, repositories=changed))
    assert _puts(target) == ["_deltapress/ledger/journal/1", document_key(folder, "app3"), LEDGER_KEY]
    assert [call.key for call in target.calls if call.method == "delete"] == [old, "_deltapress/ledger/journal/1"]
    assert folder.contents.keys() == again.keys
    target.calls.clear()
    assert again.save(again_without(changed, many))
    assert _puts(target) == ["_deltapress/ledger/journal/1", LEDGER_KEY]
    assert len(folder.contents) == 5


def again_without(changed: Mapping[str, RepositoryRecord], many: Ledger) -> Ledger:
    return replace(many, repositories={name: record for name, record in changed.items() if name != "app3"})


def _delta(number: int) -> DeltaRecord:
    ends = [DiffID.of(b"%d" % end) for end in (number, number + 1)]
    return DeltaRecord(
        key=DeltaKey(from_diff_id=ends[0], to_diff_id=ends[1]),
        generator="tar-diff 1",
        options="default",
        size=number,
        digest=Digest.of(b"delta %d" % number),
    )


def test_a_delta_costs_one_small_write(ledger: Ledger) -> None:
    target = RecordingTarget(MemoryTarget())
    store = LedgerStore(target)
    store.save(_many(ledger, 20))
    target.calls.clear()
    for number in range(1, 50):
        store.note(_delta(number), ["team/app"])
    assert [call.method for call in target.calls] == ["put"] * 49
    assert max(call.size for call in target.calls) < 400


def test_what_the_journal_says_is_known_and_its_blobs_are_pending(ledger: Ledger) -> None:
    target = MemoryTarget()
    store = LedgerStore(target)
    store.save(ledger)
    known = next(record for record in ledger.deltas.values() if record.digest is not None)
    store.note(_delta(1), ["app", "other"])
    store.note(replace(_delta(2), digest=None, refused="too large"), [])
    store.note(known, ["app"])
    found = LedgerStore(target).load()
    assert found is not None
    assert found.ledger.deltas.keys() == ledger.deltas.keys() | {_delta(1).key, _delta(2).key}
    new = [blob_key(name, Digest.of(b"delta 1")) for name in ("app", "other")]
    assert found.ledger.keys.keys() == ledger.keys.keys() | set(new)
    assert all(found.ledger.keys[key].is_pending for key in new)
    again = blob_key("app", known.digest or Digest.of(b""))
    assert found.ledger.keys[again] == replace(ledger.keys[again], is_pending=True)


def test_the_journal_is_folded_in_and_goes(ledger: Ledger) -> None:
    target = MemoryTarget()
    store = LedgerStore(target)
    store.save(ledger)
    for number in range(1, 4):
        store.note(_delta(number), ["app"])
    after = LedgerStore(target)
    stored = after.load()
    assert stored is not None
    after.note(_delta(4), ["app"])  # a run goes on where another died
    assert after.save(read_again(stored.ledger.with_keys({})))
    assert target.contents.keys() == after.keys == {LEDGER_KEY, document_key(target, "app")}
    assert stored_ledger(target) == stored.ledger


def test_a_store_that_dies_at_any_call_leaves_the_old_state_or_the_new_one_and_no_litter(ledger: Ledger) -> None:
    before = MemoryFolder()
    store = LedgerStore(before)
    old = replace(_many(ledger, 3), keys=ledger.keys)
    store.save(old)
    store.note(_delta(1), ["app0"])
    told = stored_ledger(before)
    new = told.without_keys([Key("gone")])
    new = replace(new, repositories={**new.repositories, "app1": replace(new.repositories["app1"], rules=None)})
    new = replace(new, repositories={name: record for name, record in new.repositories.items() if name != "app2"})

    def run(target: Target) -> None:
        again = LedgerStore(target)
        assert again.load() is not None
        again.save(new)

    undisturbed = before.copy()
    run(undisturbed)
    points = 0
    for death in chain.from_iterable(deaths(before, run, mode) for mode in FAILURE_MODES):
        points += 1
        assert stored_ledger(death.folder) in (told, new), death
        after = LedgerStore(death.folder)
        assert after.load() is not None
        after.note(_delta(2), ["app0"])
        after.save(new)
        assert death.folder.contents == undisturbed.contents, death
    assert points > 20


def test_a_reader_without_a_lock_sees_one_state(ledger: Ledger) -> None:
    """A publisher replaces what is being read: then it is read again."""
    folder = MemoryTarget()
    publisher = LedgerStore(folder)
    publisher.save(_many(ledger, 3))
    new = _many(ledger, 2)

    class Busy(RecordingTarget):
        def open(self, key: Key) -> BinaryIO:
            stream = super().open(key)
            if key == LEDGER_KEY:
                publisher.save(new)
            return stream

    assert stored_ledger(Busy(folder)) == new


def test_pending_keys_keep_what_is_known_of_them(ledger: Ledger) -> None:
    pending = ledger.with_pending([Key("gone")])
    assert pending.keys[Key("gone")] == replace(ledger.keys[Key("gone")], is_pending=True)
    assert ledger.without_keys([Key("gone")]).keys.keys() == ledger.keys.keys() - {"gone"}


def test_a_root_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    shop.run()
    monkeypatch.setattr("pipeline.history.store.MAX_ROOT_SIZE", 10)
    with pytest.raises(Exception, match="more than 10 bytes"):
        LedgerStore(shop.target).load()
