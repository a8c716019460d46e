"""What a listing shows that the ledger does not, and the other way round."""

from pathlib import Path

import pytest

from pipeline import publish
from pipeline.errors import ExitCode
from pipeline.history.ledger import LedgerError
from pipeline.keys import LEDGER_KEY, Key, classify
from pipeline.progress import Silent
from pipeline.publish.reconcile import Reconciliation
from pipeline.targets.base import LockHeldError, Target

from ..client import problems
from ..runs import Shop, app, is_of_ledger, night
from ..targets.wrappers import FailingTarget, InjectedError, RecordingTarget

DIGEST = f"sha256:{'1' * 64}"
STRAY = (
    "v2/app/tags/list",
    f"v2/old/blobs/{DIGEST}",
    f"v2/old/manifests/{DIGEST}",
    f"v2/old/manifests/.web/{DIGEST}.meta",
    "v2/old/manifests/.htaccess",
    "v2/old/manifests/latest",
    "v2/old/manifests/_deltaindex",
    f"v2/old/referrers/{DIGEST}",
    "v2/old/tags/list",
    "_deltapress/typed/oci-index/v2/old/manifests/latest",
    f"_deltapress/typed/oci-manifest/v2/old/manifests/{DIGEST}",
)
FOREIGN = (
    "robots.txt",
    "index/other",
    "v2/app/blobs/notes.txt",
    "v2/app/notes",
    "v2/app/tags/mine",
    f"v2/app/tags/{DIGEST}",
    "v2/app/referrers/latest",
    "v2/app/manifests/.web/notes.txt",
    f"v2/App/blobs/{DIGEST}",
    f"v2/-/blobs/{DIGEST}",
    f"v2/app/blobs/sha256:{'1' * 63}",
    "_deltapress/notes",
    "_deltapress/typed/other/v2/app/manifests/latest",
    f"_deltapress/typed/oci-index/v2/app/blobs/{DIGEST}",
)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    return shop


def reconcile(shop: Shop, target: Target | None = None, *, force: bool = False, is_dry: bool = False) -> Reconciliation:
    settings = publish.Settings(now=night(3), jobs=1, memory=1 << 30, force=force)
    return publish.reconcile(target or shop.target, settings, is_dry=is_dry, progress=Silent())


def strangers(shop: Shop) -> set[Key]:
    """Put strangers into the tree; those of our shape are in a repository of which the ledger does not know."""
    keys = {Key(name) for name in (*STRAY[1:], *FOREIGN)}
    shop.folder.contents |= dict.fromkeys(keys, b"?")
    return keys


@pytest.mark.parametrize("key", FOREIGN)
def test_the_keys_of_others(key: str) -> None:
    assert classify(key) is None


def test_whatever_is_published_is_no_stranger(shop: Shop) -> None:
    assert reconcile(shop) == Reconciliation(stray=(), foreign=(), missing=(), total=len(shop.folder.contents))


def test_without_force_it_only_says_what_it_found(shop: Shop) -> None:
    strangers(shop)
    del shop.folder.contents[Key("v2/app/tags/list")]
    before = dict(shop.folder.contents)
    target = RecordingTarget(shop.target)
    found = reconcile(shop, target)
    assert set(found.stray) == set(STRAY[1:])
    assert found.foreign == tuple(sorted(FOREIGN))
    assert found.missing == ("v2/app/tags/list",)
    assert (found.is_deleted, found.exit_code) == (False, ExitCode.VERIFICATION_FAILED)
    assert shop.folder.contents == before
    assert target.counts == {"keys": 1, "open": 4}
    assert reconcile(shop, force=True, is_dry=True) == found
    assert shop.folder.contents == before


def test_with_force_the_stray_ones_go_and_nothing_else(shop: Shop) -> None:
    before = dict(shop.folder.contents)
    strangers(shop)
    target = RecordingTarget(shop.target)
    assert reconcile(shop, target, force=True).is_deleted
    assert shop.folder.contents == before | {Key(name): b"?" for name in FOREIGN}
    order = [str(call.key) for call in target.calls if call.method == "delete"]
    assert order.index("v2/old/manifests/latest") < order.index(f"v2/old/manifests/{DIGEST}")
    assert order.index(f"v2/old/manifests/{DIGEST}") < order.index(f"v2/old/blobs/{DIGEST}")
    assert reconcile(shop, force=True).stray == ()


def test_one_that_died_is_taken_up_again(shop: Shop) -> None:
    before = dict(shop.folder.contents)
    strangers(shop)
    for call in range(1, 20, 3):
        try:
            reconcile(shop, FailingTarget(shop.target, fail_at=call, stays_down=True), force=True)
        except InjectedError:
            assert problems({key: data for key, data in shop.folder.contents.items() if data != b"?"}) == []
    reconcile(shop, force=True)
    assert {key: data for key, data in shop.folder.contents.items() if data != b"?"} == before


@pytest.mark.parametrize("ledger", [None, b"{"])
def test_without_a_ledger_everything_would_be_a_stranger(shop: Shop, ledger: bytes | None) -> None:
    before = dict(shop.folder.contents)
    shop.folder.contents.pop(LEDGER_KEY)
    if ledger is not None:
        shop.folder.contents[LEDGER_KEY] = ledger
    with pytest.raises(LedgerError):
        reconcile(shop, force=True)
    assert set(shop.folder.published()) == {key for key in before if not is_of_ledger(key)}


def test_it_waits_for_a_publisher(shop: Shop) -> None:
    with shop.target.lock(now=night(3), wait=0), pytest.raises(LockHeldError):
        reconcile(shop)
