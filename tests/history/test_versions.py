"""History and series, from values alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.history.records.images import ImageRecord
from pipeline.history.records.repositories import Move, RepositoryRecord, TagRecord
from pipeline.history.versions import Observation, advance, forget, series_of
from pipeline.oci.descriptor import Descriptor
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import OCI_MANIFEST

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def digest(name: str) -> Digest:
    return Digest.of(name.encode())


def image(name: str, *, created: int | None = None, subject: str | None = None) -> ImageRecord:
    root = Descriptor(media_type=OCI_MANIFEST, digest=digest(name), size=1)
    return ImageRecord(
        documents=(root,),
        blobs=(Descriptor(media_type="", digest=digest(f"blob of {name}"), size=1),),
        platforms=(),
        subjects={root.digest: digest(subject)} if subject else {},
        created=None if created is None else day(created),
    )


def seen(tags: Mapping[str, str | ImageRecord], *more: ImageRecord) -> Observation:
    images = {tag: image(value) if isinstance(value, str) else value for tag, value in tags.items()}
    return Observation(
        tags={tag: value.digest for tag, value in images.items()},
        images={value.digest: value for value in (*images.values(), *more)},
    )


def history(*nights: Mapping[str, str | ImageRecord]) -> RepositoryRecord:
    """What is known after each of these was seen, a day apart."""
    record = RepositoryRecord()
    for number, tags in enumerate(nights):
        record = advance(record, seen(tags), now=day(number))
    return record


def names(record: RepositoryRecord, scopes: Sequence[str] = ()) -> dict[str, list[str]]:
    """Each series by name, its versions as letters."""
    letters = {digest(letter): letter for letter in "ABCDEFGH"}
    return {series.name: [letters[version] for version in series.versions] for series in series_of(record, scopes)}


def test_a_tag_that_has_moved_is_a_series_of_its_own() -> None:
    record = history({"nightly": "A", "stable": "B"}, {"nightly": "C", "stable": "B"}, {"nightly": "D", "stable": "E"})
    assert names(record) == {"nightly": ["A", "C", "D"], "stable": ["B", "E"]}


def test_a_layout_that_holds_only_todays_image_has_a_history() -> None:
    record = history({"latest": "A"}, {"latest": "B"}, {"latest": "C"})
    [series] = series_of(record)
    assert series.latest == digest("C")
    assert series.versions == (digest("A"), digest("B"), digest("C"))
    assert [move.since for move in record.tags["latest"].moves] == [day(0), day(1), day(2)]


def test_a_roll_back_makes_the_old_image_the_latest() -> None:
    record = history({"latest": "A"}, {"latest": "B"}, {"latest": "A"})
    assert names(record) == {"latest": ["B", "A"]}
    assert [move.image for move in record.tags["latest"].moves] == [digest("A"), digest("B"), digest("A")]


@pytest.mark.parametrize(
    ("tags", "order"),
    [
        ({"1.10": "B", "1.9": "A"}, "AB"),
        ({"v2.0.0": "C", "v1.0.0": "A", "1.5": "B"}, "ABC"),
        ({"2": "B", "1.9.9": "A", "3.0": "C"}, "ABC"),
        ({"1.0.0": "C", "1.0.0-rc.10": "B", "1.0.0-rc.9": "A"}, "ABC"),
        ({"1.0.0_build.5": "A", "1.0.1": "B"}, "AB"),
        ({"1.0.0_b2": "A", "1.0.0_b1": "B"}, "AB"),  # builds do not count: as they were first seen
        ({"b": image("A", created=1), "a": image("B", created=2), "1.0": image("C", created=3)}, "ABC"),
        ({"b": image("B", created=2), "a": image("A", created=1)}, "AB"),
        ({"b": image("A", created=9), "a": image("B")}, "AB"),  # one states no time: as they were first seen
        ({"01.2": "A", "1.1": "B"}, "AB"),  # no semantic version: as they were first seen
        ({"latest": "B", "1.10": "B", "1.9": "A"}, "AB"),  # a name for an image that has a version
        ({"c": image("A", created=-20_454), "b": image("B", created=2), "a": image("C", created=1)}, "ABC"),  # 1970
    ],
)
def test_tags_that_never_moved_are_ordered(tags: Mapping[str, str | ImageRecord], order: str) -> None:
    assert names(history(tags)) == {"*": list(order)}


def test_what_is_first_seen_later_is_newer_whatever_it_says_of_itself() -> None:
    """From `C` on builds are reproducible: 1970, and later one with the clock of a builder that is behind."""
    old = {"a": image("A", created=-9), "b": image("B", created=-8)}
    record = history(old, {"x": image("C", created=-20_454)}, {"m": image("D", created=-10)}, {"n": "E"})
    assert names(record) == {"*": list("ABCDE")}


def test_versions_come_first_where_all_are_versions() -> None:
    record = history({"1.0": "A", "1.2": "C"}, {"1.1": "B"})
    assert names(record) == {"*": ["A", "C", "B"]}, "1.1 is all that its layout has: a roll-back"
    assert names(history({"1.0": "A", "1.2": "C"}, {"1.0": "A", "1.2": "C", "1.1": "B"})) == {"*": list("ABC")}


def test_a_tag_that_is_no_version_makes_no_old_version_the_latest() -> None:
    mixed = {"1.0": "A", "1.2": "C", "pr-7": "D"}
    assert names(history(mixed, mixed | {"1.1": "B"})) == {"*": list("ABDC")}
    hashes = {"9999999": "A", "beef001": "B"}
    assert names(history(hashes, hashes | {"1000001": "C"})) == {"*": list("ABC")}, "numbers, but no versions"


@pytest.mark.parametrize(
    ("tags", "moved"),
    [
        (["1.0", "1.1", "1.2"], "1.1"),
        (["v1.0.0", "v1.1.0", "v1.2.0"], "v1.1.0"),
        (["1.0-rc1", "1.0-rc2", "1.0"], "1.0-rc2"),
        (["release-1", "release-2", "release-3"], "release-2"),
        (["2026-01-01", "2026-01-02", "2026-01-03"], "2026-01-02"),
    ],
)
def test_a_release_that_was_built_again_stays_in_its_line(tags: Sequence[str], moved: str) -> None:
    first = dict(zip(tags, "ABC", strict=True))
    record = history(first, first | {moved: "D"})
    assert names(record) == {"*": ["A", "B", "D", "C"], moved: ["B", "D"]}
    twice = advance(record, seen(first | {moved: "E"}), now=day(5))
    assert names(twice) == {"*": ["A", "B", "D", "E", "C"], moved: ["B", "D", "E"]}


def test_all_releases_may_be_built_again_at_once() -> None:
    record = history({"1.0": "A", "1.1": "B"}, {"1.0": "C", "1.1": "D"})
    assert names(record) == {"*": ["A", "C", "B", "D"], "1.0": ["A", "C"], "1.1": ["B", "D"]}


@pytest.mark.parametrize("rolling", ["latest", "stable", "nightly", "2-slim", "edge-x86_64", "sha"])
def test_a_rolling_tag_is_no_version_of_the_line(rolling: str) -> None:
    record = history({"1.0": "A", "1.1": "B", rolling: "C"}, {"1.0": "A", "1.1": "B", rolling: "D"})
    assert names(record) == {"*": ["A", "B"], rolling: ["C", "D"]}


def test_a_series_is_lost_when_its_last_tag_is() -> None:
    record = history({"1.0": "A", "1.1": "B", "edge": "C"}, {"1.1": "B", "edge": "D"}, {"1.2": "E"})
    assert {series.name: series.lost for series in series_of(record, ["1.*"])} == {"1.*": None, "edge": day(2)}
    gone = advance(record, seen({"x": "F"}), now=day(3))
    assert {series.name: series.lost for series in series_of(gone, ["1.*"])} == {
        "1.*": day(3),
        "edge": day(2),
        "*": None,
    }


def test_first_seen_means_the_run_and_then_the_order_of_the_layout() -> None:
    record = history({"one": "A", "two": "B"}, {"zero": "C", "two": "B", "one": "A"})
    assert names(record) == {"*": ["A", "B", "C"]}


def test_tags_for_the_same_image_are_one_version() -> None:
    assert names(history({"1.0": "A", "1.0.0": "A", "1.1": "B", "2.0": "A"})) == {"*": ["B", "A"]}


def test_a_tag_that_the_layout_has_lost_stays_a_version() -> None:
    record = history({"1.0": "A", "2.0": "B"}, {"2.0": "B", "3.0": "C"})
    assert names(record) == {"*": ["A", "B", "C"]}
    assert record.tags["1.0"].lost == day(1)
    assert record.tags["2.0"].lost is None
    assert advance(record, seen({"1.0": "A", "2.0": "B", "3.0": "C"}), now=day(5)).tags["1.0"].lost is None
    later = advance(record, seen({"2.0": "B", "3.0": "C"}), now=day(5))
    assert later is record


def test_without_its_newest_tag_the_one_before_is_the_latest() -> None:
    record = history({"1.0": "A", "2.0": "B", "3.0": "C"}, {"1.0": "A", "2.0": "B"})
    assert names(record) == {"*": ["A", "C", "B"]}
    assert names(advance(record, seen({"3.0": "C"}), now=day(2))) == {"*": ["A", "B", "C"]}


def test_scopes_take_their_tags_in_order_and_the_rest_is_one_more() -> None:
    record = history(
        {"1.0": "A", "2.0": "B", "1.1": "C", "edge": "D", "2-nightly": "E"},
        {"1.0": "A", "2.0": "B", "1.1": "C", "edge": "D", "2-nightly": "F"},
    )
    assert names(record, ["1.*", "2*"]) == {"1.*": ["A", "C"], "2*": ["B"], "2-nightly": ["E", "F"], "*": ["D"]}


def test_listings_are_no_versions() -> None:
    signature = f"sha256-{digest('A').hex}.sig"
    record = history({"1.0": "A", signature: "B"})
    assert names(record) == {"*": ["A"]}


def test_nothing_new_gives_the_same_value() -> None:
    record = history({"1.0": "A"}, {"1.0": "A"})
    assert advance(record, seen({"1.0": "A"}), now=day(9)) is record


def test_what_is_nowhere_is_forgotten_and_its_tags_go_back() -> None:
    record = history({"latest": "A", "1.0": "B"}, {"latest": "C", "1.0": "B"}, {"latest": "A", "1.0": "B"})
    there = {part.digest for known in record.images.values() for part in (*known.documents, *known.blobs)}
    assert forget(record, there) is record
    whole = forget(record, there - {digest("blob of C")})
    assert names(whole) == {"*": ["A", "B"]}
    assert whole.tags["latest"] == TagRecord(moves=(Move(image=digest("A"), since=day(0)),))
    assert set(forget(record, there - {digest("B")}).tags) == {"latest"}
    back = forget(history({"latest": "A"}, {"latest": "C"}), there - {digest("C")})
    assert back.tags["latest"].image == digest("A")


def test_an_unknown_image_is_left_out_of_its_series() -> None:
    record = history({"latest": "A"}, {"latest": "B"}, {"latest": "C"})
    record = replace(record, images={key: value for key, value in record.images.items() if key != digest("B")})
    assert names(record) == {"latest": ["A", "C"]}
