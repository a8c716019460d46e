"""The runtimes by their names, each with the commands and folders that it has on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .commands import Program
from .containerd import Containerd
from .contract import ContainerRuntime
from .docker import Docker
from .podman import Podman

NAMES: Final = ("docker", "podman", "containerd")

_CACHE_OF_ROOT: Final = Path("/var/lib/containers/cache")


def runtime_named(
    name: str, *, environment: Mapping[str, str], user: int, max_bytes: int, place: Path | None = None
) -> ContainerRuntime:
    """The runtime of this machine that is called `name`, one of NAMES.

    `environment` is what its commands see: by it docker finds its daemon (DOCKER_HOST, DOCKER_CONTEXT), ctr its own and
    its namespace (CONTAINERD_ADDRESS, CONTAINERD_NAMESPACE, CONTAINERD_SNAPSHOTTER). `user` is who we are, an effective
    user id. `max_bytes` bounds the files of an old image where they have to be laid out, in `place` (None: where
    temporary files are).
    """
    if name == "docker":
        return Docker(program=Program(command=("docker",), environment=environment), max_bytes=max_bytes, place=place)
    if name == "containerd":
        return Containerd(program=Program(command=("ctr",), environment=environment), place=place)
    return Podman(
        program=Program(command=("podman",), environment=environment),
        cache=_blob_info_cache(environment, user),
        can_mount=user == 0,
        max_bytes=max_bytes,
        place=place,
    )


def is_really_root(environment: Mapping[str, str], user: int) -> bool:
    """False in `podman unshare` too, where everybody is root and may not write where root does; podman's variable says
    who called it."""
    return user == 0 and environment.get("_CONTAINERS_ROOTLESS_UID", "0") == "0"


def _blob_info_cache(environment: Mapping[str, str], user: int) -> Path:
    """Where podman keeps it (containers/image, pkg/blobinfocache/default.go)."""
    if is_really_root(environment, user):
        return _CACHE_OF_ROOT
    data = environment.get("XDG_DATA_HOME") or f"{environment.get('HOME', '')}/.local/share"
    return Path(data) / "containers" / "cache"
