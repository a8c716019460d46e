"""Which images stay published, from values alone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.config import Policy
from pipeline.history.records.images import ImageRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.retention import end_of, pinned_images, retain
from pipeline.history.versions import advance

from .test_versions import day, digest, history, image, names, seen


def kept_by(
    record: RepositoryRecord, scopes: Sequence[str] = (), *, at: int = 100, pins: Sequence[str] = (), **policy: Any
) -> RepositoryRecord:
    return retain(record, scopes, policy=Policy(**policy), pins=pins, now=day(at))


def letters(record: RepositoryRecord) -> str:
    return "".join(letter for letter in "ABCDEFGH" if digest(letter) in record.images)


def test_keep_counts_versions_of_each_series_and_tags_hold_theirs() -> None:
    record = history(*({"latest": letter} for letter in "ABCDE"))
    kept = kept_by(record, keep=3)
    assert set(kept.images) == {digest(letter) for letter in "CDE"}
    assert names(kept) == {"latest": ["C", "D", "E"]}
    assert kept_by(kept, keep=3) is kept
    never_moved = history({"1.0": "A", "2.0": "B", "3.0": "C"})
    assert kept_by(never_moved, keep=1) is never_moved


def test_a_lost_tag_goes_with_its_image() -> None:
    record = history({"1.0": "A", "2.0": "B", "3.0": "C"}, {"3.0": "C"})
    kept = kept_by(record, keep=2)
    assert set(kept.tags) == {"2.0", "3.0"}
    assert set(kept.images) == {digest("B"), digest("C")}


def test_a_moved_tag_stays_a_series_when_one_image_is_left() -> None:
    record = kept_by(history({"latest": "A", "1.0": "C"}, {"latest": "B", "1.0": "C"}), keep=1)
    assert names(record) == {"latest": ["B"], "*": ["C"]}
    again = advance(record, seen({"latest": "D", "1.0": "C"}), now=day(3))
    assert names(kept_by(again, keep=2)) == {"latest": ["B", "D"], "*": ["C"]}


def test_a_release_that_was_built_again_keeps_its_place_when_its_first_image_goes() -> None:
    tags = {"release-1": "A", "release-2": "B", "release-3": "C"}
    record = history(tags, tags | {"release-2": "D"}, tags | {"release-2": "E"})
    kept = kept_by(record, keep=2)
    assert names(kept) == {"*": ["A", "D", "E", "C"], "release-2": ["D", "E"]}
    assert kept.tags["release-2"].moves[0].since == day(0)


def test_the_newest_are_kept_whatever_they_say_of_themselves() -> None:
    record = history({"a": image("A", created=-9)}, {"b": image("B", created=-8)}, {"c": image("C", created=-20_454)})
    assert letters(kept_by(record, keep=2)) == "BC"


@pytest.mark.parametrize(("nights", "left"), [(2, "ABC"), (3, "CD"), (4, "DE")])
def test_a_mistaken_tag_ages_as_versions_come(nights: int, left: str) -> None:
    """`pr` left the layout at day 1, with its series."""
    record = history({"latest": "B", "pr": "A"}, *({"latest": letter} for letter in "CDEF"[: nights - 1]))
    assert letters(kept_by(record, keep=2)) == left


def test_a_line_that_ended_ages_from_its_oldest_on() -> None:
    record = history({"1.0": "A", "1.1": "B", "1.2": "C", "2.0": "D"}, {"2.0": "D", "2.1": "E"}, {"2.2": "F"})
    scopes = ["1.*", "2.*"]
    assert letters(kept_by(record, scopes, keep=4)) == "BCDEF"
    assert letters(kept_by(record, scopes, keep=2)) == "EF"
    assert letters(kept_by(record, scopes, keep=1, keep_for=timedelta(days=99), at=99)) == "ABCDEF"


def test_a_discontinued_repository_is_kept() -> None:
    """Nothing comes after what is lost: it stays, for clients that still have it."""
    record = history({"1.0": "A", "edge": "B"}, {"edge": "C"})
    assert letters(kept_by(record, keep=5, at=9000)) == "ABC"


def test_what_cosign_attaches_lives_as_long_as_its_image() -> None:
    def signed(letter: str, signature: str) -> dict[str, str]:
        return {f"1.{ord(letter)}": letter, f"sha256-{digest(letter).hex}.sig": signature}

    record = history(signed("A", "F"), signed("B", "G"), {"9.0": "C"})
    assert letters(kept_by(record, keep=3)) == "ABCFG"
    kept = kept_by(record, keep=2)
    assert letters(kept) == "BCG"
    assert set(kept.tags) == {"1.66", "9.0", f"sha256-{digest('B').hex}.sig"}
    of_it = f"sha256-{digest('F').hex}.att"
    assert letters(kept_by(history({**signed("A", "F"), of_it: "H"}, {"9.0": "C"}), keep=2)) == "ACFH"


def test_a_chain_of_artifacts_is_walked_once() -> None:
    """Ten thousand take no longer than it takes to look at each a few times."""
    chain = [
        image(f"link {number}", subject=f"link {number - 1}" if number else "A") for number in reversed(range(10_000))
    ]
    record = advance(RepositoryRecord(), seen({"latest": "A"}, *chain), now=day(0))
    assert len(kept_by(record, keep=1).images) == 10_001
    moved = advance(record, seen({"latest": "B"}), now=day(1))
    assert letters(kept_by(moved, keep=1)) == "B"


def test_what_is_left_out_is_left_out_at_once() -> None:
    """Without the lost `edge` the others are semantic versions, and another one is the newest."""
    record = history({"2.0": "A", "edge": "B", "1.1": "C", "latest": "A"}, {"latest": "A"})
    kept = kept_by(record, ["latest"], keep=1)
    assert set(kept.images) == {digest("A")}
    assert kept_by(kept, ["latest"], keep=1) is kept


def test_attached_artifacts_live_as_long_as_their_subject() -> None:
    record = RepositoryRecord()
    artifacts = image("D", subject="A"), image("E", subject="D"), image("F", subject="B"), image("G", subject="nothing")
    record = advance(record, seen({"latest": "A"}, *artifacts), now=day(0))
    record = advance(record, seen({"latest": "B"}), now=day(1))
    assert set(kept_by(record, keep=2).images) == {digest(letter) for letter in "ABDEF"}
    assert set(kept_by(record, keep=1).images) == {digest(letter) for letter in "BF"}


def test_a_tag_made_of_a_digest_lives_as_long_as_what_it_is_made_of() -> None:
    def signature(letter: str) -> str:
        return str(digest(letter)).replace(":", "-") + ".sig"

    nights = [{"latest": letter, signature(letter): sig} for letter, sig in ("AE", "BF", "CG")]
    record = kept_by(history(*nights, {"latest": "D"}), keep=3)
    assert letters(record) == "BCDFG"
    assert set(record.tags) == {"latest", signature("B"), signature("C")}


def test_a_lost_tag_that_matches_is_held_with_its_image() -> None:
    record = history({"v1.0": "A", "rc-1": "B", "v2.0": "C"}, {"v3.0": "D"})
    kept = kept_by(record, keep=1, keep_tags=("v*", "stable"))
    assert letters(kept) == "ACD"
    assert set(kept.tags) == {"v1.0", "v2.0", "v3.0"}
    assert letters(kept_by(kept, keep=1)) == "D"


def test_a_moving_tag_that_matches_holds_its_image_of_today_alone() -> None:
    record = history({"edge": "A", "x": "H"}, {"edge": "B", "x": "H"}, {"edge": "C", "x": "H"}, {"x": "H"})
    assert letters(kept_by(record, keep=1, keep_tags=("edge",))) == "CH"


@pytest.mark.parametrize(
    ("at", "days", "left"), [(4, 4, "ABCD"), (4, 3, "BCD"), (5, 3, "CD"), (6, 3, "D"), (3, 0, "D")]
)
def test_an_image_stays_for_a_time_after_it_was_replaced(at: int, days: int, left: str) -> None:
    """A was replaced at day 1, B at day 2, C at day 3; what counts is how long ago that is."""
    record = history({"latest": "A"}, {"latest": "B"}, {"latest": "C"}, {"latest": "D"})
    assert letters(kept_by(record, keep=1, keep_for=timedelta(days=days), at=at)) == left


def test_the_time_begins_when_the_last_of_its_holders_is_gone() -> None:
    """1.0 was replaced by 2.0 at day 1, and its layout had it until day 3; after a roll-back B was the latest again."""
    record = history({"1.0": "A"}, {"1.0": "A", "2.0": "B"}, {"1.0": "A", "2.0": "B"}, {"2.0": "B"})
    assert letters(kept_by(record, keep=1, keep_for=timedelta(days=2), at=4)) == "AB"
    assert letters(kept_by(record, keep=1, keep_for=timedelta(days=2), at=5)) == "B"
    rolled = history({"t": "A"}, {"t": "B"}, {"t": "A"}, {"t": "C"})
    assert letters(kept_by(rolled, keep=1, keep_for=timedelta(days=2), at=4)) == "AC"
    assert letters(kept_by(rolled, keep=1, keep_for=timedelta(days=3), at=4)) == "ABC"


def test_a_pin_holds_by_digest_by_tag_and_by_a_digest_within() -> None:
    record = history({"1.0": "A", "2.0": "B", "3.0": "C"}, {"4.0": "D"})
    assert letters(kept_by(record, keep=1, pins=[str(digest("A"))])) == "AD"
    assert letters(kept_by(record, keep=1, pins=["2.0"])) == "BD"
    assert letters(kept_by(record, keep=1, pins=["9.9", str(digest("nothing"))])) == "D"
    assert pinned_images(record, "9.9") == frozenset()
    inner = history({"1.0": index("A", "E")}, {"2.0": "B"})
    assert set(kept_by(inner, keep=1, pins=[str(digest("E"))]).images) == {digest("A"), digest("B")}


def index(name: str, child: str) -> ImageRecord:
    root = image(name)
    return replace(root, documents=(*image(child).documents, *root.documents))


def test_what_a_pin_holds_keeps_its_signature() -> None:
    record = advance(RepositoryRecord(), seen({"1.0": "A"}, image("E", subject="A")), now=day(0))
    record = advance(record, seen({"2.0": "B"}), now=day(1))
    assert letters(kept_by(record, keep=1, pins=["1.0"])) == "ABE"
    assert letters(kept_by(record, keep=1)) == "B"


def test_a_period_that_nobody_will_see_end() -> None:
    """A ledger may say so, whatever a configuration may."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert end_of(since, timedelta(days=1)) == datetime(2026, 1, 2, tzinfo=UTC)
    assert end_of(since, timedelta.max) == datetime.max.replace(tzinfo=UTC)
