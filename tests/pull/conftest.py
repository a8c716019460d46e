"""A published tree behind a registry, and a device that pulls from it."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.http.options import HTTPOptions
from pipeline.targets.http.target import HTTPTarget

from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import Shop
from ..targets.http.registry import Registry, running
from ..tars import file, tar
from ..updates import NEW, OLD, changed, noise
from .lab import Device

SINGLE = tuple(tar(file("usr/app", changed(noise(1, 90_000), 1000 * number))) for number in range(3))


@dataclass(slots=True)
class World:
    """A tree with images of one layer and of several, the registry that serves it, and a device."""

    tree: Path
    registry: Registry
    device: Device
    images: dict[str, Json]

    def other_device(self) -> Device:
        return Device(self.device.path.with_name("other"), self.device.target)

    def blob(self, name: str, repository: str = "app") -> Path:
        return self.tree / "v2" / repository / "blobs" / name

    def deltas(self, repository: str = "app") -> list[Path]:
        """The blobs that are tar-diffs."""
        blobs = (self.tree / "v2" / repository / "blobs").iterdir()
        return [blob for blob in sorted(blobs) if blob.read_bytes().startswith(b"tardf1")]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Json]]:
    path = tmp_path_factory.mktemp("shop")
    shop = Shop(path, DirectoryTarget(path / "public"), repositories={"app": "", "single": "", "index": ""})
    build = LayoutBuilder()
    images = {"old": build.image(*OLD), "new": build.image(*NEW)}
    shop.layout({"1.0": images["old"], "1.1": images["new"]}, build, "app")
    build = LayoutBuilder()
    singles = {f"{number}.0": build.image(tar) for number, tar in enumerate(SINGLE)}
    shop.layout(dict(singles), build, "single")
    images |= {f"single {name}": image for name, image in singles.items()}
    build = LayoutBuilder()
    for name, tars in (("old", OLD), ("new", NEW)):
        both = [on(build.image(*tars), "linux/amd64"), on(build.image(*tars, architecture="arm64"), "linux/arm64")]
        images[f"index {name}"] = build.index(*both)
        images[f"index {name} amd64"] = both[0]
    shop.layout({"1.0": images["index old"], "1.1": images["index new"]}, build, "index")
    assert not shop.run().failed
    return path / "public", images


@pytest.fixture
def world(published: tuple[Path, dict[str, Json]], tmp_path: Path) -> Iterator[World]:
    tree, images = published
    shutil.copytree(tree, tmp_path / "tree")
    options = HTTPOptions(connect_timeout=5, read_timeout=5, attempts=1)
    with running(Registry(root=tmp_path / "tree")) as registry:
        device = Device(tmp_path / "device", HTTPTarget(registry.url, options))
        yield World(tmp_path / "tree", registry, device, images)
