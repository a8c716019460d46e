"""A target that fails at its n-th call, for every n: readers see a whole tree, and the next run makes it complete."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.oci.keys import Key
from pipeline.targets.wrappers import FailingTarget, FailureMode, InjectedError

from ..client import problems, sha256, unproven
from ..layouts.builder import LayoutBuilder, on
from ..runs import MemoryFolder, Shop, app, other

_POLICY = 'versions = 1\nkeep = 2\ngrace = "1d"\nmax_delete = 1.0\norder = '


def _layouts(shop: Shop, number: int) -> None:
    """Each night a new `latest` of two platforms, a signature of it, and a second repository that shares a layer.

    In the third night `edge` turns from a manifest into an index.
    """
    build = LayoutBuilder()
    amd, arm = build.image(other(0), app(number)), build.image(app(100 + number), architecture="arm64")
    index = build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))
    build.entry(build.artifact(subject=index))
    shop.layout({"latest": index, "edge": index if number > 2 else amd}, build)
    shop.images({"1.0": (other(0), app(50))}, "team/mirror")


@pytest.fixture(params=["images-first", "deltas-first"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """Four nights were published; the fifth makes deltas, un-lists others, and deletes what is beyond its grace."""
    policy = f'{_POLICY}"{request.param}"'
    shop = Shop(tmp_path, policy=policy, repositories={"app": "", "team/mirror": ""})
    for number in range(4):
        _layouts(shop, number)
        assert shop.run(2 * number).exit_code is ExitCode.SUCCESS
    _layouts(shop, 4)
    return shop


def _failures(shop: Shop, before: MemoryFolder, mode: FailureMode, step: int = 1) -> Iterator[tuple[int, MemoryFolder]]:
    """For each call of the fifth night, or each `step`-th, the tree in which a run has died there."""
    for call in range(1, 10_000, step):
        folder = before.copy()
        failing = FailingTarget(folder, fail_at=call, mode=mode, stays_down=True)
        try:
            shop.run(8, target=failing)
        except InjectedError:
            yield call, folder
        else:
            assert not failing.fired
            assert call > 60
            return


@pytest.mark.parametrize(
    ("shop", "mode", "step"),
    # a torn write is never committed, so it differs from one that never began only in what is read before
    [("images-first", "before", 1), ("deltas-first", "after", 1), ("images-first", "torn", 4)],
    indirect=["shop"],
)
def test_a_run_that_dies_at_any_call(shop: Shop, mode: FailureMode, step: int) -> None:
    before = shop.folder.copy()
    undisturbed = shop.run(8)
    assert undisturbed.exit_code is ExitCode.SUCCESS
    assert len(undisturbed.made) == 2
    assert undisturbed.prune.remove
    assert unproven(shop.folder.published()) == []
    wanted = shop.folder.published()
    shop.run(10)
    for call, folder in _failures(shop, before, mode, step):
        assert problems(folder.contents) == [], call
        outcome = shop.run(8, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, call
        assert problems(folder.contents, at_rest=True) == [], call
        assert {key: folder.contents.get(key) for key in wanted} == wanted, call
        if call % 5 == 1:
            # What remains beyond that is a delta manifest that listed what the dead run had made: it goes like any.
            shop.run(10, target=folder)
            assert folder.contents == shop.folder.contents, call


def test_the_layout_has_moved_on_before_the_next_run(shop: Shop) -> None:
    """What was being written when the run died is nowhere any more: the next night is published all the same."""
    before = shop.folder.copy()
    first = _latest(before)
    for call, folder in _failures(shop, before, "before", step=4):
        _layouts(shop, 5)
        outcome = shop.run(10, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, call
        assert problems(folder.contents, at_rest=True) == [], call
        assert _latest(folder) != first
        assert set(folder.published()) <= set(outcome.ledger.keys), call
        again = shop.run(10, target=folder)
        assert (again.written.keys, again.made) == (0, ()), call
        _layouts(shop, 4)


@pytest.mark.parametrize("shop", ["images-first"], indirect=True)
@pytest.mark.parametrize("back", [1, 3])
def test_the_layout_goes_back_before_the_next_run(shop: Shop, back: int) -> None:
    """To what the dead run was about to replace, or to what it was deleting: the ledger claims nothing that is gone."""
    before = shop.folder.copy()
    for call, folder in _failures(shop, before, "after", step=2):
        _layouts(shop, back)
        outcome = shop.run(8, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, call
        assert problems(folder.contents, at_rest=True) == [], call
        assert (
            sha256(_latest(folder)) == json.loads((shop.path / "app/index.json").read_bytes())["manifests"][1]["digest"]
        )
        assert set(folder.published()) <= set(outcome.ledger.keys), call
        _layouts(shop, 4)


def test_the_layout_cannot_be_read_in_the_next_run(shop: Shop) -> None:
    """Then what is whole stays published; the other repository does not wait, and nothing is deleted."""
    before = shop.folder.copy()
    index = shop.path / "app" / "index.json"
    whole = index.read_bytes()
    for call, folder in _failures(shop, before, "after", step=4):
        index.write_bytes(b"damaged")
        present = set(folder.published())
        outcome = shop.run(9, target=folder)
        assert outcome.exit_code is ExitCode.PARTLY_DONE, call
        assert list(outcome.failed) == ["app"]
        assert problems(folder.contents) == [], call
        assert not {key for key in present - set(folder.published()) if "/typed/" not in key}, call
        assert Key("v2/app/manifests/latest") in folder.contents
        index.write_bytes(whole)


def _latest(folder: MemoryFolder) -> bytes:
    return folder.contents[Key("v2/app/manifests/latest")]
