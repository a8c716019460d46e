"""Shared rules of the suite: an interop test that misses its tool is skipped here and fails in CI; signals work."""

import os
import shutil
import signal

import pytest


def pytest_configure() -> None:
    # A shell starts its background jobs with the first of these ignored, nohup with the second, and every command that
    # a test starts and interrupts would inherit that; a handler is not inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def require_tool(*names: str) -> str:
    """Return the path of the first of `names` that is installed; skip the test (fail it when CI=true) where none is."""
    for name in names:
        for path in (os.environ.get("PATH", ""), "/usr/sbin:/sbin"):
            if found := shutil.which(name, path=path):
                return found
    reason = f"needs {' or '.join(names)}; .ci/run installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
