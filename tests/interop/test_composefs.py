"""composefs, the client that finds, applies and stores an artifact by itself: `cfsctl`, built by `composefs/build`.

It is told the digest of the artifact, which another client (flightctl's agent) finds among the referrers.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.client.bundle.writing import write_bundle
from pipeline.client.reference import ImageName
from pipeline.client.request import Request
from pipeline.limits import Limits
from pipeline.oci.descriptor import Platform
from pipeline.progress import Silent
from pipeline.targets.directory import DirectoryTarget

from ..conftest import optional_tool
from ..device import DELTA
from ..layouts.builder import LayoutBuilder, blob_path
from ..layouts.signatures import signature, signature_tag
from ..tars import directory, file, tar
from ..updates import NEW, OLD, changed, noise
from . import published, servers
from .clients import Skopeo, environment, short_home

pytestmark = pytest.mark.interop

NAME = "team/os"


def system(version: int, *, with_run: bool = False) -> bytes:
    """composefs holds only what has `/usr`, and an entry for each folder."""
    members = [directory("usr"), directory("usr/bin"), file("usr/bin/app", changed(noise(1, 40_000), 1000 * version))]
    if with_run:  # no source: composefs empties it
        members += [directory("run"), file("run/state", noise(2, 40_000))]
        members += [file("usr/bin/copy", noise(2, 40_000))] if version == 2 else []
    return tar(*members)


CASES = {
    "one layer": ((system(1),), (system(2),)),
    "run": ((system(1, with_run=True),), (system(2, with_run=True),)),
    "whiteouts": (OLD, NEW),
    "signed": (OLD, NEW),  # it checks no signature, and does not even fetch one
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cfsctl:
    """`cfsctl` with a repository of its own below `home`, which must be short."""

    home: Path

    def __post_init__(self) -> None:
        self.run("init", "--insecure")  # without fs-verity, which few file systems have
        # for skopeo, by which cfsctl pulls; of these two files those below HOME come first
        settings = self.home / ".config/containers"
        settings.mkdir(parents=True)
        (settings / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def allow_http(self, registry: str) -> None:
        (self.home / ".config/containers/registries.conf").write_text(
            f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n'
        )

    def run(self, *arguments: str) -> bytes:
        tool = optional_tool("cfsctl", script="tests/interop/composefs/build")
        done = subprocess.run(
            [tool, "--repo", str(self.home / "repo"), *arguments],
            cwd=self.home,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (arguments, done.stdout[-2000:], done.stderr[-2000:].decode())
        return done.stdout

    def pull(self, image: str, name: str) -> None:
        self.run("oci", "pull", image, name)

    def holds(self, name: str, manifest: bytes, tars: tuple[bytes, ...]) -> None:
        """Assert that an image is there, bit for bit."""
        assert self.run("oci", "inspect", name, "--manifest") == manifest + b"\n"
        config = json.loads(self.run("oci", "inspect", name, "--config"))
        assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in tars]
        for diff_id, layer in zip(config["rootfs"]["diff_ids"], tars, strict=True):
            assert self.run("oci", "layer", diff_id) == layer
        self.run("oci", "fsck")
        self.run("fsck")


@pytest.fixture(name="cfsctl")
def _cfsctl() -> Iterator[Cfsctl]:
    with short_home() as home:
        yield Cfsctl(home=home)


@pytest.mark.parametrize("name", CASES)
def test_an_artifact_becomes_the_new_image(cfsctl: Cfsctl, tmp_path: Path, name: str) -> None:
    old, new = CASES[name]
    build = LayoutBuilder()
    build.tag("v1", build.image(*old))
    target = build.tag("v2", build.image(*new))
    if name == "signed":
        build.tag(signature_tag(target), signature(build, target))
    layout = build.write(tmp_path / "layout")
    with servers.public_directory() as root:
        published.publish(root, {NAME: layout})
        manifest = build.blobs[blob_path(target["digest"])]
        [artifact] = json.loads((root / f"v2/{NAME}/referrers/{target['digest']}").read_bytes())["manifests"]
        content: dict[str, Any] = json.loads((root / f"v2/{NAME}/manifests/{artifact['digest']}").read_bytes())
        with servers.own(root) as site:
            place = f"docker://{site.registry}/{NAME}"
            cfsctl.allow_http(site.registry)
            cfsctl.pull(f"{place}:v1", "old")
            before = len(site.requests())
            cfsctl.pull(f"{place}@{artifact['digest']}", "new")
            asked = re.findall(rf"GET /v2/{NAME}/(\S+)", "\n".join(site.requests()[before:]))
        cfsctl.holds("new", manifest, new)
        # nothing but the artifact and its parts, each once
        wanted = [
            f"blobs/{part['digest']}"
            for part in content["layers"]
            if part["annotations"][f"{DELTA}.content"] in {"image-manifest", "image-config", "image-layer"}
        ]
        assert sorted(asked) == sorted([f"manifests/{artifact['digest']}", *wanted])


def test_an_artifact_in_a_file(cfsctl: Cfsctl, tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("v1", build.image(*OLD))
    target = build.tag("v2", build.image(*NEW))
    layout = build.write(tmp_path / "layout")
    archive = tmp_path / "update.tar"
    with servers.public_directory() as root:
        published.publish(root, {NAME: layout})
        [artifact] = json.loads((root / f"v2/{NAME}/referrers/{target['digest']}").read_bytes())["manifests"]
        with servers.own(root) as site:
            place = f"docker://{site.registry}/{NAME}@{artifact['digest']}"
            Skopeo(home=cfsctl.home).copy(place, f"oci-archive:{archive}")
    cfsctl.pull(f"oci:{layout}:v1", "old")
    cfsctl.pull(f"oci-archive:{archive}", "new")
    cfsctl.holds("new", build.blobs[blob_path(target["digest"])], NEW)


def test_a_bundle_of_ours(cfsctl: Cfsctl, tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("v1", build.image(*OLD))
    target = build.tag("v2", build.image(*NEW))
    layout = build.write(tmp_path / "layout")
    bundle = tmp_path / "update.tar"
    with servers.public_directory() as root:
        published.publish(root, {NAME: layout})
        wish = Request(
            name=ImageName.parse(f"{NAME}:v2"),
            target=DirectoryTarget(root),
            repositories=(NAME,),
            platform=Platform(os="linux", architecture="amd64"),
            limits=Limits(),
        )
        with bundle.open("wb") as out:
            write_bundle(wish, ["v1"], out, Silent())
    cfsctl.pull(f"oci:{layout}:v1", "old")
    cfsctl.pull(f"oci-archive:{bundle}", "new")
    cfsctl.holds("new", build.blobs[blob_path(target["digest"])], NEW)
