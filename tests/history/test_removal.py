"""What is taken out of publication and stays out, from values alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from pipeline.history.ledger import Ledger
from pipeline.history.records.images import ImageRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.removal import Removable, RemovalError, admitted, changes, is_removed, put_back, remove
from pipeline.history.versions import advance
from pipeline.oci.digest import Digest

from ..runs import read_again
from .test_versions import day, digest, history, image, names, seen

EVERYTHING = frozenset(
    part.digest for letter in "ABCDEFGH" for known in [image(letter)] for part in (*known.documents, *known.blobs)
)


def ledger(record: RepositoryRecord) -> Ledger:
    return Ledger(repositories={"app": record, "other": history({"latest": "H"})})


def without(record: RepositoryRecord, *what: str) -> Ledger:
    found = ledger(record)
    for text in what:
        found = remove(found, Removable.parse(text), now=day(50))
    return found


def letters(found: Ledger) -> str:
    images = found.repositories["app"].images if "app" in found.repositories else {}
    return "".join(letter for letter in "ABCDEFGH" if digest(letter) in images)


def points(found: Ledger) -> dict[str, str]:
    """Each tag and where it points to."""
    by_digest = {digest(letter): letter for letter in "ABCDEFGH"}
    return {tag: by_digest[known.image] for tag, known in found.repositories["app"].tags.items()}


@pytest.mark.parametrize(
    ("text", "repository", "tag", "image_digest"),
    [
        ("team/app", "team/app", None, None),
        ("team/app:1.0", "team/app", "1.0", None),
        (f"app@{digest('A')}", "app", None, digest("A")),
    ],
)
def test_what_can_be_named(text: str, repository: str, tag: str | None, image_digest: Digest | None) -> None:
    found = Removable.parse(text)
    assert found == Removable(repository=repository, tag=tag, digest=image_digest)
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "App", "app:", "app@", "app@sha256:00", "app:1@2", f"app:1@{digest('A')}", "a b", ":1"]
)
def test_what_cannot_be_named(text: str) -> None:
    with pytest.raises(RemovalError):
        Removable.parse(text)


def test_a_tag_goes_with_the_images_that_nothing_else_points_to() -> None:
    record = history({"latest": "A", "pr": "C"}, {"latest": "B", "pr": "D"}, {"latest": "B", "pr": "B"})
    found = without(record, "app:pr")
    assert points(found) == {"latest": "B"}
    assert letters(found) == "AB"
    assert names(found.repositories["app"]) == {"latest": ["A", "B"]}


def test_a_repository_goes_whole() -> None:
    found = without(history({"latest": "A"}), "app")
    assert set(found.repositories) == {"other"}
    assert is_removed(found, "app")
    assert not is_removed(found, "other")
    assert set(without(history({"latest": "A"}), "app:latest").repositories) == {"other"}


def test_an_image_goes_and_its_tags_point_to_what_they_pointed_to_before() -> None:
    record = history({"latest": "A", "1": "A"}, {"latest": "B", "2": "B"}, {"latest": "C", "3": "C"})
    found = without(record, f"app@{digest('C')}")
    assert points(found) == {"latest": "B", "1": "A", "2": "B"}
    assert letters(found) == "AB"
    twice = without(record, f"app@{digest('C')}", f"app@{digest('A')}")
    assert points(twice) == {"latest": "B", "2": "B"}
    assert twice.repositories["app"].tags["latest"].has_moved


def test_an_index_goes_with_what_it_holds() -> None:
    held = image("B")
    index = replace(image("A"), documents=(*held.documents, *image("A").documents))
    record = history({"1.0": index, "2.0": "C"})
    assert points(without(record, f"app@{digest('B')}")) == {"2.0": "C"}


def test_what_is_attached_goes_too() -> None:
    signature = f"sha256-{digest('A').hex}.sig"
    record = advance(
        RepositoryRecord(), seen({"1.0": "A", signature: "E", "2.0": "B"}, image("F", subject="A")), now=day(0)
    )
    record = advance(record, seen({"1.0": "A", signature: "E", "2.0": "B"}, image("G", subject="F")), now=day(1))
    assert letters(without(record, "app:2.0")) == "AEFG"
    assert letters(without(record, "app:1.0")) == "B"
    assert points(without(record, f"app@{digest('A')}")) == {"2.0": "B"}


@pytest.mark.parametrize("text", ["app:2.0", f"app@{digest('B')}", "nothing", "nothing:1.0"])
def test_what_is_not_published_cannot_be_removed(text: str) -> None:
    with pytest.raises(RemovalError, match="is not published"):
        without(history({"1.0": "A"}), text)


def test_nothing_is_removed_twice_or_put_back_without_having_been_removed() -> None:
    once = without(history({"1.0": "A", "2.0": "B"}), "app:1.0")
    assert remove(once, Removable.parse("app:1.0"), now=day(60)) is once
    assert list(changes(once, once, "app")) == ["was removed already"]
    with pytest.raises(RemovalError, match=r"what was removed: app:1\.0"):
        put_back(without(history({"1.0": "A", "2.0": "B"}), "app:1.0"), Removable.parse("app:2.0"), there=EVERYTHING)


@pytest.mark.parametrize("text", ["app", "app:latest", "app:1.0", f"app@{digest('A')}", f"app@{digest('C')}"])
def test_an_undo_puts_back_what_there_was(text: str) -> None:
    record = history({"latest": "A", "1.0": "A"}, {"latest": "B", "1.0": "A", "2": "B"}, {"latest": "C", "1.0": "D"})
    back = put_back(without(record, text), Removable.parse(text), there=EVERYTHING)
    assert not back.removals
    assert back.repositories["app"].images == record.images
    assert back.repositories["app"].tags == record.tags


def test_an_undo_brings_back_no_more_than_is_there() -> None:
    record = history({"latest": "A"}, {"latest": "B", "pr": "C"})
    found = without(record, "app:pr")
    back = put_back(found, Removable.parse("app:pr"), there=EVERYTHING - {digest("blob of C")})
    assert (back.removals, back.repositories) == ({}, found.repositories)


def test_an_undo_leaves_what_came_since() -> None:
    record = history({"latest": "A"}, {"latest": "B"})
    found = without(record, f"app@{digest('B')}")
    later = advance(found.repositories["app"], seen({"latest": "C"}), now=day(60))
    found = replace(found, repositories={**found.repositories, "app": later})
    assert points(put_back(found, Removable.parse(f"app@{digest('B')}"), there=EVERYTHING)) == {"latest": "C"}


def test_a_part_of_what_was_removed_whole_is_not_put_back_alone() -> None:
    found = without(history({"1.0": "A", "2.0": "B"}), "app:1.0", "app")
    with pytest.raises(RemovalError, match="put that back first"):
        put_back(found, Removable.parse("app:1.0"), there=EVERYTHING)


def allowed(
    tags: Mapping[str, str | ImageRecord], found: Ledger, repositories: Sequence[str] = ("app",)
) -> tuple[dict[str, Digest], set[Digest], int]:
    left, notes = admitted(seen(tags), found.removals, repositories)
    return dict(left.tags), set(left.images), len(notes)


def test_a_layout_does_not_bring_back_what_was_removed() -> None:
    found = without(history({"1.0": "A", "pr": "B"}, {"1.0": "A", "pr": "C"}), "app:pr", f"app@{digest('A')}")
    assert allowed({"1.0": "A", "pr": "C", "2.0": "D"}, found) == ({"2.0": digest("D")}, {digest("C"), digest("D")}, 2)
    assert allowed({"1.0": "E", "copy": "A"}, found) == ({"1.0": digest("E")}, {digest("E")}, 1)
    index = replace(image("F"), documents=(*image("A").documents, *image("F").documents))
    assert allowed({"3.0": index}, found) == ({}, set(), 1)
    assert allowed({"pr": "C"}, found, ["renamed"])[2] == 0
    assert allowed({"pr": "C"}, found, ["renamed", "app"])[2] == 1
    [note] = admitted(seen({"pr": "C"}), found.removals, ["app"])[1]
    assert note == "pr is in the layout, but app:pr was removed; `deltapress remove --undo app:pr` takes that back"


def test_what_was_removed_is_remembered() -> None:
    found = without(history({"1.0": "A", "pr": "B"}), "app:pr", "other")
    assert read_again(found) == found
