"""Two configurations for one target: what one does not name stays as the other has published it."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.history.records.rules import RulesRecord
from pipeline.keys import LEDGER_KEY, Key

from ..client import deltas_of
from ..history.old_ledgers import whole
from ..layouts.builder import Json
from ..runs import MemoryFolder, Shop, app, change_document, other, stored_ledger


class Teams:
    """`one` publishes the repository app, `two` the repository tool."""

    def __init__(self, path: Path, one: str, two: str) -> None:
        self.target = MemoryFolder()
        self.one = Shop(path / "one", target=self.target, policy=one)
        self.two = Shop(path / "two", target=self.target, policy=two, repositories={"tool": ""})

    def published(self, repository: str) -> dict[Key, bytes]:
        """What belongs to one repository, server files and typed copies aside."""
        folder = f"v2/{repository}/"
        return {key: data for key, data in self.target.contents.items() if key.startswith(folder)}


def test_the_other_configuration_takes_no_deltas_away(tmp_path: Path) -> None:
    teams = Teams(tmp_path, "versions = 3", 'versions = 1\nmax_ratio = 0.001\ngrace = "1h"')
    for number in range(4):
        teams.one.images({"latest": app(number)})
        teams.one.run(number)
        before = teams.published("app")
        teams.two.images({"latest": other(number)}, "tool")
        outcome = teams.two.run(number + 0.5)
        assert teams.published("app") == before
        assert f"{len(outcome.notes)}, {outcome.notes[0]}".startswith("1, app: published, but not in")
    assert len(deltas_of(teams.target.contents, "app")) == 3
    assert teams.one.run(5).written.keys == 0
    teams.one.check()


def test_the_series_of_the_other_configuration_are_not_forgotten(tmp_path: Path) -> None:
    teams = Teams(tmp_path, "versions = 1", "versions = 1")
    teams.one.repositories = {"app": '[[repository.series]]\nmatch = "1.*"'}
    teams.one.images({"1.0": app(0), "1.1": app(1), "2.0": app(2), "2.1": app(3)})
    teams.one.run()
    assert len(deltas_of(teams.target.contents, "app")) == 2
    before = teams.published("app")
    teams.two.images({"latest": other(0)}, "tool")
    teams.two.run(1)
    assert teams.published("app") == before


@pytest.mark.parametrize("efforts", [("default", "fast"), ("fast", "max")])
@pytest.mark.parametrize("is_shared", [False, True], ids=["layers of their own", "the same layers"])
def test_nothing_is_made_again_because_of_another_effort(
    tmp_path: Path, efforts: tuple[str, str], is_shared: bool
) -> None:
    teams = Teams(tmp_path, *(f'versions = 2\neffort = "{effort}"' for effort in efforts))
    for number in range(3):
        teams.one.images({"latest": app(number)})
        teams.two.images({"latest": app(number) if is_shared else other(number)}, "tool")
        teams.one.run(number)
        teams.two.run(number)
    before = teams.target.copy().published()
    for shop in (teams.one, teams.two, teams.one, teams.two):
        outcome = shop.run(4)
        assert (outcome.made, outcome.written.keys) == ((), 0)
    assert teams.target.published() == before


def test_grace_is_that_of_whoever_publishes(tmp_path: Path) -> None:
    """What `app` has ceased to name is deleted when its own grace is over, in either's run."""
    teams = Teams(tmp_path, 'versions = 1\nkeep = 2\ngrace = "9d"\nmax_delete = 1.0', 'grace = "1h"\nmax_delete = 1.0')
    for number in range(3):
        teams.one.images({"latest": app(number)})
        teams.one.run(number)
    teams.two.images({"latest": other(0)}, "tool")
    waiting = len(teams.published("app"))
    teams.two.run(10)
    assert len(teams.published("app")) == waiting
    teams.two.run(12)
    assert len(teams.published("app")) < waiting


def test_what_was_published_before_rules_were_remembered_goes_by_the_policy_for_all(tmp_path: Path) -> None:
    teams = Teams(tmp_path, "versions = 3", "versions = 1")
    for number in range(3):
        teams.one.images({"latest": app(number)})
        teams.one.run(number)
    teams.target.contents[LEDGER_KEY] = whole(stored_ledger(teams.target), schema=1)
    teams.two.images({"latest": other(0)}, "tool")
    teams.two.run(4)
    assert len(deltas_of(teams.target.contents, "app")) == 1
    outcome = teams.one.run(5)
    assert len(deltas_of(teams.target.contents, "app")) == 2
    assert outcome.ledger.repositories["app"].rules == RulesRecord(
        versions=3, max_ratio=0.9, grace=timedelta(days=7), scopes=(), formats=("deltaindex", "oci-delta")
    )


def test_nothing_is_made_for_the_repositories_of_the_other(tmp_path: Path) -> None:
    """Another encoder makes all deltas again; those of a repository that is not configured wait for its own run."""
    teams = Teams(tmp_path, "versions = 3", "versions = 1")
    for number in range(2):
        teams.one.images({"latest": app(number)})
        teams.one.run(number)

    def change(document: Json) -> None:
        for delta in document["deltas"]:
            delta["generator"] = "another"

    change_document(teams.target, "app", change)
    teams.two.images({"latest": other(0)}, "tool")
    assert teams.two.run(3).made == ()
    assert len(teams.one.run(4).made) == 1
