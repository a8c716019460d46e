"""Whole runs: a tag that is pointed back by hand stays there until its layout has something new."""

from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.history.pointing import PointingError
from pipeline.keys import Key
from pipeline.oci.digest import Digest
from pipeline.report import removal_text

from ..runs import Shop, app, other, pairs

POLICY = "versions = 2"
LATEST = Key("v2/app/manifests/latest")


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Three releases; `latest` is the last of them."""
    shop = Shop(tmp_path, policy=POLICY)
    for number in range(3):
        shop.images(_releases(number + 1, latest=number))
        shop.run(number)
    return shop


def _releases(count: int, *, latest: int) -> dict[str, bytes | tuple[bytes, ...]]:
    return {"latest": app(latest), **{f"1.{release}": app(release) for release in range(count)}}


def points_to(shop: Shop, tag: str) -> bool:
    return shop.folder.contents[LATEST] == shop.folder.contents[Key(f"v2/app/manifests/{tag}")]


def test_a_tag_that_was_pointed_back_stays_until_its_layout_has_something_new(shop: Shop) -> None:
    outcome = shop.tag("app:latest", "1.1", 3)
    assert removal_text(outcome).splitlines()[0] == "app:latest  1.2 → 1.1 (rolled back)"
    assert points_to(shop, "1.1")
    shop.check()
    for number in (4, 5):
        assert shop.run(number).moves == ()
        assert points_to(shop, "1.1")
        shop.check()
    assert set(pairs((app(2), app(1)), (app(0), app(1)))) <= set(shop.listed()), "clients go back by a delta"
    shop.images(_releases(4, latest=3))
    [move, *_] = [move for move in shop.run(6).moves if move.tag == "latest"]
    assert move.new_names == ("1.3",)
    assert points_to(shop, "1.3")


def test_a_tag_that_was_pointed_back_twice_stays_where_it_was_pointed_last(shop: Shop) -> None:
    shop.tag("app:latest", "1.1", 3)
    shop.run(4)
    shop.tag("app:latest", "1.0", 5)
    for number in (6, 7):
        assert shop.run(number).moves == ()
        assert points_to(shop, "1.0")
    shop.check()


def test_a_tag_that_was_pointed_to_what_its_layout_has_is_an_ordinary_one(shop: Shop) -> None:
    shop.tag("app:latest", "1.1", 3)
    shop.tag("app:latest", "1.2", 4)
    assert shop.run(5).ledger.repositories["app"].tags["latest"].instead_of is None
    assert points_to(shop, "1.2")
    shop.images(_releases(3, latest=1))
    shop.run(6)
    assert points_to(shop, "1.1")


def test_a_layout_that_went_back_too_makes_it_an_ordinary_tag(shop: Shop) -> None:
    shop.tag("app:latest", "1.1", 3)
    shop.images(_releases(3, latest=1))
    shop.run(4)
    shop.images(_releases(3, latest=2))
    shop.run(5)
    assert points_to(shop, "1.2")


def test_a_tag_is_pointed_to_a_digest_as_well(shop: Shop) -> None:
    image = Digest.of(shop.folder.contents[Key("v2/app/manifests/1.0")])
    assert shop.tag("app:latest", image, 3, is_dry=True).writes
    assert points_to(shop, "1.2")
    shop.tag("app:latest", image, 3)
    assert points_to(shop, "1.0")
    assert shop.tag("app:latest", image, 4).notes == ("app:latest points there already",)


@pytest.mark.parametrize(
    ("what", "image", "problem"),
    [
        ("other:latest", "1.0", "other is not published"),
        ("app:stable", "1.0", "app has no tag stable; it has 1.0, 1.1, 1.2, latest"),
        ("app:latest", "2.0", "app has no tag 2.0; it has 1.0"),
        ("app:latest", Digest.of(b""), "is no image that is published; `deltapress list app`"),
    ],
)
def test_what_is_not_published_is_named(shop: Shop, what: str, image: Digest | str, problem: str) -> None:
    with pytest.raises(PointingError, match=problem):
        shop.tag(what, image, 3)


def test_what_is_removed_now_is_gone_in_this_run(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY, repositories={"app": "", "mirror": ""})
    for name in ("app", "mirror"):
        shop.images({"1.0": app(0), "leaked": other(0)}, name)
    shop.run()
    before = set(shop.folder.contents)
    shop.images({"1.0": app(0), "1.1": app(1), "leaked": other(0)})
    outcome = shop.remove("app:leaked", 1, is_now=True)
    assert outcome.exit_code is ExitCode.SUCCESS
    gone = before - set(shop.folder.contents)
    assert Key("v2/app/manifests/leaked") in gone
    assert len([key for key in gone if "/blobs/" in key]) == 2, "the layer and the config"
    assert not [key for key in gone if "/mirror/" in key]
    shop.check()
    shop.run(2)
    assert not gone & set(shop.folder.contents), "though the layout still has it"


def test_what_was_removed_before_can_go_now(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    shop.images({"1.0": app(0), "leaked": other(0)})
    shop.run()
    shop.remove("app:leaked", 1)
    assert Key("v2/app/manifests/leaked") in shop.folder.contents
    assert "would delete" in str(shop.remove("app:leaked", 2, is_now=True, is_dry=True).notes)
    assert Key("v2/app/manifests/leaked") in shop.folder.contents
    shop.remove("app:leaked", 2, is_now=True)
    assert Key("v2/app/manifests/leaked") not in shop.folder.contents
    shop.check()


def test_what_other_images_share_stays_and_is_said(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=POLICY)
    shop.images({"1.0": (other(0), app(0)), "leaked": (other(0), app(1))})
    shop.run()
    notes = shop.remove("app:leaked", 1, is_now=True).notes
    assert "app:leaked: 1 of its 3 blobs stay, since other images have them, too" in notes
