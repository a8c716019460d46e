"""What a repository lists of the deltas that it wants, from values alone."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Policy
from pipeline.deltas.budget import within_budget
from pipeline.deltas.plan import DeltaPlan, Rules, plan_deltas
from pipeline.history.ledger import Ledger
from pipeline.history.records.deltas import DeltaRecord
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.oci.digest import Digest

from .test_plan import NOW, made, moved, platform_image, simple

LETTERS = "ABCDEF"


def budgeted(
    record: RepositoryRecord,
    deltas: list[DeltaRecord],
    limit: int | None,
    pulls: dict[Digest, int] | None = None,
) -> DeltaPlan:
    ledger = Ledger(repositories={"app": record}, deltas={delta.key: delta for delta in deltas})
    rules = {"app": Rules(policy=Policy(versions=9, max_deltas=limit), pulls=pulls)}
    plan = plan_deltas(ledger, rules, generator="g1", options="o1", now=NOW)
    return within_budget(plan, rules, ledger.deltas)


def sources(wanted: DeltaPlan, letters: str = LETTERS) -> str:
    names = {platform_image(letter).manifest: letter for letter in letters}
    return "".join(dict.fromkeys(names[want.source] for want in wanted.wanted))


RECORD = moved(*(simple(letter) for letter in LETTERS))


def deltas(*sizes: int) -> list[DeltaRecord]:
    """From E, D, C, … into F, whose layer has 1,000 bytes."""
    return [made(old, "F", size=size) for old, size in zip("EDCBA", sizes, strict=False)]


def test_what_saves_most_per_byte_stays() -> None:
    found = budgeted(RECORD, deltas(300, 100, 200, 50, 400), 360)
    assert sources(found) == "DCB"
    assert {want.source for want in found.over_budget} == {platform_image(letter).manifest for letter in "EA"}
    assert found.jobs == ()


def test_a_limit_of_everything_drops_nothing() -> None:
    assert budgeted(RECORD, deltas(300, 100, 200, 50, 400), 1050).over_budget == ()
    unlimited = budgeted(RECORD, deltas(300, 100), None)
    assert unlimited.over_budget == ()
    assert len(unlimited.jobs) == 3


def test_what_was_not_made_yet_is_made() -> None:
    found = budgeted(RECORD, deltas(300, 100), 150)
    assert {job.key for job in found.jobs} == {made(old, "F").key for old in "ABC"}
    assert sources(found) == "DCBA"


def test_pulls_weigh() -> None:
    pulls = {platform_image(letter).manifest: count for letter, count in zip("ABCDE", (9, 1, 1, 1, 1), strict=True)}
    assert sources(budgeted(RECORD, deltas(200, 200, 200, 200, 400), 400, pulls)) == "A"
    assert sources(budgeted(RECORD, deltas(200, 200, 200, 200, 400), 400)) == "ED"


def test_the_bytes_of_one_delta_of_two_series_count_once() -> None:
    both = moved(*(simple(letter) for letter in LETTERS), tag="stable", record=RECORD)
    assert sources(budgeted(both, deltas(300, 300, 300, 300, 300), 600)) == "ED"


@given(sizes=st.lists(st.integers(1, 1200), min_size=5, max_size=5), limit=st.integers(1, 3000))
def test_the_limit_holds_and_nothing_flaps(sizes: list[int], limit: int) -> None:
    """Night after night: all are made, some are dropped, the bytes of those are deleted."""
    first = budgeted(RECORD, [], limit)
    assert sources(first) == "EDCBA"
    known = deltas(*sizes)
    second = budgeted(RECORD, known, limit)
    assert second == budgeted(RECORD, list(reversed(known)), limit)
    listed = {want.key for want in second.wanted}
    assert sum(delta.size for delta in known if delta.key in listed and delta.size <= 900) <= limit
    pruned = [delta if delta.key in listed else replace(delta, digest=None) for delta in known]
    third = budgeted(RECORD, pruned, limit)
    assert (third.wanted, third.over_budget, third.jobs) == (second.wanted, second.over_budget, ())
