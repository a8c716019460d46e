"""docker, podman and containerd take an image that was rebuilt by deltas, and pull it by name without its layers."""

import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.client.runtimes.contract import (
    ContainerRuntime,
    ContainerRuntimeError,
    InstalledImage,
    LayerPair,
    held_layers,
)
from pipeline.client.runtimes.podman import Podman
from pipeline.oci.digest import DiffID, Digest

from ..conftest import require_tool
from ..layouts.builder import LayoutBuilder, on, sha256
from ..tars import directory, file, tar
from ..updates import NEW, OLD, changed, noise
from . import published, runtimes, servers

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.geteuid() != 0, reason="runtimes with storage of their own need root"),
]

_CHECKOUT = Path(__file__).parents[2]
_HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
IMAGES = {
    "other": (tar(file("other", b"other")),),
    "1.0": OLD,
    "1.1": NEW,
    "1.2": (*NEW[:2], tar(directory("usr"), directory("usr/bin"), file("usr/bin/app", changed(noise(9, 9000), 7000)))),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A tag of a repository: what it points to, and of the image that it means here, manifest and configuration.

    `layers` are those of all its platforms.
    """

    reference: str
    digest: str
    manifest: str
    config: str
    layers: set[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A served tree. In `team/app`, tags point to images, in `team/multi` to indexes; 1.1 has a delta from 1.0."""

    site: servers.Site
    tree: Path

    def version(self, repository: str, tag: str) -> Version:
        folder = self.tree / "v2" / repository / "manifests"
        raw = (folder / tag).read_bytes()
        entries = json.loads(raw).get("manifests", [])
        platforms = {entry["platform"]["architecture"]: entry["digest"] for entry in entries} or {_HERE: sha256(raw)}
        manifests = {name: json.loads((folder / digest).read_bytes()) for name, digest in platforms.items()}
        return Version(
            reference=f"{self.site.registry}/{repository}:{tag}",
            digest=sha256(raw),
            manifest=platforms[_HERE],
            config=manifests[_HERE]["config"]["digest"],
            layers={layer["digest"] for manifest in manifests.values() for layer in manifest["layers"]},
        )

    def fetched(self) -> list[str]:
        """The blobs that were asked for so far, one entry a request."""
        paths = [line.split()[2] for line in self.site.requests() if " GET " in line]
        return [path.rpartition("/")[2] for path in paths if "/blobs/" in path]


@contextmanager
def served(layouts: Path, tags: Sequence[str]) -> Iterator[Published]:
    app, multi = LayoutBuilder(), LayoutBuilder()
    for tag in tags:
        tars = IMAGES[tag]
        app.tag(tag, app.image(*tars))
        here = multi.image(*tars, tar(file("usr/share", tag.encode())), architecture=_HERE)
        elsewhere = multi.image(*reversed(tars), architecture="riscv64")
        multi.tag(tag, multi.index(on(here, f"linux/{_HERE}"), on(elsewhere, "linux/riscv64")))
    with servers.public_directory() as root:
        published.publish(root, {"team/app": app.write(layouts / "app"), "team/multi": multi.write(layouts / "multi")})
        with servers.own(root) as site:
            yield Published(site=site, tree=root)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    with served(tmp_path_factory.mktemp("layouts"), ["other", "1.0", "1.1"]) as tree:
        yield tree


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """A registry with a delta from 1.1 into 1.2."""
    with served(tmp_path_factory.mktemp("later"), ["1.0", "1.1", "1.2"]) as tree:
        yield tree


@pytest.fixture(params=runtimes.RUNTIMES, scope="module")
def machine(request: pytest.FixtureRequest, tree: Published, later: Published) -> Iterator[runtimes.Machine]:
    with runtimes.RUNTIMES[request.param](tree.site.registry, later.site.registry) as running:
        yield running


@pytest.fixture
def runtime(machine: runtimes.Machine) -> ContainerRuntime:
    return machine.runtime


def named(runtime: ContainerRuntime, reference: str) -> InstalledImage:
    [found] = [image for image in runtime.images() if reference in image.names]
    return found


def known(digests: Sequence[Digest]) -> set[str]:
    return {str(digest) for digest in digests}


def deltapress(machine: runtimes.Machine, *arguments: str) -> dict[str, Any]:
    """What `deltapress … --json` says on the machine."""
    environment = {**machine.environment, "PYTHONPATH": str(_CHECKOUT)}
    command = [*machine.entrance, sys.executable, "-m", "pipeline", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return said


@pytest.mark.parametrize("repository", ["team/app", "team/multi"])
def test_an_image_comes_by_deltas(machine: runtimes.Machine, tree: Published, repository: str) -> None:
    runtime = machine.runtime
    before, after = tree.version(repository, "1.0"), tree.version(repository, "1.1")
    assert runtime.obstacle() is None
    assert before.digest in known(runtime.pull(before.reference))
    old = named(runtime, before.reference)
    assert str(old.config) == before.config
    assert before.digest in known(old.digests)
    wanted = [DiffID.of(layer) for layer in NEW]
    assert held_layers([old], wanted) == 1
    with runtime.mounted(old) as files:
        assert (files / "usr/bin/app").read_bytes() == noise(9, 9000)

    pull = ["pull", after.reference, "--into", runtime.name, "--from", f"http://{tree.site.registry}"]
    begun = len(tree.fetched())
    said = deltapress(machine, *pull)
    assert said["changed"]
    # of the layers themselves, only what no delta is worth while for, and not a second time by the runtime
    whole = [layer["digest"] for layer in said["layers"] if layer["how"] == "whole"]
    assert [digest for digest in tree.fetched()[begun:] if digest in after.layers] == whole
    assert len(whole) == (repository == "team/multi")
    new = named(runtime, after.reference)
    assert (str(new.config), new.names) == (after.config, (after.reference,))
    assert after.digest in known(new.digests)
    assert new.diff_ids[: len(wanted)] == tuple(wanted)
    with runtime.mounted(new) as files:
        assert (files / "usr/lib/as-before").read_bytes() == noise(2)
        assert not (files / "etc/two").exists()

    begun = len(tree.fetched())
    assert not deltapress(machine, *pull)["changed"]
    assert set(tree.fetched()[begun:]) <= {after.config}


def test_an_image_that_came_by_deltas_is_the_source_of_the_next(
    machine: runtimes.Machine, tree: Published, later: Published
) -> None:
    runtime = machine.runtime
    first, second, third = (
        tree.version("team/app", "1.0"),
        tree.version("team/app", "1.1"),
        later.version("team/app", "1.2"),
    )
    runtime.pull(first.reference)
    deltapress(machine, "pull", second.reference, "--into", runtime.name, "--from", f"http://{tree.site.registry}")
    said = deltapress(
        machine, "pull", third.reference, "--into", runtime.name, "--from", f"http://{later.site.registry}"
    )
    assert [layer["how"] for layer in said["layers"]] == ["here", "here", "delta"]
    assert not set(later.fetched()) & third.layers
    with runtime.mounted(named(runtime, third.reference)) as files:
        assert (files / "usr/bin/app").read_bytes() == changed(noise(9, 9000), 7000)
        assert (files / "usr/lib/as-before").read_bytes() == noise(2)


def test_a_podman_that_cannot_be_told_pulls_by_itself(tree: Published) -> None:
    old, new = tree.version("team/app", "1.0"), tree.version("team/app", "1.1")
    with runtimes.podman(tree.site.registry, program="podman") as machine:
        if machine.runtime.obstacle() is None:
            pytest.skip("this podman can be told what it has")
        machine.runtime.pull(old.reference)
        pull = ["pull", new.reference, "--into", "podman", "--from", f"http://{tree.site.registry}"]
        promised = deltapress(machine, *pull, "--dry-run")
        begun = len(tree.fetched())
        said = deltapress(machine, *pull)
        assert [layer["how"] for layer in said["layers"]] == ["here", "whole", "whole"]
        assert promised["layers"] == said["layers"]
        assert len([digest for digest in tree.fetched()[begun:] if digest in new.layers]) == 2  # nothing twice
        assert new.digest in known(named(machine.runtime, new.reference).digests)


def test_a_runtime_that_refuses_the_layers_pulls_by_itself(tree: Published, tmp_path: Path) -> None:
    old, new = tree.version("team/app", "1.0"), tree.version("team/app", "1.1")
    script = tmp_path / "docker"
    real = require_tool("docker")
    script.write_text(f'#!/bin/sh\n[ "$1" != load ] || {{ echo no space left >&2; exit 1; }}\nexec {real} "$@"\n')
    script.chmod(0o755)
    with runtimes.docker() as machine:
        machine.runtime.pull(old.reference)
        environment = {**machine.environment, "PATH": f"{tmp_path}:{machine.environment['PATH']}"}
        refusing = replace(machine, environment=environment)
        assert deltapress(refusing, "pull", new.reference, "--into", "docker", "--from", f"http://{tree.site.registry}")
        assert new.digest in known(named(machine.runtime, new.reference).digests)


def test_podman_believes_what_it_has_seen_and_is_told_for_one_pull_only(tree: Published) -> None:
    old, new = tree.version("team/app", "1.0"), tree.version("team/app", "1.1")
    seen, *_ = sorted(changed_layers := new.layers - old.layers)
    with runtimes.podman(tree.site.registry) as machine:
        assert isinstance(machine.runtime, Podman)
        machine.runtime.pull(old.reference)
        with closing(sqlite3.connect(machine.runtime.cache / "blob-info-cache-v1.sqlite")) as cache:
            with cache:
                cache.execute("INSERT INTO DigestUncompressedPairs VALUES (?, ?)", (seen, sha256(b"something else")))
            begun = len(tree.fetched())
            deltapress(machine, "pull", new.reference, "--into", "podman", "--from", f"http://{tree.site.registry}")
            assert [digest for digest in tree.fetched()[begun:] if digest in new.layers] == [seen]
            rows = {row for (row,) in cache.execute("SELECT anyDigest FROM DigestUncompressedPairs")}
    assert old.layers <= rows
    assert rows & changed_layers == {seen}  # by podman, which has now unpacked it


def test_podman_lays_out_what_it_may_not_mount(tree: Published) -> None:
    old = tree.version("team/app", "1.0")
    with runtimes.podman(tree.site.registry) as machine:
        assert isinstance(machine.runtime, Podman)
        machine.runtime.pull(old.reference)
        image = named(machine.runtime, old.reference)
        with replace(machine.runtime, can_mount=False).mounted(image) as files:
            assert (files / "usr/bin/alias").read_bytes() == noise(9, 9000)
            assert not (files / "usr/lib/gone").exists()
        assert machine.runtime.program.ask("ps", "--all", "--quiet") == b""


def test_nothing_is_left_of_layers_that_the_pull_did_not_want(
    runtime: ContainerRuntime, tree: Published, tmp_path: Path
) -> None:
    other, gone = tree.version("team/app", "other"), f"{tree.site.registry}/team/app:none"
    build = LayoutBuilder()
    layer = tar(file("rebuilt", b"of a tag that has moved on"))
    build.entry(build.image(layer, compression=""))
    layout = build.write(tmp_path / "rebuilt")
    pairs = [LayerPair(digest=Digest.of(b"its compressed form"), diff_id=DiffID.of(layer))]
    before = {image.identity for image in runtime.images()}
    with pytest.raises(ContainerRuntimeError, match=f"pull.*{gone}"):
        runtime.accept(layout, gone, pairs)
    assert {image.identity for image in runtime.images()} == before
    assert other.digest in known(runtime.accept(layout, other.reference, pairs))
    after = {image.identity for image in runtime.images()}
    assert after - before == {named(runtime, other.reference).identity}
