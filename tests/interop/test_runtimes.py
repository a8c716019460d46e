"""docker, podman and containerd take an image that was rebuilt by deltas, and pull it by name without its layers."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.client.runtimes.commands import Program
from pipeline.client.runtimes.containerd import Containerd
from pipeline.client.runtimes.contract import ContainerRuntime, LayerPair, held_layers
from pipeline.client.runtimes.docker import Docker
from pipeline.client.runtimes.podman import Podman
from pipeline.keys import Key
from pipeline.oci.digest import DiffID, Digest

from ..conftest import require_tool
from ..device import Device, Update
from ..layouts.builder import LayoutBuilder
from ..updates import NEW, OLD, noise
from . import clients, daemons, published, servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.geteuid() != 0, reason="runtimes with storage of their own need root"),
]

_LIMIT = 1 << 30


@contextmanager
def docker() -> Iterator[ContainerRuntime]:
    require_tool("docker")
    with clients.short_home() as home:
        environment = clients.environment(home)
        with daemons.dockerd(home, environment) as address:
            program = Program(command=("docker", "--host", address), environment=environment)
            yield Docker(program=program, max_bytes=_LIMIT, place=home)


@contextmanager
def containerd() -> Iterator[ContainerRuntime]:
    require_tool("ctr2")
    with clients.short_home() as home:
        environment = clients.environment(home)
        with daemons.containerd(home, environment) as address:
            program = Program(command=("ctr2", "--address", address), environment=environment)
            yield Containerd(program=program, pulling=("--plain-http",), place=home)


@contextmanager
def podman(name: str = "podman5") -> Iterator[ContainerRuntime]:
    require_tool(name)
    with clients.short_home() as home:
        cache = home / "cache"
        cache.mkdir()
        policy = home / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        # root's blob info cache has one fixed place, in which these commands see a folder of their own
        place = Path("/var/lib/containers/cache")
        place.mkdir(parents=True, exist_ok=True)
        script = f'mount --bind {cache} {place} && exec {name} "$@"'
        storage = ("--root", f"{home}/root", "--runroot", f"{home}/runroot", "--storage-driver", "vfs")
        yield Podman(
            program=Program(
                command=("unshare", "--mount", "sh", "-c", script, name, *storage, "--events-backend=none"),
                environment=clients.environment(home),
            ),
            pulling=(f"--signature-policy={policy}", "--tls-verify=false"),
            cache=cache,
            can_mount=True,
            max_bytes=_LIMIT,
            place=home,
        )


RUNTIMES: dict[str, Callable[[], AbstractContextManager[ContainerRuntime]]] = {
    "docker": docker,
    "podman": podman,
    "containerd": containerd,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A served tree with the versions 1.0, 1.1 and other, whose digests these are."""

    site: servers.Site
    tree: Path
    digests: dict[str, str]

    def reference(self, tag: str) -> str:
        return f"{self.site.registry}/team/app:{tag}"

    def document(self, kind: str, digest: str) -> bytes:
        return (self.tree / "v2/team/app" / kind / digest).read_bytes()

    def fetched(self) -> set[str]:
        """The blobs that were asked for so far."""
        paths = [line.split()[2] for line in self.site.requests()]
        return {path.rpartition("/")[2] for path in paths if "/blobs/" in path}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    build = LayoutBuilder()
    digests = {}
    images = {"1.0": OLD, "1.1": NEW}
    for tag, tars in images.items():
        digests[tag] = build.tag(tag, build.image(*tars))["digest"]
    layout = build.write(tmp_path_factory.mktemp("layouts") / "app")
    with servers.public_directory() as root:
        published.publish(root, {"team/app": layout})
        with servers.own(root) as site:
            yield Published(site=site, tree=root, digests=digests)


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Iterator[ContainerRuntime]:
    with RUNTIMES[request.param]() as running:
        yield running


def rebuilt(tree: Published, root: Path, layout: Path, *, without: int) -> tuple[Path, list[LayerPair]]:
    """The layout of 1.1, made of the files of 1.0 and the artifact, without some of the lowest layers."""
    files = {Key(path.relative_to(tree.tree).as_posix()): path for path in (tree.tree / "v2").rglob("*")}
    contents = {key: path.read_bytes() for key, path in files.items() if path.is_file()}
    device = Device(contents=contents, repository="team/app", booted=tree.digests["1.0"], root=root)
    update: Update = device.update("1.1")
    manifest = json.loads(update.manifest)
    diff_ids = json.loads(update.config)["rootfs"]["diff_ids"]
    build = LayoutBuilder()
    layers = [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": name, "size": 0} for name in diff_ids]
    for number, layer in enumerate(layers):
        if number >= without:
            layers[number] = build.layer(update.layers[layer["digest"]], "")
    build.entry(build.manifest(build.blob(update.config, manifest["config"]["mediaType"]), *layers))
    pairs = [
        LayerPair(digest=Digest.parse(layer["digest"]), diff_id=DiffID.parse(diff_id))
        for layer, diff_id in zip(manifest["layers"], diff_ids, strict=True)
    ]
    return build.write(layout), pairs


def test_a_runtime_takes_the_layers_and_pulls_the_rest(
    runtime: ContainerRuntime, tree: Published, tmp_path: Path
) -> None:
    assert runtime.obstacle() is None
    assert runtime.images() == ()
    assert [str(digest) for digest in runtime.pull(tree.reference("1.0"))] == [tree.digests["1.0"]]
    [old] = runtime.images()
    assert old.names == (tree.reference("1.0"),)
    assert [str(digest) for digest in old.digests] == [tree.digests["1.0"]]
    manifests = {tag: json.loads(tree.document("manifests", digest)) for tag, digest in tree.digests.items()}
    assert str(old.config) == manifests["1.0"]["config"]["digest"]
    wanted = [DiffID.of(layer) for layer in NEW]
    assert held_layers([old], wanted) == 1

    with runtime.mounted(old) as files:
        assert (files / "usr/bin/app").read_bytes() == noise(9, 9000)
        layout, pairs = rebuilt(tree, files, tmp_path / "rebuilt", without=1)
    before = tree.fetched()
    assert [str(digest) for digest in runtime.accept(layout, tree.reference("1.1"), pairs)] == [tree.digests["1.1"]]
    config = manifests["1.1"]["config"]["digest"]
    assert tree.fetched() - before <= {config}

    assert {image.names for image in runtime.images()} == {(tree.reference("1.0"),), (tree.reference("1.1"),)}
    [new] = [image for image in runtime.images() if image.config == Digest.parse(config)]
    assert new.diff_ids == tuple(wanted)
    with runtime.mounted(new) as files:
        assert (files / "usr/lib/as-before").read_bytes() == noise(2)
        assert not (files / "etc/two").exists()
