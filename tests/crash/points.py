"""Every point at which a target can fail a run: each of its calls, in each of the ways that differ."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from pipeline.targets.base import Target

from ..runs import MemoryFolder
from ..targets.wrappers import FAILURE_MODES, Call, FailingTarget, FailureMode, InjectedError, RecordingTarget

Run = Callable[[Target], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A run that died when the target failed `call`; `folder` is what it left behind."""

    number: int
    mode: FailureMode
    call: Call
    folder: MemoryFolder

    def __str__(self) -> str:
        return f"call {self.number}, {self.mode} {self.call.method} {self.call.key}"


def differs(call: Call, mode: FailureMode) -> bool:
    """False for half of what has no half: a torn `stat` or `delete` is one that fails before its effect."""
    return mode != "torn" or call.method not in {"stat", "delete"}


def count_points(before: MemoryFolder, run: Run) -> int:
    """How many deaths `run` can die on the tree `before`."""
    target = RecordingTarget(before.copy())
    run(target)
    return sum(differs(call, mode) for call in target.calls for mode in FAILURE_MODES)


def deaths(before: MemoryFolder, run: Run, mode: FailureMode, *, step: int = 1) -> Iterator[Death]:
    """`run` on a copy of `before`, for each call or each `step`-th, after which the target is gone.

    It is over only when a run has come to its end without reaching the call that was to fail.
    """
    for number in count(1, step):
        folder = before.copy()
        target = FailingTarget(folder, fail_at=number, mode=mode, stays_down=True)
        try:
            run(target)
        except InjectedError:
            assert target.failed is not None
            if differs(target.failed, mode):
                yield Death(number=number, mode=mode, call=target.failed, folder=folder)
        else:
            # a run that swallowed the failure, and lived on, would end the enumeration early
            assert target.failed is None
            return
