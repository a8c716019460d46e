"""A published shop, a device that pulls from it over HTTP, and what the device then has."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

from pipeline.client.outcome import PullOutcome
from pipeline.client.pull import pull_into_layout
from pipeline.client.reference import ImageName
from pipeline.client.request import Request
from pipeline.limits import Limits
from pipeline.oci.descriptor import Platform
from pipeline.oci.digest import Digest
from pipeline.progress import Task
from pipeline.targets.base import ReadableTarget

from ..layouts.builder import Json, LayoutBuilder

AMD64 = Platform(os="linux", architecture="amd64")


@dataclass(slots=True)
class Told:
    """A Progress that keeps what it is told, and may interrupt after so many bytes."""

    steps: list[str] = field(default_factory=list)
    dies_after: int | None = None
    advanced: int = 0

    def step(self, text: str) -> None:
        self.steps.append(text)

    @contextmanager
    def task(self, name: str, total: int | None = None, unit: str = "items") -> Iterator[Task]:
        yield self

    def advance(self, amount: int = 1) -> None:
        self.advanced += amount
        if self.dies_after is not None and self.advanced > self.dies_after:
            raise KeyboardInterrupt


@dataclass(slots=True)
class Device:
    """A machine with a layout in `path`."""

    path: Path
    target: ReadableTarget
    told: Told = field(default_factory=Told)

    @property
    def layout(self) -> Path:
        return self.path / "layout"

    def pull(self, image: str, *, tag: str | None = None, unpack: Path | None = None, **more: Any) -> PullOutcome:
        name = ImageName.parse(image)
        request = Request(
            name=name,
            target=self.target,
            repositories=name.names_in_tree,
            **{"platform": AMD64, "limits": Limits(), **more},
        )
        return pull_into_layout(request, self.layout, tag or name.tag, progress=self.told, unpack=unpack)

    def blob(self, digest: str) -> bytes:
        return (self.layout / "blobs" / digest.replace(":", "/")).read_bytes()

    def entry(self, tag: str) -> Json:
        index = json.loads((self.layout / "index.json").read_bytes())
        [found] = [
            e for e in index["manifests"] if e.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag
        ]
        return dict(found)

    def tars(self, tag: str) -> list[bytes]:
        """The uncompressed layers of an image, whose every digest has been compared."""
        entry = self.entry(tag)
        manifest = json.loads(self.blob(entry["digest"]))
        config = json.loads(self.blob(manifest["config"]["digest"]))
        for descriptor in (entry, manifest["config"], *manifest["layers"]):
            data = self.blob(descriptor["digest"])
            assert (len(data), sha256(data)) == (descriptor["size"], descriptor["digest"])
        found = [plain(self.blob(layer["digest"])) for layer in manifest["layers"]]
        assert [sha256(tar) for tar in found] == config["rootfs"]["diff_ids"]
        return found

    def files(self) -> set[str]:
        """Everything that lies in the layout."""
        return {str(file.relative_to(self.layout)) for file in self.layout.rglob("*") if file.is_file()}


def plain(data: bytes) -> bytes:
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data)
    return zstandard.decompress(data) if data.startswith(b"\x28\xb5\x2f\xfd") else data


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest(descriptor: Json) -> Digest:
    return Digest.parse(descriptor["digest"])


def images_in(build: LayoutBuilder, **tars: tuple[bytes, ...]) -> dict[str, Json]:
    return {name: build.image(*layers) for name, layers in tars.items()}
