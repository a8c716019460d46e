"""What a lost ledger's tree still tells."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger, LedgerError
from pipeline.history.records.images import ImageRecord
from pipeline.keys import LEDGER_KEY, Key, repository_of
from pipeline.oci.digest import Digest
from pipeline.publish.rebuild import rebuild

from ..client import problems, without_times
from ..layouts.builder import LayoutBuilder, on
from ..runs import Shop, app, deleted, document_key, night, other
from ..targets.wrappers import RecordingTarget


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, policy='versions = 3\ngrace = "1h"\nmax_delete = 1.0')


def rebuilt(shop: Shop, number: float = 9) -> Ledger:
    del shop.folder.contents[LEDGER_KEY]
    return rebuild(shop.target, now=night(number))


def _dated(shop: Shop, number: int, *, tag: str = "latest") -> str:
    build = LayoutBuilder()
    image = build.image(other(0), app(number), created=f"2025-01-0{number + 1}T00:00:00Z")
    index = build.index(on(image, "linux/amd64"), build.attestation(image))
    build.entry(build.artifact(subject=index, data=b"%d" % number))
    shop.layout({tag: index}, build)
    return str(index["digest"])


def _as_if_unread(image: ImageRecord) -> ImageRecord:
    """How its layers are compressed, a rebuild does not look."""
    return replace(
        image,
        platforms=tuple(
            replace(platform, layers=tuple(replace(layer, is_one_member=False) for layer in platform.layers))
            for platform in image.platforms
        ),
    )


def test_the_history_of_the_only_tag_is_guessed_from_the_dates(shop: Shop) -> None:
    digests = []
    for number in (0, 1, 2):
        digests.append(_dated(shop, number))
        shop.run(number / 100)
    known = shop.run(0.5).ledger.repositories["app"]
    record = rebuilt(shop).repositories["app"]
    assert [str(move.image) for move in record.tags["latest"].moves] == digests
    assert record.images == {digest: _as_if_unread(image) for digest, image in known.images.items()}


def test_with_several_tags_each_is_where_it_is(shop: Shop) -> None:
    for number in (1, 2):
        shop.images({"latest": app(number), "stable": app(0)})
        shop.run(number / 100)
    record = rebuilt(shop).repositories["app"]
    images = {tag: LayoutBuilder().image(app(number))["digest"] for tag, number in (("latest", 2), ("stable", 0))}
    assert {tag: str(known.image) for tag, known in record.tags.items()} == images
    assert not any(known.has_moved for known in record.tags.values())


def test_signatures_that_cosign_names_by_their_image_are_no_history(shop: Shop) -> None:
    for number in (1, 2):
        build = LayoutBuilder()
        image = build.image(app(number))
        name = f"{image['digest'].replace(':', '-')}.sig"
        shop.layout({"latest": image, name: build.image(other(number))}, build)
        known = shop.run(number / 100).ledger.repositories["app"]
    record = rebuilt(shop).repositories["app"]
    assert {tag: known.image for tag, known in record.tags.items()} == {
        tag: known.image for tag, known in known.tags.items()
    }
    assert len(record.tags) == 3
    assert {move.image for move in record.tags["latest"].moves} == {move.image for move in known.tags["latest"].moves}


def test_keys_that_change_are_doubted_and_the_others_are_known(shop: Shop) -> None:
    _dated(shop, 1)
    before = shop.run().ledger
    after = rebuilt(shop)
    assert after.keys.keys() == before.keys.keys()
    for key, record in after.keys.items():
        is_content = key.startswith("v2/") and ("/blobs/" in key or "/manifests/sha256:" in key)
        assert record.is_pending != is_content, key
        if is_content:
            assert record == before.keys[key]  # an index ranks above what it holds: it will be deleted before that
    assert after.deltas == {}


def test_what_others_put_there_stays_unknown(shop: Shop) -> None:
    _dated(shop, 1)
    shop.run()
    mine = {Key("robots.txt"), Key("v2/app/notes"), Key("files/blobs"), Key("_deltapress/notes")}
    shop.folder.contents |= dict.fromkeys(mine, b"mine")
    assert not mine & rebuilt(shop).keys.keys()


@pytest.mark.parametrize("damage", [b"", b"{}", b"[" * 100_000, b"\xff\x00", b" " * 5_000_000])
def test_a_broken_image_is_left_out_and_its_keys_are_known(shop: Shop, damage: bytes) -> None:
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    broken = LayoutBuilder().image(app(1))["digest"]
    key = Key(f"v2/app/manifests/{broken}")
    shop.folder.contents[key] = damage
    after = rebuilt(shop)
    assert Digest.parse(broken) not in after.repositories["app"].images
    assert list(after.repositories["app"].tags) == ["2.0"]
    assert key in after.keys


def test_an_empty_target_gives_an_empty_ledger(shop: Shop) -> None:
    assert rebuild(shop.target, now=night(0)) == Ledger()


def test_a_rebuilt_tree_is_pruned_again_after_the_grace(shop: Shop) -> None:
    for number in (0, 1):
        _dated(shop, number)
        shop.run(number / 100)
    del shop.folder.contents[LEDGER_KEY]
    _dated(shop, 2)
    first = shop.run(3)
    assert not first.prune.remove
    later = shop.run(3 + timedelta(hours=2) / timedelta(days=1))
    assert later.is_pruned
    assert shop.run(9).written.keys == 0


@pytest.mark.parametrize("lose", ["lost", "damaged"])
def test_a_lost_ledger_is_rebuilt_and_nothing_is_deleted(tmp_path: Path, lose: str) -> None:
    shop = Shop(tmp_path, policy='versions = 3\ngrace = "1h"\nmax_delete = 1.0')
    for number in range(4):
        build = LayoutBuilder()
        image = build.image(app(number), created=f"2025-01-0{number + 1}T00:00:00Z")
        build.entry(build.artifact(subject=image, data=b"%d" % number))
        shop.layout({"latest": image}, build)
        shop.run(number / 100)
    before = shop.folder.published()
    listed = shop.listed()
    if lose == "lost":
        del shop.folder.contents[LEDGER_KEY]
    else:
        shop.folder.contents[LEDGER_KEY] = shop.folder.contents[LEDGER_KEY][:1000]
    outcome, target = shop.watched_run(5)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert any("rebuilt" in note for note in outcome.notes)
    assert deleted(target) == []
    assert len(outcome.made) == 3
    assert set(before) <= set(shop.folder.published())
    # since when a tag is where it is nobody remembers
    assert without_times({key: shop.folder.contents[key] for key in before}) == without_times(before)
    assert shop.listed() == listed
    shop.check()
    assert shop.run(6).made == ()
    shop.check()


@pytest.mark.parametrize("damage", [None, b"{}"], ids=["lost", "damaged"])
def test_of_a_repository_whose_document_is_bad_the_tree_tells_and_the_others_go_on(
    tmp_path: Path, damage: bytes | None
) -> None:
    policy = 'versions = 1\nkeep = 2\ngrace = "1h"\nmax_delete = 1.0'
    shop = Shop(tmp_path, policy=policy, repositories={"app": "", "other": ""})
    for number in range(5):
        for name in shop.repositories:
            shop.images({"latest": app(number)}, name)
        shop.run(number / 100)
    key = document_key(shop.folder, "app")
    if damage is None:
        del shop.folder.contents[key]
    else:
        shop.folder.contents[key] = damage
    before = shop.folder.published()
    assert {repository_of(stone.key) for stone in shop.prune(1, is_dry=True).prune.remove} == {"other"}
    with pytest.raises(LedgerError, match=r"does not tell what app has \(_deltapress/ledger/sha256:.*publish"):
        shop.reconcile(1, force=True)
    with pytest.raises(LedgerError, match="does not tell what app has"):
        shop.remove("app", 1)
    for name in shop.repositories:
        shop.images({"latest": app(6)}, name)
    outcome, _ = shop.watched_run(3)
    [note] = [note for note in outcome.notes if note.startswith("app: _deltapress/ledger/sha256:")]
    assert "rebuilt from the tree; its deltas are made again, and this run deletes nothing of it" in note
    assert outcome.exit_code is ExitCode.SUCCESS
    assert {repository_of(key) for key in before.keys() - shop.folder.published().keys()} == {"other"}
    assert len(outcome.ledger.repositories["app"].images) == 2
    shop.check()
    assert shop.run(4).made == ()
    shop.run(6)
    assert {repository_of(key) for key in before.keys() - shop.folder.published().keys()} == {"app", "other"}
    assert key not in shop.folder.contents or damage is not None
    shop.check()


def test_a_repair_with_a_rebuilt_ledger_deletes_no_file_that_is_what_it_says(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    manifest = json.loads(shop.folder.contents[Key("v2/app/manifests/1.0")])
    blob = Key(f"v2/app/blobs/{manifest['layers'][0]['digest']}")
    del shop.folder.contents[blob], shop.folder.contents[LEDGER_KEY]
    shop.images({"2.0": app(2)})
    before = set(shop.folder.contents)
    target = RecordingTarget(shop.target)
    outcome = shop.run(1, target=target, repair=True)
    assert deleted(target) == []
    assert before < set(shop.folder.contents)
    assert any("repair once more to remove what is broken" in note for note in outcome.notes)
    again = shop.run(1, repair=True)
    assert Key("v2/app/manifests/1.0") not in shop.folder.contents
    assert problems(shop.folder.contents, at_rest=True) == []
    assert again.repairs
