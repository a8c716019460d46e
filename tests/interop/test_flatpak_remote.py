"""A whole remote for the real flatpak: apps and their runtime, branches, architectures, icons, files to click on."""

import gzip
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from ..layouts.builder import REF_NAME, Json, LayoutBuilder, on
from . import flatpaks, published, servers
from .clients import Flatpak, applied_deltas, short_home

pytestmark = pytest.mark.interop

ARCHS: Final = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
APPS: Final = [flatpaks.app_ref(arch, branch) for arch in ARCHS for branch in ("stable", "beta")]
RUNTIMES: Final = [flatpaks.ref(arch) for arch in ARCHS]
HELLO: Final = flatpaks.app_ref("x86_64")
EXAMPLE: Final = (Path(__file__).parents[2] / "examples" / "flatpak.toml").read_text("utf-8")


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The layouts with all refs of the runtime and of two versions of the app: `runtimes`, `apps-1`, `apps-2`."""
    home = tmp_path_factory.mktemp("flatpaks")
    (home / "build").mkdir()
    for runtime in RUNTIMES:
        flatpaks.build_runtime(home / "runtimes", home / "build", 1, runtime)
    for version in (1, 2):
        for app in APPS:
            flatpaks.build_app(home / f"apps-{version}", home / "build", version, app)
    return {name: home / name for name in ("runtimes", "apps-1", "apps-2")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A directory into which the versions of the app are published, in one of several arrangements."""

    root: Path
    work: Path
    layouts: Mapping[str, Path]
    arrangement: str = "tags"

    def publish(self, version: int, *, tables: str = "") -> None:
        arranged: dict[str, Path] = {}
        for name, source in (("platform", "runtimes"), ("hello", f"apps-{version}")):
            for repository, build in self._arranged(name, self.layouts[source]).items():
                shutil.rmtree(self.work / repository, ignore_errors=True)
                arranged[repository] = build.write(self.work / repository)
        published.publish(self.root, arranged, tables=tables)

    def _arranged(self, name: str, layout: Path) -> Mapping[str, LayoutBuilder]:
        """The refs of `layout` as tags of one repository, as images of one index for each branch, or as repositories
        of their own."""
        blobs = {path.relative_to(layout).as_posix(): path.read_bytes() for path in layout.glob("blobs/*/*")}
        builds: dict[str, LayoutBuilder] = {}
        branches: dict[str, list[Json]] = {}
        for entry in json.loads((layout / "index.json").read_bytes())["manifests"]:
            _, _, arch, branch = entry.pop("annotations")[REF_NAME].split("/")
            repository = f"{name}-{branch}-{arch}".lower() if self.arrangement == "repositories" else name
            build = builds.setdefault(repository, LayoutBuilder())
            build.blobs |= blobs
            branches.setdefault(branch, []).append(on(entry, ARCHS[arch]))
            if self.arrangement != "index":
                build.tag(f"{branch}-{arch}", entry)
        if self.arrangement == "index":
            for branch, entries in branches.items():
                builds[name].tag(branch, builds[name].index(*entries))
        return builds


@pytest.fixture
def remote(layouts: Mapping[str, Path], tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Remote]:
    with servers.public_directory() as root:
        yield Remote(root=root, work=tmp_path, layouts=layouts, arrangement=getattr(request, "param", "tags"))


@pytest.fixture
def flatpak() -> Iterator[Flatpak]:
    with short_home() as home:
        yield Flatpak(home=home)


def installed(flatpak: Flatpak, ref: str) -> dict[str, bytes]:
    """The files of a version; an app has more of them."""
    names = flatpaks.content(1) | flatpaks.content(2)
    return {name: data for name, data in flatpak.files(ref).items() if name in names}


@pytest.mark.parametrize("remote", ["tags", "index", "repositories"], indirect=True)
def test_apps_and_runtimes_of_several_branches_and_architectures(remote: Remote, flatpak: Flatpak) -> None:
    remote.publish(1)
    with servers.nginx(remote.root) as site:
        flatpak.add_remote("ours", site.registry)
        listed = flatpak.run("remote-ls", "--arch=*", "--columns=ref", "ours").stdout
        assert set(listed.split()) == set(APPS + RUNTIMES)
        about = flatpak.run("remote-info", "ours", flatpaks.app_ref("aarch64", "beta")).stdout
        assert re.search(r"Arch: aarch64\n +Branch: beta\n", about)
        chosen = [HELLO, flatpaks.app_ref("x86_64", "beta"), flatpaks.app_ref("aarch64")]
        flatpak.run("install", "--noninteractive", "ours", *chosen)
        assert flatpak.list() == {ref.partition("/")[2] for ref in (*chosen, *RUNTIMES)}
        remote.publish(2)
        output = flatpak.run("update", "--noninteractive")
        assert len(applied_deltas(output)) == len(chosen)
        for ref in chosen:
            assert installed(flatpak, ref) == flatpaks.content(2)


