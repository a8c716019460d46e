"""Shared rules of the suite: an interop test that misses its tool is skipped here and fails in CI; signals work; no
test depends on the speed of the machine; how many inputs are tried is set in one place."""

import os
import shutil
import signal

import pytest
from hypothesis import settings

# without derandomizing, CI would try other inputs each time, and one commit be green and red
settings.register_profile("suite", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("suite")


def pytest_configure() -> None:
    # A shell starts its background jobs with the first of these ignored, nohup with the second, and every command that
    # a test starts and interrupts would inherit that; a handler is not inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def examples(count: int) -> int:
    """How many generated inputs to try: `count`, or FUZZ times as many."""
    return count * int(os.environ.get("FUZZ", "1"))


def require_tool(*names: str) -> str:
    """Return the path of the first of `names` that is installed; skip the test (fail it when CI=true) where none is."""
    if found := _installed(*names):
        return found
    reason = f"needs {' or '.join(names)}; .ci/run installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def optional_tool(name: str, *, script: str) -> str:
    """Return the path of a tool that `.ci/run` leaves out, since it takes too long to build; skip the test where it is
    missing, in CI too. `script` builds it."""
    if found := _installed(name):
        return found
    pytest.skip(f"needs {name}, which {script} builds; .ci/run leaves it out")


def _installed(*names: str) -> str | None:
    paths = (os.environ.get("PATH", ""), "/usr/sbin:/sbin")
    return next((found for name in names for path in paths if (found := shutil.which(name, path=path))), None)
