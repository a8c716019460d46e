"""Which versions cannot be told what they have."""

import os
from pathlib import Path

import pytest

from pipeline.client.runtimes.commands import Program
from pipeline.client.runtimes.containerd import Containerd
from pipeline.client.runtimes.contract import ContainerRuntime
from pipeline.client.runtimes.named import NAMES, runtime_named
from pipeline.client.runtimes.podman import Podman

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/home/somebody"}


def answering(text: str) -> Program:
    return Program(command=("sh", "-c", f"printf '{text}'", "sh"), environment=ENVIRONMENT)


def podman(version: str) -> ContainerRuntime:
    program = answering(f"{version}\\n")
    return Podman(program=program, cache=Path("/nowhere"), can_mount=True, max_bytes=0)


def containerd(version: str) -> ContainerRuntime:
    client = "Client:\\n  Version:  v2.1.4\\n  Revision: \\n  Go version: go1.25\\n\\n"
    return Containerd(program=answering(f"{client}Server:\\n  Version:  {version}\\n  Revision: abc\\n  UUID: 1-2\\n"))


@pytest.mark.parametrize("version", ["4.7.0", "4.9.3", "5.0.0-dev", "5.6.0", "6.0.1", "10.0.0"])
def test_podman_can_be_told(version: str) -> None:
    assert podman(version).obstacle() is None


@pytest.mark.parametrize("version", ["3.4.4", "4.3.1", "4.6.2", ""])
def test_podman_cannot_be_told(version: str) -> None:
    assert f"podman {version} cannot be told which layers it has" in str(podman(version).obstacle())


@pytest.mark.parametrize("version", ["v2.0.0", "2.1.4+unknown", "v3.0.0-beta.1"])
def test_containerd_looks(version: str) -> None:
    assert containerd(version).obstacle() is None


@pytest.mark.parametrize("version", ["1.6.20~ds1", "v1.7.27", "unknown"])
def test_containerd_does_not_look(version: str) -> None:
    assert f"containerd {version} fetches all layers" in str(containerd(version).obstacle())


@pytest.mark.parametrize("name", NAMES)
def test_every_name_leads_to_its_runtime(name: str) -> None:
    runtime = runtime_named(name, environment=ENVIRONMENT, user=0, max_bytes=0)
    assert runtime.name == name


@pytest.mark.parametrize(
    ("user", "more", "cache"),
    [
        (0, {}, "/var/lib/containers/cache"),
        (0, {"_CONTAINERS_ROOTLESS_UID": "0"}, "/var/lib/containers/cache"),
        (0, {"_CONTAINERS_ROOTLESS_UID": "1000"}, "/home/somebody/.local/share/containers/cache"),
        (1000, {}, "/home/somebody/.local/share/containers/cache"),
        (1000, {"XDG_DATA_HOME": "/data"}, "/data/containers/cache"),
    ],
)
def test_where_podman_keeps_its_cache(user: int, more: dict[str, str], cache: str) -> None:
    found = runtime_named("podman", environment=ENVIRONMENT | more, user=user, max_bytes=0)
    assert isinstance(found, Podman)
    assert found.cache == Path(cache)
