"""Container runtimes with storage of their own, for images alone: no network is made, no container is started.

Rule 1. Daemons are child processes in a private directory, and are ended by their process ids.
Rule 2. Everything that a runtime is told stands in its environment, so that `deltapress pull` meets it as users do.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.client.runtimes.commands import Program
from pipeline.client.runtimes.containerd import Containerd
from pipeline.client.runtimes.contract import ContainerRuntime
from pipeline.client.runtimes.docker import Docker
from pipeline.client.runtimes.podman import Podman

from ..conftest import require_tool
from . import clients

_START_LIMIT: Final = 60  # seconds
_MAX_BYTES: Final = 1 << 30  # of the files of an image
_CACHE_OF_ROOT: Final = Path("/var/lib/containers/cache")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where one runtime is installed: commands get `environment` there, and are led in by `entrance`."""

    runtime: ContainerRuntime
    environment: dict[str, str]
    entrance: tuple[str, ...] = ()


@contextmanager
def docker(*registries: str) -> Iterator[Machine]:
    """Debian's; it starts a containerd of its own. It does without TLS on every loopback address."""
    program = require_tool("dockerd")
    require_tool("containerd")
    require_tool("docker")
    with clients.short_home() as home:
        address = home / "docker.sock"
        environment = {**clients.environment(home), "DOCKER_HOST": f"unix://{address}"}
        command = [program, "--data-root", f"{home}/data", "--exec-root", f"{home}/exec", "--pidfile", f"{home}/pid"]
        command += ["--host", f"unix://{address}", "--bridge=none", "--iptables=false", "--ip6tables=false"]
        with _running(command, home, address, environment):
            runtime = Docker(
                program=Program(command=("docker",), environment=environment), max_bytes=_MAX_BYTES, place=home
            )
            yield Machine(runtime=runtime, environment=environment)


@contextmanager
def containerd(*registries: str) -> Iterator[Machine]:
    """One of version 2. It does without TLS where the loopback answers in HTTP."""
    program = require_tool("containerd2")
    with clients.short_home() as home:
        address = home / "containerd.sock"
        environment = _with_command(home, "ctr", require_tool("ctr2"))
        environment["CONTAINERD_ADDRESS"] = str(address)
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
            runtime = Containerd(program=Program(command=("ctr",), environment=environment), place=home)
            yield Machine(runtime=runtime, environment=environment)


@contextmanager
def podman(*registries: str, program: str = "podman5") -> Iterator[Machine]:
    """One of version 5, or `program`, which is told to do without TLS at `registries`, each a `host:port`."""
    program = require_tool(program)
    with clients.short_home() as home:
        storage = f"--root {home}/root --runroot {home}/runroot --storage-driver vfs --events-backend none"
        environment = _with_command(home, "podman", f"{program} {storage}")
        known = home / "registries.conf"
        known.write_text("".join(f'[[registry]]\nlocation = "{name}"\ninsecure = true\n' for name in registries))
        environment["CONTAINERS_REGISTRIES_CONF"] = str(known)
        settings = home / "containers.conf"
        settings.write_text('[containers]\nseccomp_profile = "unconfined"\n')  # which it was built without
        environment["CONTAINERS_CONF"] = str(settings)
        policy = home / ".config/containers/policy.json"
        policy.parent.mkdir(parents=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        # root's blob info cache has one fixed place; whoever enters sees a folder of this machine there
        cache = home / "cache-of-blobs"
        cache.mkdir()
        _CACHE_OF_ROOT.mkdir(parents=True, exist_ok=True)
        entrance = ("unshare", "--mount", "sh", "-c", f'mount --bind {cache} {_CACHE_OF_ROOT} && exec "$@"', "sh")
        runtime = Podman(
            program=Program(command=(*entrance, "podman"), environment=environment),
            cache=cache,
            can_mount=True,
            max_bytes=_MAX_BYTES,
            place=home,
        )
        yield Machine(runtime=runtime, environment=environment, entrance=entrance)


RUNTIMES: Final[dict[str, Callable[..., AbstractContextManager[Machine]]]] = {
    "docker": docker,
    "podman": podman,
    "containerd": containerd,
}


def _with_command(home: Path, name: str, command: str) -> dict[str, str]:
    """The environment of a client in which `name` is `command`, a word of shell."""
    folder = home / "bin"
    folder.mkdir()
    script = folder / name
    script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    script.chmod(0o755)
    environment = clients.environment(home)
    return {**environment, "PATH": f"{folder}:{environment['PATH']}"}


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
