"""A target that fails at its n-th call, for every n: readers see a whole tree, and the next run makes it complete."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import pytest

from pipeline.errors import ExitCode
from pipeline.history.store import LedgerStore
from pipeline.keys import Key

from ..client import deltas_of, problems, sha256, unproven
from ..layouts.builder import LayoutBuilder, on
from ..runs import MemoryFolder, Shop, app, is_of_ledger, other, stored_ledger
from ..targets.processes import ROOT
from ..targets.wrappers import FAILURE_MODES
from .points import Run, count_points, deaths

_POLICY = 'versions = 1\nkeep = 2\ngrace = "1d"\nmax_delete = 1.0\norder = '


def _signed(shop: Shop, number: int, repository: str) -> None:
    build = LayoutBuilder()
    amd, arm = build.image(other(0), app(number)), build.image(app(100 + number), architecture="arm64")
    index = build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))
    build.entry(build.artifact(subject=index))
    shop.layout({"latest": index, "edge": index if number > 2 else amd}, build, repository)


def _layouts(shop: Shop, number: int) -> None:
    """Each night a new `latest` of two platforms, a signature of it, and a second repository that shares a layer.

    In the third night `edge` turns from a manifest into an index.
    """
    _signed(shop, number, "app")
    shop.images({"1.0": (other(0), app(50))}, "team/mirror")


def _four_nights(path: Path, order: str = "images-first") -> Shop:
    """The fifth makes deltas, un-lists others, and deletes what is beyond its grace."""
    shop = Shop(path, policy=f'{_POLICY}"{order}"', repositories={"app": "", "team/mirror": ""})
    for number in range(4):
        _layouts(shop, number)
        assert shop.run(2 * number).exit_code is ExitCode.SUCCESS
    _layouts(shop, 4)
    return shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is run over copies of the tree in the folder of `shop`."""

    shop: Shop
    run: Run

    @property
    def before(self) -> MemoryFolder:
        return self.shop.folder


def _publish(path: Path, order: str) -> Scene:
    shop = _four_nights(path, order)
    return Scene(shop=shop, run=lambda target: shop.run(8, target=target))


def _repair(path: Path) -> Scene:
    """A delta and a listing are gone, and so is a layer of an older image, which no layout has any more."""
    shop = _four_nights(path)
    shop.run(8)
    for name in (
        f"blobs/{deltas_of(shop.folder.contents, 'app')[0].digest}",
        f"blobs/{LayoutBuilder().layer(app(103))['digest']}",
        "tags/list",
    ):
        del shop.folder.contents[Key(f"v2/app/{name}")]
    return Scene(shop=shop, run=lambda target: shop.run(8, target=target, repair=True))


def _prune(path: Path) -> Scene:
    """All grace is over."""
    shop = _four_nights(path)
    shop.run(8, prune=False)
    return Scene(shop=shop, run=lambda target: shop.prune(20, target=target))


def _reconcile(path: Path) -> Scene:
    """A whole repository is there of which the ledger does not know."""
    shop = _four_nights(path)
    elsewhere = Shop(path / "elsewhere", repositories={"old": ""})
    for number in (1, 2):
        _signed(elsewhere, number, "old")
        elsewhere.run(number)
    shop.folder.contents |= {key: data for key, data in elsewhere.folder.contents.items() if "/old/" in key}
    return Scene(shop=shop, run=lambda target: shop.reconcile(8, target=target, force=True))


def _remove(path: Path, *, is_now: bool = False) -> Scene:
    """An image goes that a tag points to, with its signature and its deltas."""
    shop = _four_nights(path)
    image = shop.run(8).ledger.repositories["app"].tags["latest"].image
    return Scene(shop=shop, run=lambda target: shop.remove(f"app@{image}", 8, target=target, is_now=is_now))


def _tag(path: Path) -> Scene:
    """A tag goes back, and so do the lists of deltas."""
    shop = _four_nights(path)
    moves = shop.run(8).ledger.repositories["app"].tags["latest"].moves
    return Scene(shop=shop, run=lambda target: shop.tag("app:latest", moves[-2].image, 8, target=target))


def _retract(path: Path) -> Scene:
    """All deltas are un-listed, in both formats."""
    shop = _four_nights(path)
    shop.run(8)
    return Scene(shop=shop, run=lambda target: shop.retract(None, number=8, target=target, is_all=True))


SCENES: Final[Mapping[str, Callable[[Path], Scene]]] = {
    "publish": partial(_publish, order="images-first"),
    "publish, deltas first": partial(_publish, order="deltas-first"),
    "publish --repair": _repair,
    "prune": _prune,
    "prune --reconcile --force": _reconcile,
    "remove": _remove,
    "remove --now": partial(_remove, is_now=True),
    "tag": _tag,
    "retract": _retract,
}


