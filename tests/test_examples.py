"""Every file in examples/ runs as it is; only the layouts that the configurations name are made here."""

import json
import runpy
import shutil
import zipfile
from itertools import chain
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.config import read_config
from pipeline.layout import read_layout
from pipeline.layout.check import check_images
from pipeline.limits import Limits

from .layouts.builder import LayoutBuilder, tar_of

EXAMPLES = Path(__file__).parents[1] / "examples"
REFS = {
    "site.toml": {"app": ["1.0", "1.1"]},
    "quickstart.toml": {"numpy": ["2.1.1", "2.1.2", "2.1.3"]},
    "nightly.toml": {"app": ["nightly", "no/legal/tag"]},
    "releases.toml": {"app": ["1.4", "2.0", "1.5", "dev"], "tools.tar": ["localhost/tools:2024.1"]},
    "flatpak.toml": {
        "hello": [
            f"app/org.example.Hello/{arch}/{branch}" for arch in ("x86_64", "aarch64") for branch in ("stable", "beta")
        ],
        "platform": [f"runtime/org.example.Platform/{arch}/stable" for arch in ("x86_64", "aarch64")],
    },
}
TAGS = {
    "site.toml": {"app": ["1.0", "1.1"]},
    "quickstart.toml": {"numpy": ["2.1.1", "2.1.2", "2.1.3"]},
    "nightly.toml": {"team/app": ["nightly"]},
    "releases.toml": {"team/app": ["1.4", "1.5", "2.0"], "team/tools": ["2024.1"]},
    "flatpak.toml": {
        "hello": ["beta", "beta-aarch64", "stable", "stable-aarch64"],
        "platform": ["stable", "stable-aarch64"],
    },
}


def write_layout(path: Path, refs: list[str], night: int = 0) -> None:
    """A layout with one image for each ref, alike enough for deltas; those of flatpak have its labels."""
    build = LayoutBuilder()
    for number, ref in enumerate(refs):
        version = b"%d %d" % (night, number)
        body = b"".join(b"%d\n" % (line * line) for line in range(20_000))
        labels = {"org.flatpak.ref": ref, "org.flatpak.metadata": ""} if ref.count("/") == 3 else {}
        build.tag(ref, build.image(tar_of({"lib": body + version, "version": version}), labels=labels))
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tar":
        build.write_archive(path)
    else:
        build.write(path)


def published(directory: Path, repository: str) -> tuple[list[str], int]:
    """The tags of a repository, and how many target images have deltas."""
    tree = directory / "public" / "v2" / repository
    deltas = tree / "manifests" / "_deltaindex"
    tags = json.loads((tree / "tags" / "list").read_bytes())["tags"]
    return sorted(tags), len(json.loads(deltas.read_bytes())["manifests"]) if deltas.exists() else 0


def test_every_configuration_is_tried() -> None:
    assert sorted(REFS) == sorted(TAGS) == sorted(path.name for path in EXAMPLES.glob("*.toml"))


@pytest.mark.parametrize("name", sorted(REFS))
def test_a_configuration_publishes(tmp_path: Path, name: str) -> None:
    shutil.copy(EXAMPLES / name, tmp_path)
    shutil.copytree(EXAMPLES / "site", tmp_path / "site")
    for layout, refs in REFS[name].items():
        write_layout(tmp_path / "layouts" / layout, refs)
    assert main(["publish", "--config", str(tmp_path / name)]) == 0
    assert {repository: published(tmp_path, repository)[0] for repository in TAGS[name]} == TAGS[name]
    assert [repository.name for repository in read_config(tmp_path / name).repositories] == list(TAGS[name])


def test_own_templates_stand_in_the_place_of_ours(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "site.toml", tmp_path)
    shutil.copytree(EXAMPLES / "site", tmp_path / "site")
    write_layout(tmp_path / "layouts" / "app", ["1.0", "1.1"])
    assert main(["publish", "--config", str(tmp_path / "site.toml")]) == 0
    for page in ("index.html", "pages/app/_page.html"):
        text = (tmp_path / "public" / page).read_text("utf-8")
        assert "Example Works" in text
        assert "--accent: #a3370b" in text
        assert "A static OCI registry" not in text
        assert f'<a href="{"../" * page.count("/")}index.html">Images</a>' in text
    assert "podman pull registry.example.org/app:1.1" in text


def test_the_nightly_configuration_makes_deltas_from_what_the_layout_has_lost(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "nightly.toml", tmp_path)
    for night in range(3):
        shutil.rmtree(tmp_path / "layouts", ignore_errors=True)
        write_layout(tmp_path / "layouts" / "app", ["nightly"], night)
        assert main(["publish", "--config", str(tmp_path / "nightly.toml")]) == 0
        assert published(tmp_path, "team/app") == (["nightly"], min(night, 1))


def test_the_two_lines_of_the_releases_get_deltas_of_their_own(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "releases.toml", tmp_path)
    for layout, refs in {"app": ["1.4", "2.0", "1.5", "2.1"], "tools.tar": ["localhost/tools:1"]}.items():
        write_layout(tmp_path / "layouts" / layout, refs)
    assert main(["publish", "--config", str(tmp_path / "releases.toml")]) == 0
    assert published(tmp_path, "team/app")[1] == 2


def test_the_flatpak_configuration_makes_a_whole_remote(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "flatpak.toml", tmp_path)
    for night in range(2):
        shutil.rmtree(tmp_path / "layouts", ignore_errors=True)
        for layout, refs in REFS["flatpak.toml"].items():
            write_layout(tmp_path / "layouts" / layout, refs, night)
        assert main(["publish", "--config", str(tmp_path / "flatpak.toml")]) == 0
    public = tmp_path / "public"
    assert "Url=oci+https://flatpak.example.org\n" in (public / "example.flatpakrepo").read_text()
    apps = sorted(path.name for path in public.glob("*.flatpakref"))
    assert apps == ["org.example.Hello.flatpakref", "org.example.Hello@beta.flatpakref"]
    results = json.loads((public / "index/static").read_bytes())["Results"]
    labels = [image["Labels"] for result in results for image in result["Images"]]
    assert sorted(found["org.flatpak.ref"] for found in labels) == sorted(chain(*REFS["flatpak.toml"].values()))
    assert all((public / found["io.github.containers.DeltaUrl"]).exists() for found in labels)


def test_wheels_become_a_layout(tmp_path: Path) -> None:
    example = runpy.run_path(str(EXAMPLES / "wheels.py"))
    wheel = tmp_path / "tool-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tool/__init__.py", "")
        archive.writestr("tool-1.0.data/scripts/tool", "#!python")
        archive.writestr("tool-1.0.dist-info/METADATA", "Name: tool")
    tar = example["layer"](wheel)
    layout = example["Layout"](tmp_path / "layout")
    layout.image("1.0", tar, created=example["FIRST_RELEASE"], labels={"a": "b"})
    layout.finish()

    read = read_layout(tmp_path / "layout")
    images = [ref.image for ref in read.refs]
    assert len(check_images(read, images, limits=Limits()).outlines) == 1
    assert [ref.tag for ref in read.refs] == ["1.0"]
    assert images[0].created == example["FIRST_RELEASE"]
    assert b"usr/bin/tool\0" in tar
    assert example["layer"](wheel) == tar


def test_a_wheel_cannot_write_elsewhere() -> None:
    example = runpy.run_path(str(EXAMPLES / "wheels.py"))
    for name in ["../evil", "/evil", "tool-1.0.data/scripts/../../evil"]:
        with pytest.raises(ValueError, match="a wheel must not hold"):
            example["installed_path"](name)
