"""Reports of past runs in a target: how many there are, what remains after a crash, and what is damaged."""

import json

import pytest

from pipeline.history.reports import MAX_REPORT_SIZE, UnreadableReport, keep_report, read_reports, report_keys
from pipeline.keys import REPORTS_KEY, Key, report_key
from pipeline.targets.base import Target
from tests.crash.points import deaths
from tests.runs import MemoryFolder
from tests.targets.wrappers import FAILURE_MODES, FailureMode


def kept(*, keep: int = 3, runs: int = 5) -> MemoryFolder:
    folder = MemoryFolder()
    for number in range(1, runs + 1):
        keep_report(folder, {"what": number}, keep=keep)
    return folder


def numbers(target: Target, count: int = 100) -> list[int]:
    found = []
    for report in read_reports(target, count):
        assert not isinstance(report, UnreadableReport)
        assert report["run"] == report["what"]
        found.append(report["run"])
    return found


def test_the_last_ones_are_kept_the_newest_first() -> None:
    folder = kept()
    assert numbers(folder) == [5, 4, 3]
    assert numbers(folder, 2) == [5, 4]
    assert set(folder.contents) == report_keys(folder) == {REPORTS_KEY, *map(report_key, (3, 4, 5))}


@pytest.mark.parametrize(("keep", "there"), [(1, [6]), (2, [6, 5]), (10, [6, 5, 4, 3]), (0, [])])
def test_another_number_holds_from_the_next_run_on(keep: int, there: list[int]) -> None:
    folder = kept()
    keep_report(folder, {"what": 6}, keep=keep)
    assert numbers(folder) == there
    assert set(folder.contents) == report_keys(folder)
    assert bool(folder.contents) == bool(there)


def test_without_reports_nothing_is_written() -> None:
    assert kept(keep=0).contents == {}
    assert numbers(MemoryFolder()) == []
    assert report_keys(MemoryFolder()) == frozenset()


@pytest.mark.parametrize("keep", [0, 1, 3, 4])
@pytest.mark.parametrize("mode", FAILURE_MODES)
def test_what_a_crash_leaves_the_next_run_mends(mode: FailureMode, keep: int) -> None:
    before = kept()
    died = list(deaths(before, lambda target: keep_report(target, {"what": 6}, keep=keep), mode))
    assert died
    for death in died:
        assert numbers(death.folder)[-1:] in ([3], [4], [5], [6], []), death
        again = 7 if 6 in numbers(death.folder) else 6
        keep_report(death.folder, {"what": again}, keep=keep)
        assert set(death.folder.contents) == report_keys(death.folder), death
        assert numbers(death.folder)[:1] == ([again] if keep else []), death
        assert len(numbers(death.folder)) == keep


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"first": 1}',
        b'{"first": 2, "last": 1}',
        b'{"first": 0, "last": 3}',
        b'{"first": 1, "last": 1000000}',
        b'{"first": 999999999, "last": 999999999}',
        b'{"first": "1", "last": 2}',
        b" " * 5000,
    ],
    ids=lambda raw: raw[:40].decode() or "empty",
)
def test_a_damaged_range_counts_as_none(raw: bytes) -> None:
    folder = kept()
    folder.contents[REPORTS_KEY] = raw
    assert numbers(folder) == []
    keep_report(folder, {"what": 1}, keep=3)
    assert numbers(folder) == [1]


def test_a_damaged_report_is_named_and_one_that_is_gone_passed_over() -> None:
    folder = kept(keep=4)
    folder.contents[report_key(4)] = b"{"
    folder.contents[report_key(3)] = b" " * (MAX_REPORT_SIZE + 1)
    del folder.contents[report_key(5)]
    damaged, large, left = read_reports(folder, 100)
    assert str(damaged).startswith("_deltapress/reports/4.json: cannot be read: the document: is not JSON")
    assert "_deltapress/reports/3.json: has more than 4,194,304 bytes" in str(large)
    assert not isinstance(left, UnreadableReport)
    assert left["run"] == 2


def test_a_report_too_large_to_be_read_again_is_kept_without_its_longest_lists() -> None:
    folder = MemoryFolder()
    long, longer = ["x" * 99] * 30_000, ["x" * 99] * 40_000
    keep_report(folder, {"a": long, "b": {"c": longer, "d": ["short"]}, "e": 5}, keep=3)
    (report,) = read_reports(folder, 1)
    assert not isinstance(report, UnreadableReport)
    assert report == {**report, "a": long, "b": {"c": [], "d": ["short"]}, "e": 5, "left_out": ["b.c"]}


def test_what_cannot_be_shortened_is_kept_as_far_as_it_is_short() -> None:
    folder = MemoryFolder()
    repositories = {f"{number:0100}": {"problem": None} for number in range(50_000)}
    keep_report(folder, {"repositories": repositories, "e": 5}, keep=3)
    (report,) = read_reports(folder, 1)
    assert report == {"schema": 1, "run": 1, "repositories": {}, "e": 5, "left_out": ["repositories"]}


def test_what_is_kept_is_the_same_for_the_same_runs() -> None:
    assert kept().contents == kept().contents
    assert json.loads(kept().contents[Key("_deltapress/reports/range.json")]) == {"schema": 1, "first": 3, "last": 5}
