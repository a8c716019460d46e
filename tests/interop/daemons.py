"""Daemons of container runtimes, each as a child process with storage of its own, and ended by its process id.

They make no networks and start no containers: images alone are kept.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..conftest import require_tool

_START_LIMIT: Final = 60  # seconds


@contextmanager
def dockerd(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a docker daemon, and with it a containerd that it starts itself."""
    program = require_tool("dockerd")
    require_tool("containerd")  # which it starts itself
    address = home / "docker.sock"
    command = [program, "--data-root", f"{home}/data", "--exec-root", f"{home}/exec", "--pidfile", f"{home}/pid"]
    command += ["--host", f"unix://{address}", "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with _running(command, home, address, environment):
        yield f"unix://{address}"


@contextmanager
def containerd(home: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a containerd of version 2."""
    program = require_tool("containerd2")
    address = home / "containerd.sock"
    configuration = home / "config.toml"
    configuration.write_text(
        f"""
version = 3
root = "{home}/root"
state = "{home}/state"
[grpc]
address = "{address}"
[ttrpc]
address = "{address}.ttrpc"
"""
    )
    with _running([program, "--config", str(configuration)], home, address, environment):
        yield str(address)


@contextmanager
def _running(command: list[str], home: Path, address: Path, environment: dict[str, str]) -> Iterator[None]:
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + _START_LIMIT
        while not _answers(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not answer:\n{log.read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
    return True