def test_the_readme_says_at_how_many_points_this_is_tried(tmp_path: Path) -> None:
    stated = re.search(r"tried at more\s+than\s+([0-9,]+)\s+points", (ROOT / "README.md").read_text("utf-8"))
    assert stated is not None
    counts = {}
    for number, (name, make) in enumerate(SCENES.items()):
        scene = make(tmp_path / str(number))
        counts[name] = count_points(scene.before, scene.run)
    assert 0.8 * sum(counts.values()) < int(stated[1].replace(",", "")) < sum(counts.values()), counts


@pytest.mark.parametrize("name", SCENES)
def test_a_run_that_dies_at_any_call(name: str, tmp_path: Path) -> None:
    """A reader stumbles over nothing new, and the next run ends in the bytes of one that nobody disturbed."""
    scene = SCENES[name](tmp_path)
    undisturbed = scene.before.copy()
    scene.run(undisturbed)
    wanted = undisturbed.published()
    assert problems(wanted, at_rest=True) == []
    assert unproven(wanted) == []
    assert wanted != scene.before.published()
    known = problems(scene.before.contents)
    count = 0
    tried = set()
    for death in chain.from_iterable(deaths(scene.before, scene.run, mode) for mode in FAILURE_MODES):
        count += 1
        state = frozenset(death.folder.contents.items())
        if state in tried:
            continue  # after one call is before the next
        tried.add(state)
        assert set(problems(death.folder.contents)) <= set(known), death
        scene.run(death.folder)
        assert problems(death.folder.contents, at_rest=True) == [], death
        found = death.folder.published()
        assert {key: found.get(key) for key in wanted} == wanted, death
        assert found.keys() - wanted.keys() <= _unreferenced(death.folder), death
        assert _ledger_files(death.folder) == _ledger_files(undisturbed), death
    assert count == count_points(scene.before, scene.run)


def _ledger_files(folder: MemoryFolder) -> int:
    """How many files the ledger has: no document and no entry of the journal is left over."""
    store = LedgerStore(folder)
    assert store.load() is not None
    assert store.keys == {key for key in folder.contents if is_of_ledger(key)}
    return len(store.keys)


def _unreferenced(folder: MemoryFolder) -> set[Key]:
    """A delta manifest that lists what the dead run had made, and no more: it goes like any that was replaced."""
    return {key for key, record in stored_ledger(folder).keys.items() if record.unreferenced is not None}


@pytest.fixture(params=["images-first", "deltas-first"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    return _four_nights(tmp_path, request.param)


def test_the_layout_has_moved_on_before_the_next_run(shop: Shop) -> None:
    """What was being written when the run died is nowhere any more: the next night is published all the same."""
    before = shop.folder.copy()
    first = _latest(before)
    for death in deaths(before, _fifth_night(shop), "before", step=4):
        folder = death.folder
        _layouts(shop, 5)
        outcome = shop.run(10, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, death
        assert problems(folder.contents, at_rest=True) == [], death
        assert _latest(folder) != first
        assert set(folder.published()) <= set(outcome.ledger.keys), death
        again = shop.run(10, target=folder)
        assert (again.written.keys, again.made) == (0, ()), death
        _layouts(shop, 4)


@pytest.mark.parametrize("shop", ["images-first"], indirect=True)
@pytest.mark.parametrize("back", [1, 3])
def test_the_layout_goes_back_before_the_next_run(shop: Shop, back: int) -> None:
    """To what the dead run was about to replace, or to what it was deleting: the ledger claims nothing that is gone."""
    before = shop.folder.copy()
    for death in deaths(before, _fifth_night(shop), "after", step=2):
        folder = death.folder
        _layouts(shop, back)
        outcome = shop.run(8, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, death
        assert problems(folder.contents, at_rest=True) == [], death
        assert (
            sha256(_latest(folder)) == json.loads((shop.path / "app/index.json").read_bytes())["manifests"][1]["digest"]
        )
        assert set(folder.published()) <= set(outcome.ledger.keys), death
        _layouts(shop, 4)


def test_the_layout_cannot_be_read_in_the_next_run(shop: Shop) -> None:
    """Then what is whole stays published; the other repository does not wait, and nothing is deleted."""
    before = shop.folder.copy()
    index = shop.path / "app" / "index.json"
    whole = index.read_bytes()
    for death in deaths(before, _fifth_night(shop), "after", step=4):
        folder = death.folder
        index.write_bytes(b"damaged")
        present = set(folder.published())
        outcome = shop.run(9, target=folder)
        assert outcome.exit_code is ExitCode.PARTLY_DONE, death
        assert list(outcome.failed) == ["app"]
        assert problems(folder.contents) == [], death
        assert not {key for key in present - set(folder.published()) if "/typed/" not in key}, death
        assert Key("v2/app/manifests/latest") in folder.contents
        index.write_bytes(whole)


def _fifth_night(shop: Shop) -> Run:
    return lambda target: shop.run(8, target=target)


def _latest(folder: MemoryFolder) -> bytes:
    return folder.contents[Key("v2/app/manifests/latest")]
