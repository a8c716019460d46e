"""The text for people: of real runs, since its words are made of what they found."""

from itertools import count
from pathlib import Path

from pipeline.keys import LEDGER_KEY, page_key
from pipeline.quantities import format_size
from pipeline.report import outcome_json, plan_text, publish_text

from .runs import Shop, app, other


def rows(text: str) -> list[list[str]]:
    """The cells of the rows that show an update, from the repository on."""
    return [line.split() for line in text.splitlines() if "→" in line and "linux/amd64" in line]


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
    page = shop.folder.contents[page_key("app")].decode()
    assert page.count('class="n saved"') == page.count("<svg") == 1
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


def test_a_run_says_which_tags_moved_and_which_are_new(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 1", repositories={"app": "", "mirror": ""})
    said = []
    for number, moving in enumerate((0, 1, 0)):
        shop.images({"1.0": app(0), "1.1": app(1), "latest": app(moving)})
        shop.images({f"v{release}": app(release) for release in range(7)}, "mirror")
        said.append(publish_text(shop.run(number)).splitlines())
    assert said[0][:2] == ["app: new tags 1.0, 1.1, latest", "mirror: new tags v0, v1, v2, v3, v4 and 2 more"]
    assert said[1][0] == "app:latest  1.0 → 1.1"
    assert said[2][0] == "app:latest  1.1 → 1.0 (rolled back)"


def test_a_rebuilt_ledger_knows_of_no_moves(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(0)})
    shop.run()
    shop.folder.contents.pop(LEDGER_KEY)
    assert shop.run(1).moves == ()


def test_a_run_ends_with_a_table_of_what_it_did(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 1")
    shop.images({"1.0": app(0), "1.1": app(1)})
    clock = count(start=0.0, step=2.5)
    outcome = shop.run(clock=lambda: next(clock))
    *_, written, deltas, saved, time = publish_text(outcome).splitlines()
    assert written == f"  written  {outcome.written.keys} files, {format_size(outcome.written.size)}, in 1 repository"
    assert deltas == f"  deltas   1 made, {format_size(outcome.made[0].size)}"
    assert saved.startswith("  saved    9")
    assert "% of all updates: " in saved
    assert time == "  time     42 s: read 5.0 s, plan 10 s, other 18 s, write 5.0 s, deltas 2.5 s, delete 2.5 s"


def test_a_run_with_nothing_to_do_is_one_line(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(0)})
    shop.run()
    assert publish_text(shop.run(1)) == "Nothing to write: everything is published already."


def test_the_json_has_the_keys_that_changed_for_a_cache_in_front(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(0)})
    written = outcome_json(shop.run())["written"]
    assert "v2/app/manifests/latest" in written["changed"]
    assert {key.split("/")[-2] for key in written["unchanging"]} == {"blobs", "manifests"}
    assert all("sha256:" in key for key in written["unchanging"])
    assert not [key for key in (*written["changed"], *written["unchanging"]) if key.startswith("_deltapress/")]
