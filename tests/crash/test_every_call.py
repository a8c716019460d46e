"""A target that fails at its n-th call, for every n: readers see a whole tree, and the next run makes it complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.oci.keys import Key
from pipeline.targets.wrappers import FAILURE_MODES, FailingTarget, FailureMode, InjectedError

from ..client import problems, unproven
from ..layouts.builder import LayoutBuilder, on
from ..runs import MemoryFolder, Shop, app, other

_POLICIES = {
    "images-first": 'versions = 2\nkeep = 3\ngrace = "1d"\nmax_delete = 1.0',
    "deltas-first": 'versions = 2\nkeep = 3\ngrace = "1d"\nmax_delete = 1.0\norder = "deltas-first"',
}


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


@pytest.fixture(params=list(_POLICIES))
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    """Four nights were published; the fifth makes deltas, un-lists others, and deletes what is beyond its grace."""
    shop = Shop(tmp_path, policy=_POLICIES[request.param], repositories={"app": "", "team/mirror": ""})
    for number in range(4):
        _layouts(shop, number)
        assert shop.run(2 * number).exit_code is ExitCode.SUCCESS
    _layouts(shop, 4)
    return shop


def _failures(shop: Shop, before: MemoryFolder, mode: FailureMode) -> Iterator[tuple[int, MemoryFolder]]:
    """For each call of the fifth night the tree in which a run has died there."""
    for call in range(1, 10_000):
        folder = before.copy()
        failing = FailingTarget(folder, fail_at=call, mode=mode, stays_down=True)
        try:
            shop.run(8, target=failing)
        except InjectedError:
            yield call, folder
        else:
            assert not failing.fired
            assert call > 40
            return


@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_a_run_that_dies_at_any_call(shop: Shop, mode: FailureMode) -> None:
    before = shop.folder.copy()
    undisturbed = shop.run(8)
    assert undisturbed.exit_code is ExitCode.SUCCESS
    assert len(undisturbed.made) >= 4
    assert undisturbed.prune.remove
    assert unproven(shop.folder.published()) == []
    wanted = shop.folder.published()
    shop.run(10)
    for call, folder in _failures(shop, before, mode):
        assert problems(folder.contents) == [], call
        outcome = shop.run(8, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, call
        assert problems(folder.contents, at_rest=True) == [], call
        assert {key: folder.contents.get(key) for key in wanted} == wanted, call
        # What remains beyond that is a delta manifest that listed what the dead run had made: it goes like any other.
        shop.run(10, target=folder)
        assert folder.contents == shop.folder.contents, call


def test_the_layout_has_moved_on_before_the_next_run(shop: Shop) -> None:
    """What was being written when the run died is nowhere any more: the next night is published all the same."""
    before = shop.folder.copy()
    first = _latest(before)
    for call, folder in _failures(shop, before, "before"):
        _layouts(shop, 5)
        outcome = shop.run(10, target=folder)
        assert outcome.exit_code is ExitCode.SUCCESS, call
        assert problems(folder.contents, at_rest=True) == [], call
        assert _latest(folder) != first
        again = shop.run(10, target=folder)
        assert (again.written.keys, again.made) == (0, ()), call
        _layouts(shop, 4)


def test_the_layout_cannot_be_read_in_the_next_run(shop: Shop) -> None:
    """Then what is whole stays published; the other repository does not wait, and nothing is deleted."""
    before = shop.folder.copy()
    index = shop.path / "app" / "index.json"
    whole = index.read_bytes()
    for call, folder in _failures(shop, before, "after"):
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
