"""The container runtimes of this machine, with their own environment, and where a pull into one goes on later."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..client.runtimes import named
from ..client.runtimes.contract import ContainerRuntime

RUNTIMES: Final = named.NAMES
_STATE: Final = Path("/var/cache/deltapress")


def runtime_named(
    name: str, *, max_bytes: int, place: Path, environment: Mapping[str, str] = os.environ
) -> ContainerRuntime:
    """One of `RUNTIMES`. `max_bytes` bounds the files of an old image, which may have to be laid out in `place`."""
    return named.runtime_named(name, environment=dict(environment), user=os.geteuid(), max_bytes=max_bytes, place=place)


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where what a killed run has fetched stays for the next one; a unit of systemd may say (`CacheDirectory=`)."""
    if named_by_systemd := environment.get("CACHE_DIRECTORY"):
        return Path(named_by_systemd.partition(":")[0])
    if named.is_really_root(environment, os.geteuid()):
        return _STATE
    return Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "/", ".cache"), "deltapress")
