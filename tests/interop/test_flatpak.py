"""The real flatpak installs the first version of a runtime from our tree, and takes the next two through our deltas."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import flatpaks, published, servers
from .clients import Flatpak, applied_deltas, short_home

pytestmark = pytest.mark.interop

REPOSITORY = "runtimes/platform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A published runtime: its layout holds today's version only, as in a nightly job."""

    root: Path
    layout: Path
    build: Path

    @property
    def ref(self) -> str:
        return flatpaks.ref(flatpaks.arch(self.build))

    @property
    def blobs(self) -> list[str]:
        """The digests of its config and of its layer."""
        [entry] = json.loads((self.layout / "index.json").read_bytes())["manifests"]
        manifest = json.loads((self.layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes())
        return [descriptor["digest"] for descriptor in (manifest["config"], *manifest["layers"])]

    def publish(self, version: int) -> None:
        shutil.rmtree(self.layout, ignore_errors=True)
        flatpaks.build(self.layout, self.build, version)
        self.publish_layout()

    def publish_layout(self) -> None:
        published.publish(self.root, {REPOSITORY: self.layout}, rename={self.ref: "latest"})


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Channel]:
    build = tmp_path / "build"
    build.mkdir()
    with servers.public_directory() as root:
        channel = Channel(root=root, layout=tmp_path / "layout", build=build)
        channel.publish(1)
        yield channel


@pytest.fixture
def flatpak() -> Iterator[Flatpak]:
    with short_home() as home:
        yield Flatpak(home=home)


def install(flatpak: Flatpak, site: servers.Site, channel: Channel) -> None:
    flatpak.add_remote("ours", site.registry)
    flatpak.install("ours", channel.ref)
    assert flatpak.files(channel.ref) == flatpaks.content(1)


def update_through_one_delta(flatpak: Flatpak, site: servers.Site, channel: Channel) -> None:
    before = len(site.requests())
    output = flatpak.update(channel.ref)
    [delta] = applied_deltas(output)
    blobs = re.findall(rf"/v2/{REPOSITORY}/blobs/(sha256:[0-9a-f]+)", "\n".join(site.requests()[before:]))
    # nothing but these: the delta took the place of the layer
    assert blobs == [channel.blobs[0], delta]


@pytest.mark.parametrize("server", servers.ALL)
def test_flatpak_updates_through_deltas_alone(server: str, channel: Channel, flatpak: Flatpak) -> None:
    with servers.ALL[server](channel.root) as site:
        install(flatpak, site, channel)
        for version in (2, 3):
            channel.publish(version)
            update_through_one_delta(flatpak, site, channel)
            assert flatpak.files(channel.ref) == flatpaks.content(version)


def test_flatpak_may_miss_versions(channel: Channel, flatpak: Flatpak) -> None:
    with servers.nginx(channel.root) as site:
        install(flatpak, site, channel)
        for version in (2, 3, 4):
            channel.publish(version)
        update_through_one_delta(flatpak, site, channel)
        assert flatpak.files(channel.ref) == flatpaks.content(4)


def test_flatpak_takes_the_layer_when_it_missed_too_many_versions(channel: Channel, flatpak: Flatpak) -> None:
    with servers.nginx(channel.root) as site:
        install(flatpak, site, channel)
        for version in (2, 3, 4, 5):
            channel.publish(version)
        output = flatpak.update(channel.ref)
        assert applied_deltas(output) == []
        assert flatpak.files(channel.ref) == flatpaks.content(5)


def test_flatpak_takes_the_layer_when_it_is_told_to_use_no_deltas(channel: Channel, flatpak: Flatpak) -> None:
    with servers.nginx(channel.root) as site:
        install(flatpak, site, channel)
        channel.publish(2)
        before = len(site.requests())
        flatpak.update(channel.ref, "--no-static-deltas")
        asked = "\n".join(site.requests()[before:])
        assert re.findall(rf"/v2/{REPOSITORY}/blobs/(sha256:[0-9a-f]+)", asked) == channel.blobs
        assert "_deltaindex" not in asked
        assert flatpak.files(channel.ref) == flatpaks.content(2)


def test_flatpak_downloads_no_layer_for_a_new_label(channel: Channel, flatpak: Flatpak) -> None:
    with servers.nginx(channel.root) as site:
        install(flatpak, site, channel)
        flatpaks.relabel(channel.layout, {"org.example.note": "rebuilt"})
        channel.publish_layout()
        update_through_one_delta(flatpak, site, channel)
        assert flatpak.files(channel.ref) == flatpaks.content(1)
