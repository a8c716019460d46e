"""Somebody loses, cuts or replaces any file behind the publisher's back: verify names it, and a repair mends it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY, Headers, Key
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.progress import Silent
from pipeline.publish import Outcome
from pipeline.publish.repair import TooMuchLostError
from pipeline.targets.base import Properties, TargetError
from pipeline.targets.directory import DirectoryTarget
from pipeline.verify import Problem, verify

from ..client import Client, contents_of, deltas_of, problems, unproven
from ..layouts.builder import LayoutBuilder, on
from ..runs import MemoryFolder, Shop, WatchedTarget, app, is_of_ledger, other, stored_ledger
from ..targets.wrappers import FailingTarget, FailureMode, InjectedError, RecordingTarget

_DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "truncated": lambda data: data[: len(data) // 2] if data else None,
    "replaced": lambda data: data[:-1] + bytes([data[-1] ^ 1]) if data else b"not empty any more",
}


def _layout(shop: Shop, *numbers: int) -> None:
    """An index of two platforms for each of the numbers, the last one as `latest` too, and a signature of that."""
    build = LayoutBuilder()
    tags = {}
    for number in numbers:
        amd, arm = build.image(other(0), app(number)), build.image(app(100 + number), architecture="arm64")
        tags[f"1.{number}"] = tags["latest"] = build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))
    build.entry(build.artifact(subject=tags["latest"]))
    shop.layout(tags, build)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path, policy='versions = 2\ngrace = "9d"\nmax_delete = 1.0', repositories={"app": "", "mirror": ""})


def _two_nights(shop: Shop) -> None:
    for number in (1, 2):
        _layout(shop, *range(number + 1))
        shop.images({"1.0": app(0)}, "mirror")
        shop.run(number)
    assert problems(shop.folder.contents, at_rest=True) == []


def _damaged(folder: MemoryFolder) -> Iterator[tuple[str, MemoryFolder]]:
    """The tree with each file, in turn, spoiled in one of the ways, and by which one."""
    for index, (key, data) in enumerate(folder.published().items()):
        name = list(_DAMAGES)[index % len(_DAMAGES)]
        twin = folder.copy()
        spoiled = _DAMAGES[name](data)
        if spoiled is None:
            del twin.contents[key]
        else:
            twin.contents[key] = spoiled
        yield f"{key} {name}", twin


def _named(folder: MemoryFolder) -> set[str]:
    found = verify(folder, jobs=1, limits=Limits(), progress=Silent())
    return {problem.key for problem in found.problems}


def _referenced(shop: Shop) -> dict[Key, bytes]:
    """The tree without what waits to be deleted: that is not put back."""
    known = stored_ledger(shop.target)
    return {key: data for key, data in shop.folder.published().items() if known.keys[key].unreferenced is None}


def _check_at_rest(folder: MemoryFolder, what: str, damaged: str = "") -> None:
    """What waits to be deleted is removed when it is damaged, be it only the type of a manifest for some server."""
    of_a_digest = re.fullmatch(r".*/(?:\.web/)?(sha256:[0-9a-f]{64})(?:\.meta)?", damaged)
    found = problems(folder.contents, at_rest=Key(damaged) in folder.contents or of_a_digest is None)
    assert found == [], what


def test_whatever_was_damaged_comes_back_when_the_layouts_hold_it(shop: Shop) -> None:
    """Every file of the tree. Deltas and listings come from the pipeline itself."""
    _two_nights(shop)
    wanted = _referenced(shop)
    count = 0
    for what, folder in _damaged(shop.folder):
        key = what.split()[0]
        outcome = shop.run(3, target=folder, repair=True)
        assert (outcome.exit_code, outcome.lost) == (ExitCode.SUCCESS, ()), what
        assert key in {repair.key for repair in outcome.repairs}, what
        assert {key: folder.contents.get(key) for key in wanted} == wanted, what
        _check_at_rest(folder, what, key)
        count += 1
        if count % 40 == 0:
            assert shop.run(3, target=folder).written.keys == 0
    assert count > 100


def test_verify_names_what_is_damaged(shop: Shop) -> None:
    _two_nights(shop)
    assert _named(shop.folder) == set()
    for index, (what, folder) in enumerate(_damaged(shop.folder)):
        if index % 4 == 0:
            assert what.split()[0] in _named(folder), what


def test_what_nobody_has_is_un_listed(shop: Shop) -> None:
    """The layout holds only the newest image. Whatever of the others is spoiled, no reader is led to it afterwards."""
    _two_nights(shop)
    _layout(shop, 2)
    shop.run(3)
    assert len(Client(shop.folder.contents).tags("app")) == 4
    lost = 0
    for what, folder in _damaged(shop.folder):
        if "/typed/" in what:
            continue
        key = Key(what.split()[0])
        outcome = shop.run(3, target=folder, repair=True)
        _check_at_rest(folder, what, key)
        assert folder.contents.get(key) in {None, shop.folder.contents[key]}, what
        assert outcome.exit_code is (ExitCode.PARTLY_DONE if outcome.lost else ExitCode.SUCCESS), what
        tags = Client(folder.contents).tags("app")
        assert {"1.2", "latest"} <= tags.keys(), what
        if outcome.lost:
            lost += 1
            assert len(tags) < 4, what
            assert _named(folder) == set(), what
            assert unproven(folder.published()) == [], what
        else:
            assert len(tags) == 4
        assert shop.run(3, target=folder).written.keys == 0, what
    assert lost > 5


def test_a_lost_image_takes_its_tags_and_nobody_is_led_back(shop: Shop) -> None:
    """`latest` pointed to 1 and then to 2: when 2 is lost, the tag goes; it must not serve 1 as if it were new."""
    shop.repositories = {"app": ""}
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    image = json.loads(shop.folder.contents[Key("v2/app/manifests/latest")])
    del shop.folder.contents[Key(f"v2/app/blobs/{image['layers'][0]['digest']}")]
    (shop.path / "app" / "index.json").write_text("{")
    outcome = shop.run(3, repair=True)
    assert outcome.exit_code is ExitCode.BAD_INPUT
    [line] = outcome.lost
    assert "latest" in line
    assert Key("v2/app/manifests/latest") not in shop.folder.contents
    assert Client(shop.folder.contents).tags("app") == {}
    assert deltas_of(shop.folder.contents, "app") == []
    assert problems(shop.folder.contents, at_rest=True) == []
    removed = [repair for repair in outcome.repairs if repair.key == "v2/app/manifests/latest"]
    assert [repair.remedy == "removed" and "missing" in repair.problem for repair in removed] == [True]
    shop.images({"latest": app(2)})
    assert shop.run(4).exit_code is ExitCode.SUCCESS
    assert problems(shop.folder.contents, at_rest=True) == []


def test_what_makes_nearly_everything_look_lost_changes_nothing_without_force(shop: Shop) -> None:
    """As when the tree was copied without its blobs, and the layout is that of today: two of three images are lost."""
    shop.policy = shop.policy.replace("max_delete = 1.0", "max_delete = 0.6")
    shop.repositories = {"app": ""}
    for number in (1, 2, 3):
        shop.images({"latest": app(number)})
        shop.run(number)
    whole = shop.folder.copy()
    for index, key in enumerate([key for key in whole.contents if "/blobs/" in key]):
        if index % 2:
            del shop.folder.contents[key]
        else:
            shop.folder.contents[key] = b"?"
    before = dict(shop.folder.contents)
    with pytest.raises(TooMuchLostError, match=r"un-list 2 of 3 images.*; nothing was changed.*--force") as caught:
        shop.run(4, repair=True)
    assert caught.value.exit_code is ExitCode.TARGET_FAILED
    assert shop.folder.contents == before
    outcome = shop.run(4, repair=True, force=True)
    assert (outcome.exit_code, len(outcome.lost)) == (ExitCode.PARTLY_DONE, 2)
    assert list(Client(shop.folder.contents).tags("app")) == ["latest"]
    assert problems(shop.folder.contents, at_rest=True) == []


def test_what_the_layouts_give_back_needs_no_force(shop: Shop) -> None:
    shop.policy = shop.policy.replace("max_delete = 1.0", "max_delete = 0.0")
    shop.repositories = {"app": ""}
    shop.images({"1.0": app(0), "1.1": app(1)})
    shop.run(1)
    wanted = shop.folder.published()
    shop.folder.contents = {key: data for key, data in shop.folder.contents.items() if is_of_ledger(key)}
    outcome = shop.run(3, repair=True)
    assert (outcome.exit_code, outcome.lost) == (ExitCode.SUCCESS, ())
    assert shop.folder.published() == wanted


def test_tags_go_before_the_manifests_to_which_they_lead(shop: Shop) -> None:
    _two_nights(shop)
    _layout(shop, 2)
    shop.run(3)
    old = json.loads(shop.folder.contents[Key("v2/app/manifests/1.1")])
    manifest = json.loads(shop.folder.contents[Key(f"v2/app/manifests/{old['manifests'][1]['digest']}")])
    del shop.folder.contents[Key(f"v2/app/blobs/{manifest['layers'][0]['digest']}")]
    _, target = _recorded(shop)
    order = [str(call.key) for call in target.calls if call.method == "delete"]
    tag = order.index("v2/app/manifests/1.1")
    manifests = [position for position, key in enumerate(order) if key.startswith("v2/app/manifests/sha256:")]
    assert tag < min(manifests)
    # the image of the other platform is whole: whoever knows its digest has the grace period
    assert Key(f"v2/app/manifests/{old['manifests'][0]['digest']}") in shop.folder.contents
    assert Key(f"v2/app/manifests/{old['manifests'][1]['digest']}") not in shop.folder.contents


def test_a_copy_in_another_repository_is_as_good_as_the_layout(shop: Shop) -> None:
    _two_nights(shop)
    _layout(shop, 2)
    shop.images({"9.0": app(9)}, "mirror")
    shop.run(3)
    wanted = shop.folder.published()
    shared = {key.rpartition("/")[2] for key in wanted if key.startswith("v2/mirror/blobs/")}
    key = next(key for key in wanted if key.startswith("v2/app/blobs/") and key.rpartition("/")[2] in shared)
    del shop.folder.contents[key]
    assert shop.run(3, repair=True).lost == ()
    assert shop.folder.published() == wanted


def test_a_lost_delta_is_not_listed_while_it_is_made_again(shop: Shop) -> None:
    _two_nights(shop)
    wanted = _referenced(shop)
    deltas = deltas_of(shop.folder.contents, "app")
    del shop.folder.contents[Key(f"v2/app/blobs/{deltas[0].digest}")]
    looks: list[bool] = []

    def look() -> None:
        found = problems(shop.folder.contents)
        looks.append(found == [])

    target = WatchedTarget(shop.target, look)
    outcome = shop.run(3, target=target, repair=True)
    # several formats may have asked for the same bytes
    assert {record.digest for record in outcome.made} == {Digest.parse(deltas[0].digest)}
    # broken as it was found; from the moment of un-listing on, no more
    assert sorted(looks) == looks
    assert looks[-1]
    assert {key: shop.folder.contents.get(key) for key in wanted} == wanted


def test_foreign_files_are_never_touched(shop: Shop) -> None:
    _two_nights(shop)
    mine = {Key("v2/app/blobs/notes.txt"), Key("robots.txt"), Key("v2/app/manifests/mine"), Key("v2/x/tags/list")}
    shop.folder.contents |= dict.fromkeys(mine, b"mine")
    del shop.folder.contents[Key("v2/app/tags/list")]
    outcome = shop.run(3, repair=True)
    assert [repair.key for repair in outcome.repairs] == ["v2/app/tags/list"]
    assert {shop.folder.contents.get(key) for key in mine} == {b"mine"}


def test_a_repair_finds_nothing_in_a_sound_tree(shop: Shop) -> None:
    _two_nights(shop)
    before = dict(shop.folder.contents)
    outcome = shop.run(3, repair=True)
    assert (outcome.repairs, outcome.written.keys, outcome.exit_code) == ((), 0, ExitCode.SUCCESS)
    assert shop.folder.contents == before


def test_a_damaged_blob_is_found_under_a_rebuilt_ledger(shop: Shop) -> None:
    _two_nights(shop)
    wanted = {key: data for key, data in _referenced(shop).items() if "/blobs/" in key or "/manifests/" in key}
    key = next(key for key in wanted if key.startswith("v2/app/blobs/"))
    shop.folder.contents[key] = b"?"
    del shop.folder.contents[LEDGER_KEY]
    assert shop.run(3, repair=True).exit_code is ExitCode.SUCCESS
    assert {key: shop.folder.contents.get(key) for key in wanted} == wanted


def test_a_storage_that_fails_is_no_reason_to_un_list(shop: Shop) -> None:
    _two_nights(shop)
    before = dict(shop.folder.contents)
    with pytest.raises(InjectedError):
        shop.run(3, target=FailingTarget(shop.target, fail_at=30, stays_down=True), repair=True)
    assert shop.folder.contents == before


@pytest.mark.parametrize("mode", ["before", "after"])
def test_a_repair_that_dies_at_any_call(shop: Shop, mode: FailureMode) -> None:
    """Damage of all kinds at once; the repair after the one that died ends where an undisturbed one would have."""
    _two_nights(shop)
    _layout(shop, 2)
    shop.run(3)
    old = json.loads(shop.folder.contents[Key("v2/app/manifests/1.1")])
    lost = json.loads(shop.folder.contents[Key(f"v2/app/manifests/{old['manifests'][0]['digest']}")])
    delta = deltas_of(shop.folder.contents, "app")[0]
    shop.folder.contents[Key(f"v2/app/blobs/{lost['layers'][1]['digest']}")] = b"?"
    del shop.folder.contents[Key(f"v2/app/blobs/{delta.digest}")]
    del shop.folder.contents[Key("v2/app/tags/list")]
    before = shop.folder.copy()
    shop.run(3, repair=True)
    reads = len(before.contents)
    for call in range(reads - 3, 10_000, 2):
        folder = before.copy()
        target = FailingTarget(folder, fail_at=call, mode=mode, stays_down=True)
        try:
            shop.run(3, target=target, repair=True)
        except InjectedError:
            shop.run(3, target=folder, repair=True)
            _check_at_rest(folder, str(call))
            assert Client(folder.contents).tags("app") == Client(shop.folder.contents).tags("app")
            assert set(deltas_of(folder.contents, "app")) == set(deltas_of(shop.folder.contents, "app"))
        else:
            assert call > reads + 20
            break


def test_in_a_directory_with_links_and_strangers(tmp_path: Path, shop: Shop) -> None:
    shop.target = DirectoryTarget(tmp_path / "public")
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.images({"latest": app(number)}, "mirror")
        shop.run(number)
    wanted = contents_of(shop.target)
    blob = next(path for path in (tmp_path / "public/v2/app/blobs").iterdir() if path.stat().st_nlink > 1)
    blob.write_bytes(b"?")  # both names of the same file
    assert len(shop.run(3, repair=True).repairs) == 2
    assert contents_of(shop.target) == wanted
    tag = tmp_path / "public/v2/app/tags/list"
    tag.unlink()
    tag.symlink_to("/etc/hostname")
    with pytest.raises(TargetError, match="symbolic link"):
        shop.run(3, repair=True)
    assert any(problem.key == "v2/app/tags/list" for problem in _verified(shop))


@pytest.fixture
def bucket(tmp_path: Path) -> Shop:
    """Two nights in a storage that keeps headers. What the layout had first is only there by now."""
    shop = Shop(tmp_path, policy='versions = 2\ngrace = "9d"\nmax_delete = 1.0')
    shop.folder.properties = Properties(stores_headers=True)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    assert _verified(shop) == ()
    return shop


_RESTORED: dict[str, Callable[[Headers], Headers]] = {
    "type": lambda headers: replace(headers, content_type="binary/octet-stream"),
    "cache": lambda headers: replace(headers, cache_control=""),
    "metadata": lambda headers: replace(headers, digest=None),
}


@pytest.mark.parametrize("lost", _RESTORED)
def test_headers_that_a_restored_bucket_has_lost_come_back(bucket: Shop, lost: str) -> None:
    contents, headers = dict(bucket.folder.contents), dict(bucket.folder.headers)
    for key, known in headers.items():
        bucket.folder.headers[key] = _RESTORED[lost](known)
    by_digest = {key for key in headers if re.search(r"/(blobs|manifests)/sha256:", key)}
    wrong = by_digest if lost == "metadata" else {key for key in headers if not is_of_ledger(key)}
    assert {problem.key for problem in _verified(bucket)} == wrong
    assert bucket.run(3).written.keys == 0  # without being asked nothing is looked at

    outcome = bucket.run(3, repair=True)

    assert (outcome.exit_code, outcome.lost) == (ExitCode.SUCCESS, ())
    assert {repair.key for repair in outcome.repairs} == wrong
    assert {repair.remedy for repair in outcome.repairs} == {"written again"}
    assert {key: bucket.folder.contents[key] for key in wrong} == {key: contents[key] for key in wrong}
    assert {key: bucket.folder.headers[key] for key in wrong} == {key: headers[key] for key in wrong}
    assert _verified(bucket) == ()
    assert bucket.run(3, repair=True).repairs == ()


def test_what_is_served_wrongly_and_leads_nowhere_any_more_is_left(bucket: Shop) -> None:
    for number in (3, 4, 5):
        bucket.images({"latest": app(number)})
        bucket.run(number)
    known = stored_ledger(bucket.target)
    waiting = {key for key, record in known.keys.items() if record.unreferenced is not None}
    assert waiting
    for key in waiting:
        bucket.folder.headers[key] = _RESTORED["type"](bucket.folder.headers[key])
    assert _verified(bucket) == ()
    assert bucket.run(5, repair=True).repairs == ()


@pytest.mark.parametrize("restored", ["files", "folders"])
def test_rights_that_a_restored_directory_has_lost_come_back(tmp_path: Path, restored: str) -> None:
    root = tmp_path / "public"
    shop = Shop(tmp_path, target=DirectoryTarget(root))
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    wanted = contents_of(shop.target)
    modes = {path: path.stat().st_mode for path in root.rglob("*")}
    for path in modes:
        if path.is_dir() == (restored == "folders"):
            path.chmod(0o600 if path.is_file() else 0o700)
    named = {problem.key for problem in _verified(shop)}
    assert Key("v2/app/manifests/latest") in named
    assert (Key("index.html") in named) == (restored == "files")

    outcome = shop.run(3, repair=True)

    assert outcome.exit_code == ExitCode.SUCCESS
    assert {repair.key for repair in outcome.repairs} == named
    assert _verified(shop) == ()
    assert contents_of(shop.target) == wanted
    served = [path for path in modes if "_deltapress" not in path.parts or "typed" in path.parts]
    assert {path: path.stat().st_mode for path in served} == {path: modes[path] for path in served}


def _verified(shop: Shop) -> tuple[Problem, ...]:
    return verify(shop.target, jobs=1, limits=Limits(), progress=Silent()).problems


def _recorded(shop: Shop) -> tuple[Outcome, RecordingTarget]:
    target = RecordingTarget(shop.target)
    return shop.run(3, target=target, repair=True), target
