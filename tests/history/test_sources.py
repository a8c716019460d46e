"""Which versions are sources of deltas for their time, and that they are kept, from values alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Policy
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.retention import retain
from pipeline.history.sources import timed_sources
from pipeline.history.versions import series_of

from .test_versions import day, digest, history


def chosen(record: RepositoryRecord, now: datetime, **policy: Any) -> dict[str, tuple[str, ...]]:
    (series,) = series_of(record)
    found = timed_sources(record, series, Policy(**policy), now=now)
    return {letter: found[digest(letter)] for letter in "ABCDEFGH" if digest(letter) in found}


NIGHTLY = history(*({"latest": letter} for letter in "ABCDE"))  # A from day 0 to day 1, …, E from day 4 on


@pytest.mark.parametrize(("days", "letters"), [(0, ""), (1, ""), (2, "D"), (3, "CD"), (9, "ABCD")])
def test_what_was_the_latest_within_a_time(days: int, letters: str) -> None:
    found = chosen(NIGHTLY, day(5), sources_within=timedelta(days=days))
    assert found == dict.fromkeys(letters, ("sources_within",))


def test_a_version_that_came_with_its_successor_was_never_the_latest() -> None:
    assert chosen(history({"1.0": "A", "1.1": "B", "1.2": "C"}), day(0), sources_within=timedelta(days=9)) == {}


def test_a_release_that_was_withdrawn_was_the_latest_until_then() -> None:
    record = history({"1.0": "A"}, {"1.0": "A", "1.1": "B"}, {"1.0": "A"})
    assert chosen(record, day(3), sources_within=timedelta(days=2)) == {"B": ("sources_within",)}


def test_the_versions_with_which_months_ended() -> None:
    # the days are those of January, and each version stays for ten
    record = history(*({"latest": "ABCDEFGH"[number // 10]} for number in range(71)))
    first = day(0).replace(day=1)
    march, april = first.replace(month=3, day=20), first.replace(month=4, day=2)
    boundaries = [month for month in (first.replace(month=2), first.replace(month=3)) if month <= day(70)]
    expected = {"ABCDEFGH"[((month - day(0)).days - (month == day(0))) // 10] for month in boundaries}
    assert len(expected) == 2
    assert chosen(record, march, sources_monthly=12) == dict.fromkeys(sorted(expected), ("sources_monthly",))
    assert len(chosen(record, march, sources_monthly=1)) == 1
    assert chosen(record, april, sources_monthly=1) == {}  # the latest itself ended March
    both = chosen(record, march, sources_monthly=12, sources_within=timedelta(days=365))
    assert all(both[letter] == ("sources_within", "sources_monthly") for letter in expected)


def test_months_without_end_are_no_mistake() -> None:
    assert chosen(NIGHTLY, day(5), sources_monthly=100_000) == {}


def test_sources_are_kept_though_keep_would_let_them_go() -> None:
    policy = Policy(versions=0, keep=1, sources_within=timedelta(days=3))
    kept = retain(NIGHTLY, policy=policy, now=day(5))
    assert kept.images.keys() == {digest(letter) for letter in "CDE"}
    assert retain(kept, policy=policy, now=day(6)).images.keys() == {digest(letter) for letter in "DE"}


@given(
    moves=st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=12),
    days=st.integers(min_value=0, max_value=15),
    months=st.integers(min_value=0, max_value=3),
)
def test_what_time_has_dropped_does_not_come_back(moves: list[str], days: int, months: int) -> None:
    """As long as nothing moves; and what is chosen is kept, so that it is chosen of what is left, too."""
    record = history(*({"latest": letter} for letter in moves))
    policy: dict[str, Any] = {"sources_within": timedelta(days=days), "sources_monthly": months}
    if len(series_of(record)) != 1:
        return
    within: set[str] | None = None
    for later in range(len(moves), len(moves) + 70, 3):
        found = chosen(record, day(later), **policy)
        kept = retain(record, policy=Policy(keep=1, versions=0, **policy), now=day(later))
        if series_of(kept):
            assert chosen(kept, day(later), **policy) == found
        now_within = {letter for letter, rules in found.items() if "sources_within" in rules}
        assert within is None or now_within <= within
        within = now_within
