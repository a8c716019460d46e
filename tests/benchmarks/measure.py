"""A child process: how long it took, what it used, and how it ended. Linux only.

The peak of a child that is starting counts its parent's size too (it shares the parent's memory until it has become
another program): figures below that of a bare Python, some 25 MB, say nothing, and whoever measures must stay small.
Who is not small uses `measured_apart`, which lets a process of its own measure.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one run took: wall and processor time (user and system) in seconds, peak of resident memory in bytes."""

    wall: float
    cpu: float
    memory: int


class RunFailedError(Exception):
    """A child was ended at its time limit, or ended with an error; the text is one line."""


def measure(command: Sequence[str | Path], *, limit: float, folder: Path | None = None) -> Usage:
    """Run `command` for at most `limit` seconds."""
    with TemporaryFile() as said:
        started = time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder)
        try:
            in_time = _ended(process.pid, limit)
            if not in_time:
                process.kill()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if not in_time:
            raise RunFailedError(f"more than {limit:.0f} s")
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise RunFailedError(f"exit code {process.returncode}: {lines[-1] if lines else 'no message'}")
    return Usage(wall=wall, cpu=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024)


def measured_apart(command: Sequence[str | Path], *, limit: float) -> Usage:
    """`measure`, by a process of its own."""
    measurer = [sys.executable, "-m", __name__, str(limit), *map(str, command)]
    said = subprocess.run(measurer, stdout=subprocess.PIPE, text=True, check=True).stdout
    return Usage(**json.loads(said))


def _ended(child: int, limit: float) -> bool:
    """Wait for the end of `child` for at most `limit` seconds, without taking note of it."""
    handle = os.pidfd_open(child)
    try:
        waiter = select.poll()
        waiter.register(handle, select.POLLIN)
        return bool(waiter.poll(limit * 1000))
    finally:
        os.close(handle)


def best(usages: Sequence[Usage]) -> Usage:
    """The least of several runs of the same, each figure by itself: what else the machine does only ever adds."""
    return Usage(
        wall=min(usage.wall for usage in usages),
        cpu=min(usage.cpu for usage in usages),
        memory=min(usage.memory for usage in usages),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[2:], limit=float(sys.argv[1])))))
