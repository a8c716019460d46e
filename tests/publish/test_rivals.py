"""Two publishers at once on a storage whose locks do nothing: the one that loses is told, and overwrites nothing."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY
from pipeline.targets.base import LockInfo, LostUpdateError, Target, read_bytes
from pipeline.targets.directory import DirectoryTarget

from ..client import Client, contents_of, problems
from ..runs import MemoryFolder, Shop, WatchedTarget, app, is_of_ledger, other


class _Lockless(MemoryFolder):
    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        yield LockInfo()


def _in_memory(_: Path) -> Callable[[], Target]:
    storage = _Lockless()
    return lambda: _Lockless(storage)


def _in_a_folder(path: Path) -> Callable[[], Target]:
    return lambda: DirectoryTarget(path / "public")


@pytest.mark.parametrize(
    ("make", "step"), [(_in_memory, 1), (_in_a_folder, 9)], ids=["memory", "directory whose flock does nothing"]
)
def test_a_whole_run_of_a_rival_in_the_middle_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Callable[[], Target]], step: int
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda _file, _operation: None)
    lost = 0
    for moment in range(1, 1000, step):
        path = tmp_path / str(moment)
        target = make(path)
        ours = Shop(path, target=target(), repositories={"ours": "", "both": ""})
        rival = Shop(path, target=target(), repositories={"theirs": "", "both": ""})
        for shop, name, version in ((ours, "ours", 1), (rival, "theirs", 2), (ours, "both", 3)):
            shop.images({"latest": app(version)}, name)
        ours.run(1)
        ours.images({"latest": (other(1), app(10))}, "ours")
        ours.images({"latest": app(11)}, "both")
        end = _end_of_ours(ours, rival, target(), moment)
        if end is None:
            break
        lost += end == "lost"
        contents = contents_of(target())
        assert problems(contents) == [], moment
        assert Client(contents).tags("theirs"), moment
        for again in (ours, rival, ours):
            again.target = target()
            assert again.run(3).exit_code is ExitCode.SUCCESS
        assert problems(contents_of(target()), at_rest=True) == [], moment
        assert again.run(3).written.keys == 0
    assert lost > 20 / step


def _end_of_ours(ours: Shop, rival: Shop, target: Target, moment: int) -> Literal["lost", "done"] | None:
    """What becomes of our run when the rival runs after our call number `moment`; None when it makes fewer calls.

    It is told of the lost update, unless its last word was said: what the ledger was before is all that goes after it.
    """
    calls = 0

    def look() -> None:
        nonlocal calls
        calls += 1
        if calls == moment:
            assert rival.run(2).exit_code is ExitCode.SUCCESS

    try:
        ours.run(2, target=(watched := WatchedTarget(target, look)))
    except LostUpdateError:
        return "lost"
    late = [call for call in watched.calls if call.method in {"put", "delete"}][moment:]
    assert all(call.method == "delete" and call.key and is_of_ledger(call.key) for call in late)
    return "done" if calls >= moment else None


def test_a_ledger_that_vanishes_during_a_run_is_a_lost_update_too(tmp_path: Path) -> None:
    shop = Shop(tmp_path, target=DirectoryTarget(tmp_path / "public"))
    shop.images({"latest": app(1)})
    shop.run()
    shop.images({"latest": app(2)})
    ledger = tmp_path / "public" / LEDGER_KEY

    def look() -> None:
        ledger.unlink(missing_ok=True)

    with pytest.raises(LostUpdateError, match=r"ledger\.json: was changed by a process that left no name"):
        shop.run(1, target=WatchedTarget(shop.target, look))
    assert not ledger.exists()
    assert shop.run(2).exit_code is ExitCode.SUCCESS
    assert read_bytes(shop.target, LEDGER_KEY, limit=1 << 20)
    assert problems(contents_of(shop.target), at_rest=True) == []
