"""The ledger's document: what is written is read, and what is wrong is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger, LedgerError
from pipeline.history.records import KeyRecord
from pipeline.history.store import LedgerStore
from pipeline.keys import LEDGER_KEY, Key
from pipeline.oci.digest import Digest
from pipeline.targets.memory import MemoryTarget

from ..layouts.builder import LayoutBuilder, on
from ..runs import Shop, app, night, other
from ..targets.wrappers import RecordingTarget


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """One that has everything: moves, lost tags, subjects, platforms, labels, deltas, refusals, tombstones."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
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
        Key("pending"): KeyRecord(digest=Digest.of(b""), size=1, order=(1, 2), headers="abc", is_pending=True),
        Key("gone"): KeyRecord(digest=Digest.of(b""), size=0, order=(0, 0), unreferenced=night(1.00001)),
    }
    deltas = dict(outcome.ledger.deltas)
    first = min(deltas)
    deltas[first] = replace(deltas[first], digest=None, refused="too large")
    return replace(outcome.ledger.with_keys(keys), deltas=deltas)


def test_what_is_written_is_read(ledger: Ledger) -> None:
    assert Ledger.parse(ledger.serialise()) == ledger
    assert Ledger.parse(ledger.serialise()).serialise() == ledger.serialise()
    assert Ledger.parse(Ledger().serialise()) == Ledger()
    assert ledger.outlines
    assert any(record.below for record in ledger.deltas)


def test_it_is_json_with_one_record_a_line(ledger: Ledger) -> None:
    lines = ledger.serialise().decode().splitlines()
    assert json.loads(ledger.serialise())["schema"] == 2
    records = len(ledger.keys) + len(ledger.deltas) + len(ledger.outlines) + len(ledger.repositories)
    assert records < len(lines) < records + 20


def test_the_order_in_which_things_were_first_seen_survives(ledger: Ledger) -> None:
    before, after = ledger.repositories["app"], Ledger.parse(ledger.serialise()).repositories["app"]
    assert list(after.tags) == list(before.tags) == ["latest", "lost0", "lost1", "lost2"]
    assert list(after.images) == list(before.images)


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
        (_set("repositories", "app", "tags", "latest", value={}), "repositories.app.tags.latest.moves"),
        (_set("repositories", "app", "tags", "latest", "moves", 0, "image", value="x"), "moves[0].image"),
        (_set("repositories", "app", "tags", "latest", "moves", 0, "since", value="noon"), "moves[0].since"),
        (
            _set("repositories", "app", "tags", "latest", "moves", 0, "since", value="2024-01-01"),
            "a time with a time zone",
        ),
        (_set("repositories", "app", "images", 0, "documents", value=[]), "images[0].documents"),
        (_set("repositories", "app", "rules", "maxRatio", value="0.9"), "repositories.app.rules.maxRatio"),
        (_set("repositories", "app", "rules", "maxRatio", value=2), "rules.maxRatio: is no share"),
        (_set("repositories", "app", "rules", "grace", value=1 << 62), "rules.grace: is more than a time can be"),
        (_set("repositories", "app", "rules", "scopes", value=[7]), "rules.scopes[0]"),
        (_set("removals", value={"app:1": {"since": "2026-01-01T00:00:00Z"}}), "removals.app:1.taken"),
        (_set("deltas", 0, "from", value="sha256:0"), "deltas[0].from"),
        (_set("deltas", 0, "size", value=-1), "deltas[0].size"),
        (_set("keys", "gone", value=None), "keys.gone"),
        (_set("keys", "gone", "digest", value=7), "keys.gone.digest"),
        (_set("outlines", value={"sha256:0": []}), "outlines.sha256:0"),
    ],
    ids=str,
)
def test_a_damaged_record_is_named(ledger: Ledger, change: Callable[[Any], None], where: str) -> None:
    document = json.loads(ledger.serialise())
    change(document)
    with pytest.raises(LedgerError) as caught:
        Ledger.parse(json.dumps(document).encode())
    assert where in str(caught.value)
    assert str(caught.value).startswith("_deltapress/ledger.json: ")
    assert not caught.value.is_newer
    assert caught.value.exit_code is ExitCode.TARGET_FAILED


def test_every_cut_is_an_error(ledger: Ledger) -> None:
    raw = ledger.serialise()
    for end in range(0, len(raw) - 2, 97):
        with pytest.raises(LedgerError):
            Ledger.parse(raw[:end])


def test_a_newer_schema_is_told_apart() -> None:
    with pytest.raises(LedgerError, match="schema 4") as caught:
        Ledger.parse(b'{"schema": 4}')
    assert caught.value.is_newer


def test_the_store_writes_only_what_changed(ledger: Ledger) -> None:
    target = RecordingTarget(MemoryTarget())
    assert LedgerStore(target).load() is None
    store = LedgerStore(target)
    assert store.save(ledger)
    assert not store.save(Ledger.parse(ledger.serialise()))
    again = LedgerStore(target)
    assert again.load() == ledger
    assert not again.save(ledger)
    assert again.save(ledger.without_keys([Key("gone")]))
    assert [call.key for call in target.calls if call.method == "put"] == [LEDGER_KEY] * 2


def test_pending_keys_keep_what_is_known_of_them(ledger: Ledger) -> None:
    pending = ledger.with_pending([Key("gone")])
    assert pending.keys[Key("gone")] == replace(ledger.keys[Key("gone")], is_pending=True)
    assert ledger.without_keys([Key("gone")]).keys.keys() == ledger.keys.keys() - {"gone"}


def test_a_ledger_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    shop.run()
    monkeypatch.setattr("pipeline.history.store.MAX_LEDGER_SIZE", 10)
    with pytest.raises(Exception, match="more than 10 bytes"):
        LedgerStore(shop.target).load()
