"""The text for people: of real runs, since its words are made of what they found."""

from pathlib import Path

from pipeline.keys import PAGE_KEY
from pipeline.report import outcome_json, plan_text, publish_text

from .runs import Shop, app, other


def rows(text: str) -> list[list[str]]:
    """The cells of the rows that show an update, from the repository on."""
    return [line.split() for line in text.splitlines() if "→" in line]


def test_an_image_goes_by_the_names_that_its_own_repository_gives_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 1", repositories={"app": "", "mirror": ""})
    shop.images({"1.0": app(0), "1.1": app(1)})
    shop.images({"old": app(0), "new": app(1)}, "mirror")
    names = [["app", "linux/amd64", "1.0", "→", "1.1"], ["mirror", "linux/amd64", "old", "→", "new"]]
    assert [row[:5] for row in rows(plan_text(shop.dry_run()))] == names
    assert [row[:5] for row in rows(publish_text(shop.run()))] == names


def test_an_update_of_two_series_is_one_row(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 1")
    for number in range(2):
        shop.images({"stable": app(number), "edge": app(number)})
        planned = shop.dry_run(number)
        outcome = shop.run(number)
    assert len(rows(plan_text(planned))) == 1
    assert "1 is wanted" in plan_text(planned)
    assert len(rows(publish_text(outcome))) == 1
    assert shop.folder.contents[PAGE_KEY].decode().count("saved") == 1 + 1, "one row, and the style"
    assert {saving["series"] for saving in outcome_json(outcome)["savings"]} == {"stable", "edge"}


def test_a_plan_says_for_which_clients_a_delta_is(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 1", repositories={"one": "", "two": ""})
    for number in range(2):
        shop.images({"latest": app(number)}, "one")
        shop.images({"latest": (other(0), app(number))}, "two")
        planned = shop.dry_run(number)
        shop.run(number)
    found = [row for row in rows(plan_text(planned)) if row[0] in {"one", "two"}]
    assert sorted((row[0], *(word.rstrip(",") for word in row if word[:5] in {"delta", "oci-d"})) for row in found) == [
        ("one", "deltaindex", "oci-delta"),
        ("two", "deltaindex"),
        ("two", "oci-delta"),
    ]
