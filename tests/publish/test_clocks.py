"""A clock that jumps deletes nothing early; one that stands right delays nothing for ever."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.history.ledger import Ledger
from pipeline.keys import Key
from pipeline.publish.clocks import disagreement, settle_marks
from pipeline.targets.base import LockInfo
from pipeline.targets.directory import DirectoryTarget

from ..client import problems
from ..runs import ClocklessDirectory, MemoryFolder, Shop, app, night, read_again
from .test_prune import ledger

DAY = timedelta(days=1)
POLICY = 'versions = 1\nkeep = 2\ngrace = "3d"\nmax_delete = 1.0'


def since(known: Ledger) -> dict[str, datetime | None]:
    return {key: record.unreferenced for key, record in known.keys.items()}


def settled(known: Ledger, now: float, last: float | None, grace: timedelta = 3 * DAY) -> tuple[Ledger, str | None]:
    return settle_marks(known, lambda _: grace, now=night(now), last=None if last is None else night(last))


def test_marks_of_the_future_count_from_now() -> None:
    after, note = settled(ledger(a=None, b=1, c=50), 2, 1)
    assert since(after) == {"a": None, "b": night(1), "c": night(2)}
    assert note is None
    assert settled(after, 3, 2) == (after, None)


@pytest.mark.parametrize(
    ("last", "is_anew"), [(None, False), (6.5, False), (7, False), (6, True), (1, True), (99, False)]
)
def test_after_a_silence_longer_than_the_grace_marks_count_anew(last: float | None, is_anew: bool) -> None:
    after, note = settled(ledger(a=None, b=1), 9.5, last)
    assert since(after)["b"] == (night(9.5) if is_anew else night(1))
    assert (note is not None) == is_anew
    assert after.renewed == (night(9.5) if is_anew else None)


def test_who_publishes_once_a_month_deletes_all_the_same() -> None:
    first, _ = settled(ledger(a=0), 30, 0)
    assert since(first)["a"] == night(30)
    new = first.with_keys({key: replace(record, unreferenced=night(55)) for key, record in ledger(b=1).keys.items()})
    second, _ = settled(new, 60, 30)
    assert since(second) == {"a": night(30), "b": night(60)}
    second = second.without_keys([Key("a")])  # it had waited long enough
    third, note = settled(second, 90, 60)
    assert (third, note) == (second, None)


def test_a_night_between_two_runs_is_no_silence() -> None:
    known = ledger(a=1)
    assert settled(known, 3, 2, timedelta(0)) == (known, None)
    assert settled(known, 4.1, 2, timedelta(0))[1] is not None


def test_the_time_of_the_last_renewal_is_remembered() -> None:
    after, _ = settled(ledger(a=1), 9, 1)
    assert read_again(after) == after


@pytest.mark.parametrize(
    ("minutes", "is_right"), [(0, True), (59, True), (-59, True), (61, False), (-61, False), (60 * 24 * 365, False)]
)
def test_more_than_an_hour_between_two_clocks_is_too_much(minutes: int, is_right: bool) -> None:
    clock = night(1) + timedelta(minutes=minutes)
    assert (disagreement(night(1), clock, waited=timedelta(0)) is None) == is_right
    assert disagreement(night(1), None, waited=timedelta(0)) is None
    assert disagreement(night(1), night(2), waited=DAY) is None


class Rack(MemoryFolder):
    """In memory, with a trace of the last run, and a clock of its own where `clock` is set."""

    last: datetime | None = None
    clock: datetime | None = None

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        with super().lock(now=now, wait=wait):
            yield LockInfo(last=self.last, clock=self.clock)
            self.last = now


def _three_nights(shop: Shop) -> set[str]:
    for number in range(3):
        shop.images({"latest": app(number)})
        shop.run(number)
    return set(shop.folder.published())


def test_a_jump_deletes_nothing_early_and_the_way_back_neither(tmp_path: Path) -> None:
    shop = Shop(tmp_path, target=Rack(), policy=POLICY)
    before = _three_nights(shop)
    jumped = shop.run(400)
    assert any("clock has jumped" in note for note in jumped.notes)
    assert not jumped.prune.remove
    for number in (3, 4, 5.9):
        assert shop.run(number).prune.remove == ()
    assert set(shop.folder.published()) == before
    # counted from the run that found the clock to be right again
    assert shop.run(6).is_pruned
    assert set(shop.folder.published()) < before
    assert problems(shop.folder.contents, at_rest=True) == []


def test_a_storage_whose_clock_differs_deletes_nothing(tmp_path: Path) -> None:
    rack = Rack()
    shop = Shop(tmp_path, target=rack, policy=POLICY)
    before = _three_nights(shop)
    for number in range(3, 8):
        rack.clock = night(2.5)
        outcome = shop.run(number)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert "the clock of this machine says 2026-01-08 00:00" in (outcome.prune_problem or "")
    assert set(shop.folder.published()) == before
    rack.clock = night(7)
    assert shop.run(7).is_pruned
    assert set(shop.folder.published()) < before


def test_a_directory_tells_of_the_last_run_and_of_its_clock(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path / "public")
    began = datetime.now(UTC) - timedelta(seconds=1)
    with target.lock(now=night(3), wait=0) as first:
        pass
    with target.lock(now=night(4), wait=0) as second:
        pass
    assert (first.last, second.last) == (None, night(3))
    assert first.clock is not None
    assert began <= first.clock <= datetime.now(UTC) + timedelta(seconds=1)
    shop = Shop(tmp_path, target=ClocklessDirectory(tmp_path / "other"), policy=POLICY)
    for number in range(3):
        shop.images({"latest": app(number)})
        shop.run(number)
    assert any("clock has jumped" in note for note in shop.run(400).notes)