def test_the_catalogue_of_apps_and_their_icons(remote: Remote, flatpak: Flatpak) -> None:
    remote.publish(1)
    with servers.nginx(remote.root) as site:
        flatpak.add_remote("ours", site.registry)
        catalogue = flatpak.home / "installation" / "appstream" / "ours" / "x86_64"
        for version in (1, 2):
            remote.publish(version)
            flatpak.run("update", "--appstream", "ours")
            [file] = catalogue.glob("appstream.xml.gz")
            assert f"Version {version}" in gzip.decompress(file.read_bytes()).decode()
        for size in (64, 128):
            [icon] = catalogue.glob(f"icons/{size}x{size}/*")
            assert (icon.name, icon.read_bytes()) == (f"{flatpaks.APP}.png", flatpaks.icon(size))
        # that of each size, once, though two branches have it and the catalogue was made twice
        assert len([line for line in site.requests() if "/index/icons/" in line]) == 2


def test_the_example_is_a_remote_to_click_on(layouts: Mapping[str, Path], flatpak: Flatpak, tmp_path: Path) -> None:
    config = tmp_path / "deltapress.toml"
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "platform").symlink_to(layouts["runtimes"])

    def publish(version: int, address: str) -> None:
        shutil.rmtree(tmp_path / "layouts" / "hello", ignore_errors=True)
        shutil.copytree(layouts[f"apps-{version}"], tmp_path / "layouts" / "hello")
        config.write_text(EXAMPLE.replace("https://flatpak.example.org", address).replace('"public"', f'"{root}"'))
        published.publish_by(config)

    with servers.public_directory() as root:
        publish(1, "https://flatpak.example.org")  # `serve` wants a published directory, and the files its address
        with servers.own(root) as site:
            address = f"http://{site.registry}"
            publish(1, address)
            flatpak.run("remote-add", "mine", f"{address}/example.flatpakrepo")
            [row] = flatpak.run("remotes", "--columns=name,title,url,comment").stdout.splitlines()[-1:]
            assert row.split("\t") == ["mine", "Example", f"oci+{address}", "The apps of Example"]
            # of two branches, the one that the file of the remote names
            flatpak.run("install", "--noninteractive", "mine", flatpaks.APP)
            assert flatpak.list() == {ref.partition("/")[2] for ref in (HELLO, flatpaks.ref("x86_64"))}
            with short_home() as home:
                new = Flatpak(home=home)
                new.run("install", "--noninteractive", "--from", f"{address}/{flatpaks.APP}@beta.flatpakref")
                beta = flatpaks.app_ref("x86_64", "beta")
                assert new.list() == {ref.partition("/")[2] for ref in (beta, flatpaks.ref("x86_64"))}
                assert new.run("remotes", "--columns=name,url").stdout.split() == ["example", f"oci+{address}"]
            publish(2, address)
            assert len(applied_deltas(flatpak.update(HELLO))) == 1
            assert installed(flatpak, HELLO) == flatpaks.content(2)


def test_the_index_leads_to_the_deltas(remote: Remote, flatpak: Flatpak) -> None:
    remote.publish(1)
    with servers.nginx(remote.root) as site:
        flatpak.add_remote("ours", site.registry)
        flatpak.install("ours", HELLO)
        remote.publish(2, tables="[policy]\ndelta_url = true")
        before = len(site.requests())
        [delta] = applied_deltas(flatpak.update(HELLO))
        requests = "\n".join(site.requests()[before:])
        assert "_deltaindex" not in requests
        # the image, its config, its delta manifest, its delta, and nothing else
        assert len(re.findall(r"GET /v2/hello/manifests/sha256:", requests)) == 2
        assert re.findall(r"GET /v2/hello/blobs/(\S+)", requests)[1:] == [delta]
        assert installed(flatpak, HELLO) == flatpaks.content(2)


def test_below_a_path(remote: Remote, flatpak: Flatpak) -> None:
    remote.publish(1)
    with servers.nginx_below(remote.root, "/some/path") as site:
        flatpak.add_remote("ours", f"{site.registry}/some/path")
        flatpak.install("ours", HELLO)
        remote.publish(2, tables="[policy]\ndelta_url = true")
        before = len(site.requests())
        [delta] = applied_deltas(flatpak.update(HELLO))
        requests = [line for line in site.requests()[before:] if "/blobs/" in line]
        assert len(requests) == 2, "the config and the delta, not the layer"
        assert requests[1] == f"GET /some/path/v2/hello/blobs/{delta} 200"
        assert installed(flatpak, HELLO) == flatpaks.content(2)
        flatpak.run("update", "--appstream", "ours")
        assert any(" /some/path/index/icons/" in line for line in site.requests())


def test_several_layers_of_which_one_has_not_changed(flatpak: Flatpak, tmp_path: Path) -> None:
    runtime = flatpaks.ref("x86_64")
    flatpaks.build_layered(tmp_path / "layers", tmp_path, (1, 2), runtime)
    with servers.public_directory() as root:
        published.publish(root, {"layered": tmp_path / "layers-1"})
        with servers.nginx(root) as site:
            flatpak.add_remote("ours", site.registry)
            flatpak.install("ours", runtime)
            assert installed(flatpak, runtime) == flatpaks.content(1)
            published.publish(root, {"layered": tmp_path / "layers-2"})
            before = len(site.requests())
            used = applied_deltas(flatpak.update(runtime))
            assert len(used) == 2, "one for the layer that has not changed, too"
            blobs = re.findall(r"GET /v2/layered/blobs/(\S+) 200", "\n".join(site.requests()[before:]))
            assert blobs[1:] == used, "no layer, after the config"
            assert sum((root / "v2/layered/blobs" / delta).stat().st_size for delta in used) < 5_000
            assert installed(flatpak, runtime) == flatpaks.content(2)
