"""Whole runs by policies of many versions: what is listed, that it stays, and that other configurations keep it."""

import json
from pathlib import Path

import pytest

from pipeline.config import suppose
from pipeline.publish import compare

from ..client import deltas_of
from ..runs import MemoryFolder, Shop, app, night, other, pairs
from .test_two_configurations import Teams

WITHIN = 'versions = 1\nkeep = 2\nmax_delete = 1.0\ngrace = "1h"\nsources_within = "3d"'


def publish(shop: Shop, nights: range, *, length: float = 1) -> None:
    for number in nights:
        shop.images({"latest": app(number)})
        shop.run(number * length)


def test_each_version_that_was_the_latest_within_a_time(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy=WITHIN)
    publish(shop, range(7))
    assert shop.listed() == pairs(*((app(old), app(6)) for old in (3, 4, 5)))
    assert shop.run(6.1).written.keys == 0
    assert shop.run(6.2).is_at_rest
    shop.run(20)  # one day is too long ago after the other, but for the last K
    assert shop.listed() == pairs((app(5), app(6)))
    shop.check()


def test_one_a_month(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\nmax_delete = 1.0\ngrace = "1h"\nsources_monthly = 3')
    publish(
        shop, range(12), length=10
    )  # the last of January is 3, of February 5, of March 8 (day 90 is the 1st of April)
    assert shop.listed() == pairs(*((app(old), app(11)) for old in (3, 5, 8, 10)))
    assert shop.run(111).written.keys == 0
    shop.run(112)
    assert shop.run(113).is_at_rest
    shop.run(121)  # the 2nd of May: April ended with the latest
    assert shop.listed() == pairs(*((app(old), app(11)) for old in (5, 8, 10)))
    shop.check()


def sizes(shop: Shop) -> dict[str, int]:
    return {delta.digest: delta.size for delta in deltas_of(shop.folder.contents, "app")}


def test_the_budget_holds_and_the_second_run_writes_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 4\nmax_delete = 1.0\ngrace = "1h"')
    publish(shop, range(5))
    all_sizes = sizes(shop)
    assert len(all_sizes) == 4
    limit = sum(sorted(all_sizes.values())[:2]) + 1
    shop.policy += f'\nmax_deltas = "{limit}B"'
    outcome = shop.run(5)
    assert outcome.made == ()
    assert 1 <= len(sizes(shop)) < 4
    assert sum(sizes(shop).values()) <= limit
    assert len({want.source for want in outcome.plan.over_budget}) == 4 - len(sizes(shop))
    listed = shop.listed()
    for later in (6, 7, 8):  # what has no room is deleted meanwhile, and not made again
        outcome = shop.run(later)
        assert outcome.made == ()
        assert shop.listed() == listed
    assert outcome.written.keys == 0
    shop.check()


def test_a_budget_from_the_beginning_gives_the_same_tree(tmp_path: Path) -> None:
    """All are made once, and no more than there is room for is ever listed."""
    found = []
    for name, early in (("early", True), ("late", False)):
        shop = Shop(tmp_path / name, policy='versions = 4\nmax_delete = 1.0\ngrace = "1h"')
        limited = f'{shop.policy}\nmax_deltas = "500B"'
        if early:
            shop.policy = limited
        publish(shop, range(5))
        shop.policy = limited
        shop.run(5)
        shop.run(6)
        assert sum(sizes(shop).values()) <= 500
        found.append(shop.folder.published())
    assert found[0] == found[1]


@pytest.mark.parametrize("more", ['sources_within = "3d"', "sources_monthly = 2", 'max_deltas = "300B"'])
def test_the_other_configuration_keeps_to_it(tmp_path: Path, more: str) -> None:
    teams = Teams(tmp_path, f"versions = 2\n{more}", "versions = 1")
    publish(teams.one, range(5))
    teams.one.run(4)
    before = teams.published("app")
    teams.two.images({"latest": other(0)}, "tool")
    teams.two.run(4)
    teams.two.run(4)
    assert teams.published("app") == before
    assert teams.one.run(4).written.keys == 0


def demand(shop: Shop, **pulls: int) -> None:
    """Say how often the images of the nights were pulled, by number: `n0=5`."""
    record = shop.dry_run(9).ledger.repositories["app"]
    manifests = [move.image for move in record.tags["latest"].moves]
    counts = {str(manifests[int(name[1:])]): count for name, count in pulls.items()}
    shop.path.mkdir(exist_ok=True)
    (shop.path / "demand.json").write_text(json.dumps({"pulls": {"app": counts}}))


def test_demand_chooses(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 2")
    publish(shop, range(6))
    assert shop.listed() == pairs((app(4), app(5)), (app(3), app(5)))
    demand(shop, n0=50, n1=0, n2=3, n3=0, n4=7)
    shop.policy = 'versions = 2\ndemand = "demand.json"'
    shop.run(10)
    assert shop.listed() == pairs((app(0), app(5)), (app(4), app(5)))
    demand(shop, n0=40, n1=0, n2=5, n3=0, n4=4)  # the numbers of another night: 4 and 5 are near 7 and 3
    assert shop.run(11).written.keys == 0
    assert shop.run(11.5).is_at_rest
    (shop.path / "demand.json").unlink()
    outcome = shop.run(12)
    assert outcome.written.keys == 0
    assert any("demand.json: cannot be read" in note for note in outcome.notes)
    shop.check()


def test_what_another_policy_would_cost(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 2")
    publish(shop, range(6))
    ledger = shop.dry_run(6).ledger
    more = compare(shop.config, suppose(shop.config, ["versions=4"]), ledger, now=night(6))
    assert (more.more.number, more.more.updates, more.fewer.number, more.more.estimated) == (2, 2, 0, 2)
    assert 0 < more.more.size < more.more.whole
    assert more.alike == 2
    assert more.work == more.work_now
    shop.policy = "versions = 4"
    outcome = shop.run(7)
    real = sum(record.size for record in outcome.made)
    assert real / 2 < more.more.size < real * 2
    fewer = compare(shop.config, suppose(shop.config, ["versions=1"]), outcome.ledger, now=night(7))
    assert (fewer.more.number, fewer.fewer.number, fewer.work, fewer.fewer.estimated) == (0, 3, 0, 0)


def test_a_default_is_written_nowhere(tmp_path: Path) -> None:
    """Nor does it change anything: the tree and the ledger have the bytes that they have without the keys."""
    trees = []
    for name, more in (("plain", ""), ("said", 'sources_within = "0s"\nsources_monthly = 0\nmax_deltas = "unlimited"')):
        shop = Shop(tmp_path / name, target=MemoryFolder(), policy=f"versions = 2\n{more}")
        publish(shop, range(4))
        trees.append(shop.folder.contents)
    assert trees[0] == trees[1]
