"""Whole runs: retracted deltas are un-listed at once in every format, stay out, and come back with an undo."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger, LedgerError
from pipeline.history.records.images import PlatformRecord
from pipeline.history.removal import RemovalError
from pipeline.history.retraction import RetractionError
from pipeline.keys import LEDGER_KEY, Key
from pipeline.progress import Silent
from pipeline.publish import Outcome
from pipeline.verify import verify

from ..device import ARTIFACT
from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import Shop, app, other, pairs, read_again, stored_ledger

POLICY = 'versions = 2\ngrace = "2d"\nmax_delete = 1.0'


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """`app` has three releases, the last of which two deltas lead into; `team/tool` has a platform beside it."""
    shop = Shop(tmp_path, policy=POLICY, repositories={"app": "", "team/tool": ""})
    shop.images({"1.0": app(0), "1.1": app(1), "1.2": app(2)})
    build = LayoutBuilder()
    shop.layout({f"2.{number}": index_of(build, number) for number in range(2)}, build, "team/tool")
    shop.run()
    assert shop.listed() == pairs((app(0), app(2)), (app(1), app(2)))
    assert len(artifacts(shop, "app")) == len(artifacts(shop, "team/tool")) == 2
    return shop


def index_of(build: LayoutBuilder, number: int) -> Json:
    amd, arm = build.image(other(number)), build.image(other(10 + number), architecture="arm64")
    return build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))


def manifest(shop: Shop, tag: str) -> str:
    record = ledger(shop).repositories["app"]
    return str(record.tags[tag].image)


def platforms(shop: Shop, tag: str) -> list[PlatformRecord]:
    record = ledger(shop).repositories["team/tool"]
    return list(record.images[record.tags[tag].image].platforms)


def ledger(shop: Shop) -> Ledger:
    return stored_ledger(shop.target)


def artifacts(shop: Shop, repository: str) -> set[tuple[str, str]]:
    """The source and the target of each artifact that any listing shows, in referrers or under a tag."""
    found = set()
    for key, data in shop.folder.contents.items():
        if key.startswith((f"v2/{repository}/referrers/", f"v2/{repository}/manifests/sha256-")):
            for entry in json.loads(data)["manifests"]:
                if entry["artifactType"] == ARTIFACT:
                    notes = entry["annotations"]
                    found.add(tuple(notes[f"io.github.containers.delta.{end}"] for end in ("source", "target")))
    return found


def delta_digest(shop: Shop, old: str) -> str:
    [source] = ledger(shop).repositories["app"].images[_digest(shop, old)].platforms
    [digest] = [
        str(delta.digest) for key, delta in ledger(shop).deltas.items() if key.from_diff_id == source.layers[0].diff_id
    ]
    return digest


def _digest(shop: Shop, tag: str) -> Any:
    return ledger(shop).repositories["app"].tags[tag].image


def whole(shop: Shop) -> None:
    shop.check()
    assert verify(shop.target, jobs=1, limits=shop.config.limits, progress=Silent()).problems == ()


def test_all_deltas_go_in_both_formats_and_come_back(shop: Shop) -> None:
    before = shop.folder.copy()
    shutil.rmtree(shop.path / "app")  # nothing of it is looked at
    outcome = shop.retract(None, number=1, is_all=True)
    assert outcome.exit_code is ExitCode.SUCCESS
    [note] = outcome.notes
    assert note.startswith("4 deltas are neither listed nor made, since 2026-01-02 00:00: ")
    assert note.endswith("`deltapress retract --undo --all` takes that back")
    assert shop.listed() == []
    assert artifacts(shop, "app") == artifacts(shop, "team/tool") == set()
    gone = set(before.published()) - set(shop.folder.published())
    assert not gone, "blobs and manifests stay for those who read a listing before"
    rewritten = {key for key, data in before.published().items() if shop.folder.contents[key] != data}
    assert all("/blobs/" not in key and "/manifests/sha256:" not in key for key in rewritten)
    whole(shop)
    assert shop.retract(None, number=1, is_all=True).written.keys == 0
    outcome = shop.retract(None, number=1.5, is_all=True, is_undo=True)
    assert outcome.notes[0].startswith("--all: retracted no longer")
    assert shop.folder.published() == before.published()
    assert ledger(shop).retractions == {}


def test_later_runs_make_nothing_until_it_is_taken_back(shop: Shop) -> None:
    shop.retract("app", number=1)
    shop.images({"1.1": app(1), "1.2": app(2), "1.3": app(3)})
    for number in (2, 4.5):
        plan, outcome = shop.dry_run(number), shop.run(number)
        for said in (plan, outcome):
            assert said.plan.jobs == ()
            assert any("`deltapress retract --undo app` takes that back" in note for note in said.notes)
        assert shop.listed() == []
        assert artifacts(shop, "team/tool"), "the other repository goes on"
        whole(shop)
    assert Key(f"v2/app/blobs/{delta_digest_of(outcome)}") not in shop.folder.contents
    assert shop.run(5).written.keys == 0
    shop.retract("app", number=6, is_undo=True)
    shop.run(6)
    assert shop.listed() == pairs((app(1), app(3)), (app(2), app(3)))
    whole(shop)


def delta_digest_of(outcome: Outcome) -> str:
    return "none" if not outcome.ledger.deltas else str(next(iter(outcome.ledger.deltas.values())).digest)


def test_the_deltas_out_of_one_image_go_alone(shop: Shop) -> None:
    old = manifest(shop, "1.1")
    outcome = shop.retract("app", "1.1", number=1)
    assert shop.listed() == pairs((app(0), app(2)))
    assert artifacts(shop, "app") == {(manifest(shop, "1.0"), manifest(shop, "1.2"))}
    assert f"`deltapress retract --undo app --source {old}` takes that back" in outcome.notes[0], "the tag may move"
    whole(shop)
    shop.retract("app", old, number=1, is_undo=True)
    assert len(shop.listed()) == 2
    shop.retract(None, old, number=1)
    assert shop.listed() == pairs((app(0), app(2))), "in whatever repository"


def test_the_deltas_into_a_tag_go_whatever_it_points_to(shop: Shop) -> None:
    shop.retract("app:1.2", number=1)
    assert shop.listed() == []
    shop.images({"1.0": app(0), "1.1": app(1), "1.2": app(7)})
    shop.run(2)
    assert shop.listed() == []
    shop.images({"1.1": app(1), "1.2": app(7), "1.3": app(3)})
    shop.run(3)
    assert shop.listed() == pairs((app(2), app(3)), (app(7), app(3))), "these lead into another image"
    whole(shop)


def test_an_image_goes_on_every_platform_or_on_one(shop: Shop) -> None:
    [amd, arm] = platforms(shop, "2.1")
    shop.retract(f"team/tool@{amd.manifest}", number=1)
    assert {target for _, target in artifacts(shop, "team/tool")} == {str(arm.manifest)}
    whole(shop)
    index = ledger(shop).repositories["team/tool"].tags["2.1"].image
    shop.retract(f"team/tool@{index}", number=1)
    assert artifacts(shop, "team/tool") == set()
    whole(shop)


def test_one_delta_goes_by_the_digest_of_its_blob(shop: Shop) -> None:
    name = f"app@{delta_digest(shop, '1.0')}"
    shop.retract(name, number=1)
    assert shop.listed() == pairs((app(1), app(2)))
    assert artifacts(shop, "app") == {(manifest(shop, "1.1"), manifest(shop, "1.2"))}
    for number in (2, 5, 8):
        outcome = shop.run(number)
        assert outcome.made == (), "it is not made again when its blob is gone"
    assert Key(f"v2/app/blobs/{name.partition('@')[2]}") not in shop.folder.contents
    shop.retract(name, number=8, is_undo=True)
    shop.run(8)
    assert len(shop.listed()) == 2
    whole(shop)


def test_it_stays_so_under_a_new_name(shop: Shop) -> None:
    shop.retract("app", number=1)
    shop.repositories = {"tool": 'formerly = ["app"]'}
    shop.images({"1.1": app(1), "1.2": app(2), "1.3": app(3)}, "tool")
    assert shop.run(2).made == ()


@pytest.mark.parametrize(
    ("what", "source", "problem"),
    [
        (None, None, "say whose deltas: either --all, or a repository"),
        (None, "1.1", "--source 1.1 is a tag: name the repository that has it, too"),
        ("app", "9.9", "app has no tag 9.9; name the old image by its digest"),
        ("app", "sha256:12", "--source must be the digest or a tag of an image"),
        ("none", None, "there is no repository none in the target"),
        ("app:9.9", None, "app has no tag 9.9"),
        (f"app@sha256:{'0' * 64}", None, "is neither an image nor a delta: name a manifest, an index or a delta's"),
        ("app:1.0", None, "no delta is wanted today that app:1.0 would name. Name the image into which deltas lead"),
        ("app", "1.2", "no delta is wanted today"),
        ("app:1.2", "1.2", "no delta is wanted today"),
    ],
)
def test_what_names_nothing_is_an_error(shop: Shop, what: str | None, source: str | None, problem: str) -> None:
    before = shop.folder.copy()
    with pytest.raises(RetractionError) as raised:
        shop.retract(what, source, number=1)
    assert problem in str(raised.value)
    assert raised.value.exit_code is ExitCode.BAD_CONFIGURATION
    assert shop.folder.contents == before.contents


def test_what_was_not_retracted_cannot_be_taken_back(shop: Shop) -> None:
    shop.retract("team/tool", number=1)
    with pytest.raises(RetractionError, match=r"^app was not retracted; what was retracted: team/tool$"):
        shop.retract("app", number=1, is_undo=True)
    with pytest.raises(RemovalError):
        shop.retract("App", number=1)


def test_a_dry_run_writes_nothing_and_a_lost_ledger_stops_it(shop: Shop) -> None:
    before = shop.folder.copy()
    outcome = shop.retract("app", number=1, is_dry=True)
    assert "2 deltas are neither listed nor made" in outcome.notes[0]
    assert outcome.writes
    assert shop.folder.contents == before.contents
    del shop.folder.contents[LEDGER_KEY]
    with pytest.raises(LedgerError, match="publish"):
        shop.retract("app", number=1)


def test_a_retraction_is_remembered(shop: Shop) -> None:
    shop.retract("app", "1.1", number=1)
    assert read_again(ledger(shop)) == ledger(shop)
    assert len(ledger(shop).retractions) == 1
