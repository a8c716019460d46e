"""Layouts as real tools write them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.layout import Layout, LayoutError, read_layout
from pipeline.layout.check import check_images
from pipeline.limits import Limits

from ..conftest import require_tool
from ..interop import clients, flatpaks
from .builder import LayoutBuilder, on, tar_of

pytestmark = pytest.mark.interop

FILES = {"etc/one": b"1\n", "etc/two": b"2\n" * 1000}


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    """What the tools below take in: two tags, one of them multi-arch."""
    build = LayoutBuilder()
    amd = build.image(tar_of(FILES))
    build.tag("1.0", amd)
    arm = build.image(tar_of({**FILES, "etc/arm": b""}), architecture="arm64", variant="v8")
    build.tag("multi", build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64/v8")))
    return build.write(tmp_path / "source")


@pytest.fixture(name="home")
def _home() -> Iterator[Path]:
    with clients.short_home() as home:
        yield home


def checked(layout: Layout) -> dict[str, list[str]]:
    """Tags and platforms of a layout, all of whose blobs are right."""
    images = [ref.image for ref in layout.refs]
    checked = check_images(layout, images, limits=Limits())
    assert checked.outlines
    assert not checked.faults
    return {ref.tag: [str(found.platform) for found in ref.image.platforms] for ref in layout.refs}


def _containers(home: Path) -> Callable[..., clients.Output]:
    """buildah or podman, on a storage of their own."""

    def run(tool: str, *command: str) -> clients.Output:
        options = ["--root", str(home / "root"), "--runroot", str(home / "run"), "--storage-driver", "vfs"]
        return clients.run(home, require_tool(tool), *options, *command)

    return run


@pytest.mark.parametrize("output", ["oci", "oci-archive"])
@pytest.mark.parametrize("manifest", ["oci", "v2s2"])
def test_skopeo(source: Path, home: Path, output: str, manifest: str) -> None:
    skopeo = require_tool("skopeo")
    to = f"{output}:{home}/out:1.0"
    clients.run(home, skopeo, "--insecure-policy", "copy", "-q", "--format", manifest, f"oci:{source}:1.0", to)
    assert checked(read_layout(home / "out")) == {"1.0": ["linux/amd64"]}


def test_skopeo_copies_a_multi_arch_image_into_a_layout_that_holds_another(source: Path, home: Path) -> None:
    skopeo = require_tool("skopeo")
    for tag in ["1.0", "multi"]:
        into = f"oci:{home}/out:{tag}"
        clients.run(home, skopeo, "--insecure-policy", "copy", "-q", "--all", f"oci:{source}:{tag}", into)
    platforms = checked(read_layout(home / "out"))
    assert platforms == {"1.0": ["linux/amd64"], "multi": ["linux/amd64", "linux/arm64/v8"]}


def test_skopeo_without_a_tag(source: Path, home: Path) -> None:
    clients.run(home, require_tool("skopeo"), "--insecure-policy", "copy", "-q", f"oci:{source}:1.0", f"oci:{home}/out")
    with pytest.raises(LayoutError, match=r'rename = \{ "" = "latest" \}'):
        read_layout(home / "out")
    assert checked(read_layout(home / "out", rename={"": "latest"})) == {"latest": ["linux/amd64"]}


def test_skopeo_overwrites_a_tag_each_night(source: Path, home: Path) -> None:
    skopeo = require_tool("skopeo")
    for tag in ["multi", "1.0"]:
        into = f"oci:{home}/out:latest"
        clients.run(home, skopeo, "--insecure-policy", "copy", "-q", "--all", f"oci:{source}:{tag}", into)
    assert checked(read_layout(home / "out")) == {"latest": ["linux/amd64"]}


def test_skopeo_compresses_with_zstd(source: Path, home: Path) -> None:
    skopeo = require_tool("skopeo")
    options = ["--dest-compress-format", "zstd", "--dest-compress", "--format", "oci"]
    to = f"oci:{home}/out:1.0"
    clients.run(home, skopeo, "--insecure-policy", "copy", "-q", *options, f"oci:{source}:1.0", to)
    assert checked(read_layout(home / "out")) == {"1.0": ["linux/amd64"]}


@pytest.mark.parametrize("format", ["oci-archive", "oci-dir"])
def test_podman_writes_the_whole_name(source: Path, home: Path, format: str) -> None:  # noqa: A002 - podman's word
    run = _containers(home)
    run("podman", "pull", "-q", f"oci:{source}:1.0")
    image = run("podman", "images", "--quiet").stdout.split()[0]
    run("podman", "tag", image, "localhost/app:nightly")
    run("podman", "save", "-q", "--format", format, "-o", str(home / "out"), "localhost/app:nightly")
    assert checked(read_layout(home / "out")) == {"nightly": ["linux/amd64"]}


def test_buildah(source: Path, home: Path) -> None:
    run = _containers(home)
    container = run("buildah", "from", f"oci:{source}:1.0").stdout.strip()
    run("buildah", "config", "--label", "a=b", container)
    run("buildah", "commit", "-q", container, f"oci:{home}/out:1.0")
    layout = read_layout(home / "out")
    assert list(checked(layout)) == ["1.0"]
    assert layout.refs[0].image.platforms[0].config.labels["a"] == "b"


def test_buildah_pushes_an_index(source: Path, home: Path) -> None:
    run = _containers(home)
    run("buildah", "manifest", "create", "localhost/multi")
    for arch, variant in [("amd64", ""), ("arm64", "v8")]:
        options = ["--arch", arch, "--os", "linux", *(["--variant", variant] if variant else [])]
        run("buildah", "manifest", "add", *options, "localhost/multi", f"oci:{source}:multi")
    run("buildah", "manifest", "push", "-q", "--all", "localhost/multi", f"oci:{home}/out:1.0")
    assert checked(read_layout(home / "out")) == {"1.0": ["linux/amd64", "linux/arm64/v8"]}


def test_umoci(home: Path) -> None:
    umoci, image = require_tool("umoci"), f"{home}/out:1.0"
    clients.run(home, umoci, "init", "--layout", str(home / "out"))
    clients.run(home, umoci, "new", "--image", image)
    (home / "etc").mkdir()
    (home / "etc" / "one").write_bytes(b"1\n")
    clients.run(home, umoci, "insert", "--rootless", "--image", image, str(home / "etc"), "/etc")
    clients.run(home, umoci, "tag", "--image", image, "latest")
    layout = read_layout(home / "out")
    assert sorted(checked(layout)) == ["1.0", "latest"]
    assert layout.refs[0].image == layout.refs[1].image


def test_flatpak_names_a_ref_that_is_no_tag(home: Path) -> None:
    require_tool("flatpak")
    flatpaks.build(home / "out", home, 1)
    ref = flatpaks.ref(flatpaks.arch(home))
    with pytest.raises(LayoutError, match=r"is not a valid tag") as caught:
        read_layout(home / "out")
    assert f'rename = {{ "{ref}" = "stable" }}' in str(caught.value)
    layout = read_layout(home / "out", rename={ref: "stable"})
    assert list(checked(layout)) == ["stable"]
    assert layout.refs[0].image.platforms[0].config.labels["org.flatpak.ref"] == ref
