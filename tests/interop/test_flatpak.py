"""The real flatpak installs the first version of a runtime from our tree, and takes the next two through our deltas."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import flatpaks, published, servers
from .clients import Flatpak, short_home

pytestmark = pytest.mark.interop

REPOSITORY = "runtimes/platform"


def config_digest(layout: Path) -> str:
    [entry] = json.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = (layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes()
    return str(json.loads(manifest)["config"]["digest"])


@pytest.fixture
def flatpak() -> Iterator[Flatpak]:
    with short_home() as home:
        yield Flatpak(home=home)


@pytest.mark.parametrize("server", ["nginx", "serve"])
def test_flatpak_updates_through_deltas_alone(server: str, flatpak: Flatpak, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    build = tmp_path / "build"
    build.mkdir()
    ref = flatpaks.ref(flatpaks.arch(build))

    def publish(version: int) -> None:
        # the nightly case: the layout holds today's version only
        shutil.rmtree(layout, ignore_errors=True)
        flatpaks.build(layout, build, version)
        published.publish(root, {REPOSITORY: layout}, rename={ref: "latest"})

    def assert_installed(version: int) -> None:
        files = flatpak.files(ref)
        assert {
            path.relative_to(files).as_posix(): path.read_bytes()
            for path in files.rglob("*")
            if path.is_file() and path.name != ".ref"
        } == flatpaks.content(version)

    with servers.public_directory() as root:
        publish(1)
        with servers.ALL[server](root) as site:
            flatpak.add_remote("ours", site.registry)
            flatpak.install("ours", ref)
            assert_installed(1)
            for version in (2, 3):
                publish(version)
                before = len(site.requests())
                output = flatpak.update(ref)
                [delta] = re.findall(r"Using OCI delta (\S+) for layer", output.stdout + output.stderr)
                blobs = re.findall(rf"/v2/{REPOSITORY}/blobs/(\S+)", "\n".join(site.requests()[before:]))
                # nothing but these: the delta took the place of the layer
                assert blobs == [config_digest(layout), delta]
                assert_installed(version)
