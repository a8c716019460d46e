"""The pool keeps its budget, its order, and what tasks raise."""

import threading
from concurrent.futures import CancelledError, wait

import pytest

from pipeline.tardiff.pool import Pool


class Gauge:
    """Counts what runs at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.used = self.peak = 0
        self.order: list[int] = []

    def hold(self, memory: int, number: int) -> int:
        with self.lock:
            self.used += memory
            self.peak = max(self.peak, self.used)
            self.order.append(number)
        threading.Event().wait(0.001)
        with self.lock:
            self.used -= memory
        return number


def test_tasks_keep_within_the_budget() -> None:
    gauge = Gauge()
    with Pool(workers=8, memory=100) as pool:
        futures = [pool.submit(memory, gauge.hold, memory, n) for n, memory in enumerate([30, 50, 60, 10, 90] * 20)]
        assert [future.result() for future in futures] == list(range(100))
    assert 0 < gauge.peak <= 100


def test_a_task_beyond_the_budget_runs_alone() -> None:
    gauge = Gauge()
    with Pool(workers=4, memory=100) as pool:
        wait([pool.submit(memory, gauge.hold, memory, n) for n, memory in enumerate([10, 500, 10, 500, 10])])
    assert gauge.peak == 500


def test_tasks_start_in_order() -> None:
    gauge = Gauge()
    with Pool(workers=1, memory=100) as pool:
        wait([pool.submit(1 + n % 7 * 30, gauge.hold, 1, n) for n in range(50)])
    assert gauge.order == list(range(50))


def test_what_a_task_raises_reaches_whoever_waits_and_frees_its_memory() -> None:
    def fail() -> None:
        raise LookupError("on purpose")

    with Pool(workers=1, memory=100) as pool:
        failed = pool.submit(100, fail)
        after = pool.submit(100, lambda: "goes on")
        with pytest.raises(LookupError, match="on purpose"):
            failed.result()
        assert after.result() == "goes on"


def test_a_task_that_waits_can_be_cancelled() -> None:
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait()

    with Pool(workers=1, memory=100) as pool:
        pool.submit(50, block)
        small, large = pool.submit(50, lambda: 1), pool.submit(100, lambda: 2)
        started.wait()
        assert small.cancel()
        assert large.cancel()
        release.set()
        assert pool.submit(100, lambda: "goes on").result() == "goes on"


def test_leaving_cancels_what_waits() -> None:
    started, release = threading.Event(), threading.Event()

    def block() -> None:
        started.set()
        release.wait()

    with Pool(workers=1, memory=100) as pool:
        running = pool.submit(100, block)
        waiting = pool.submit(100, lambda: None)
        started.wait()
        threading.Timer(0.01, release.set).start()
    assert running.result() is None
    with pytest.raises(CancelledError):
        waiting.result()


def test_after_a_stop_nothing_begins() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go.wait(60)
        return "ended"

    with Pool(workers=1, memory=100) as pool:
        running, waiting = pool.submit(100, work), pool.submit(100, work)
        assert begun.wait(60)
        pool.stop()
        late = pool.submit(1, work)
        go.set()
        assert running.result() == "ended"
        assert not wait([waiting, late], timeout=60).not_done
        for future in (waiting, late):
            with pytest.raises(CancelledError):
                future.result()
