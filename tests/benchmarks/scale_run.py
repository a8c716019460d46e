"""One publish, measured in a process of its own, by whatever deltapress `PYTHONPATH` has; `scale` starts it.

The command line says the configuration, the night, and the folder to publish into. It prints one JSON object.
"""

import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pipeline import publish
from pipeline.config import read_config
from pipeline.progress import Silent
from pipeline.targets.base import LockInfo
from pipeline.targets.directory import DirectoryTarget

_CALLS: Final = ("open", "stat", "put", "delete", "keys")
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class _Clockless(DirectoryTarget):
    """For nights that pass in a moment: the times of its files are not those of the runs."""

    @contextmanager
    def lock(self, *, now: datetime, wait: float) -> Iterator[LockInfo]:
        with super().lock(now=now, wait=wait):
            yield LockInfo()


def _counted(target: DirectoryTarget, calls: "Counter[str]") -> None:
    """Count the calls of `target`, each of which would be a request to a bucket."""

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            calls[name] += 1
            return call(*arguments, **named)

        return counted

    for name in _CALLS:
        setattr(target, name, counting(name, getattr(target, name)))


def _bytes_written() -> int:
    """By this process since it began, page cache included (Linux)."""
    lines = Path("/proc/self/io").read_text("ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def main() -> None:
    """Publish, and say what it took."""
    config = read_config(Path(sys.argv[1]))
    now = _START + timedelta(days=float(sys.argv[2]))
    target = _Clockless(Path(sys.argv[3]))
    calls: Counter[str] = Counter()
    _counted(target, calls)
    written, begun = _bytes_written(), time.monotonic()
    used = resource.getrusage(resource.RUSAGE_SELF)
    settings = publish.Settings(now=now, jobs=2, memory=1 << 30)
    outcome = publish.run(config, target, settings, progress=Silent())
    wall, written = time.monotonic() - begun, _bytes_written() - written
    after = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "exit": int(outcome.exit_code),
                "deltas": len(outcome.made),
                "wall": wall,
                "cpu": after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
                "memory": after.ru_maxrss * 1024,
                "written": written,
                "requests": sum(calls.values()),
            }
        )
    )


if __name__ == "__main__":
    main()
