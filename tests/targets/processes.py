"""Other processes that use a target: to be killed, to hold the lock, or to run where mounting is allowed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..conftest import require_tool

ROOT = Path(__file__).parents[2]
PRELUDE = """
import os, sys, time
from datetime import UTC, datetime
from pathlib import Path
from pipeline.content import BytesContent
from pipeline.oci.digest import Digest
from pipeline.keys import IMMUTABLE, MUTABLE, Headers, Key
from pipeline.targets.base import TargetError
from pipeline.targets.directory import DirectoryTarget

target = DirectoryTarget(Path(sys.argv[1]))
NOW = datetime(2025, 1, 1, tzinfo=UTC)

def put(key, data, *, same_as=None, cache=IMMUTABLE):
    headers = Headers(content_type="application/octet-stream", cache_control=cache)
    target.put(Key(key), BytesContent(data), headers, digest=Digest.of(data), same_as=same_as and Key(same_as))
"""


def run_script(script: str, root: Path, *, prefix: tuple[str, ...] = ()) -> str:
    """What `script` prints; it finds a `target` on `root`, and `put`. A script that fails is a failure."""
    command = [*prefix, sys.executable, "-c", PRELUDE + script, str(root)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@contextmanager
def running_script(script: str, root: Path) -> Iterator["subprocess.Popen[str]"]:
    """The process of `script`, as in `run_script`, after it has printed a line; it is killed in the end."""
    with running_code(PRELUDE + script, str(root)) as process:
        yield process


@contextmanager
def running_code(code: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The process of `code` after it has printed a line; it is killed in the end, if it still runs."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


def namespace_prefix() -> tuple[str, ...]:
    """The beginning of a command that may mount file systems which nobody else sees; skips where that is forbidden."""
    prefix = (require_tool("unshare"), "--map-root-user", "--mount")
    if subprocess.run([*prefix, "true"], capture_output=True, timeout=60).returncode:
        reason = "the kernel forbids user namespaces here"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return prefix
