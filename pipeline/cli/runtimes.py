"""The container runtimes of this machine, with their own environment, and where a pull into one goes on later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..client.runtimes.commands import Program
from ..client.runtimes.containerd import Containerd
from ..client.runtimes.contract import ContainerRuntime
from ..client.runtimes.docker import Docker
from ..client.runtimes.podman import Podman

RUNTIMES: Final = ("docker", "podman", "containerd")
_PODMAN_CACHE: Final = Path("/var/lib/containers/cache")  # root's; that of others is in their home
_STATE: Final = Path("/var/cache/deltapress")


def runtime_named(name: str, *, max_bytes: int, environment: Mapping[str, str] = os.environ) -> ContainerRuntime:
    """One of `RUNTIMES`. `max_bytes` bounds the files of an old image."""
    if name == "docker":
        return Docker(program=_program("docker", environment), max_bytes=max_bytes)
    if name == "podman":
        return Podman(
            program=_program("podman", environment),
            pulling=(),
            cache=_PODMAN_CACHE
            if _is_root()
            else _home(environment, "XDG_DATA_HOME", ".local/share", "containers/cache"),
            can_mount=_is_root(),
            max_bytes=max_bytes,
        )
    return Containerd(program=_program("ctr", environment))


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where what a killed run has fetched stays for the next one."""
    return _STATE if _is_root() else _home(environment, "XDG_CACHE_HOME", ".cache", "deltapress")


def _program(command: str, environment: Mapping[str, str]) -> Program:
    return Program(command=(command,), environment=dict(environment))


def _is_root() -> bool:
    return os.geteuid() == 0


def _home(environment: Mapping[str, str], variable: str, usual: str, below: str) -> Path:
    base = environment.get(variable) or str(Path(environment.get("HOME") or "/", usual))
    return Path(base, below)
