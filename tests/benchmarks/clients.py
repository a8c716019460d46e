"""What an update costs each kind of client, and the second format a publish: `python -m tests.benchmarks.clients`.

Images are made of the corpus: of one layer, a pair each, and of three. Old and new are published with the deltas of
`_deltaindex` alone, and with those of both formats. What a client then loads is added up from the documents that it
reads: manifest, config, listings and layers, none of which it has.

Rule 1. The client of `_deltaindex` is containers/image: layers that it has it keeps, for each other one it takes the
        smallest delta from a layer that it has, or the layer. (flatpak asks by its last layer alone.)
Rule 2. The client of oci-delta is flightctl's: the listing under the tag, the artifact, and all of its parts.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..layouts.builder import OCI, Json, LayoutBuilder, json_bytes, sha256
from .corpus import Pair, build, chosen
from .measure import Usage, best, measured_apart
from .packages import UnavailableError

DELTA: Final = "io.github.containers.delta"
FORMATS: Final = {"one": '["deltaindex"]', "both": '["deltaindex", "oci-delta"]'}
_QUICK: Final = "numpy,lxml,django,sphinx,esbuild,typescript"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Two versions of an image: each layer is a pair, and `changed` of them, the last ones, are new in the second."""

    name: str
    pairs: tuple[Pair, ...]
    changed: int

    def layers(self, version: int) -> Iterator[tuple[bytes, bytes]]:
        """The tar and its gzip of each layer."""
        for number, pair in enumerate(self.pairs):
            is_new = version == 2 and number >= len(self.pairs) - self.changed
            plain = pair.folder / ("new.tar" if is_new else "old.tar")
            yield plain.read_bytes(), plain.with_name(f"{plain.name}.gz").read_bytes()


class Published:
    """A published repository `app`, as its clients read it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def update(self, old: str, new: str) -> tuple[int, int, int]:
        """Bytes that a client with the image of the tag `old` loads for `new`: without deltas, by `_deltaindex`, and by
        an artifact."""
        have, wanted = self._image(old), self._image(new)
        there = {layer["digest"] for layer in have.manifest["layers"]}
        changed = [layer for layer in wanted.manifest["layers"] if layer["digest"] not in there]
        about = len(wanted.raw) + wanted.manifest["config"]["size"]
        plain = about + sum(layer["size"] for layer in changed)
        return plain, about + self._by_index(have, wanted, changed), self._by_artifact(have, wanted)

    def deltas(self) -> tuple[set[str], set[str]]:
        """The digests of the deltas in each format."""
        index = [layer["digest"] for document in self._delta_manifests() for layer in document[1]["layers"]]
        artifacts = [document for document in self._documents() if "oci-delta" in document.get("artifactType", "")]
        parts = [part for artifact in artifacts for part in artifact["layers"]]
        return set(index), {part["digest"] for part in parts if part["mediaType"] == "application/vnd.tar-diff"}

    def size(self) -> int:
        """Bytes of all files, each once."""
        files = {path.lstat().st_ino: path.lstat().st_size for path in self._root.rglob("*") if path.is_file()}
        return sum(files.values())

    def _by_index(self, have: "_Image", wanted: "_Image", changed: Sequence[Json]) -> int:
        [(size, document)] = [
            (size, document)
            for size, document in self._delta_manifests()
            if document["annotations"][f"{DELTA}.target"] == sha256(wanted.raw)
        ]
        loaded: int = size + len(self._read("manifests/_deltaindex"))
        for layer in changed:
            fitting = [
                delta["size"]
                for delta in document["layers"]
                if delta["annotations"][f"{DELTA}.to"] == wanted.diff_ids[layer["digest"]]
                and delta["annotations"][f"{DELTA}.from"] in have.diff_ids.values()
            ]
            loaded += min([*fitting, layer["size"]])
        return loaded

    def _by_artifact(self, have: "_Image", wanted: "_Image") -> int:
        listing = self._read(f"manifests/{sha256(wanted.raw).replace(':', '-')}")
        [found] = [
            entry
            for entry in json.loads(listing)["manifests"]
            if entry["annotations"].get(f"{DELTA}.source") == sha256(have.raw)
        ]
        artifact = json.loads(self._read(f"manifests/{found['digest']}"))
        return len(listing) + int(found["size"]) + sum(int(part["size"]) for part in artifact["layers"])

    def _delta_manifests(self) -> Iterator[tuple[int, Json]]:
        for entry in json.loads(self._read("manifests/_deltaindex"))["manifests"]:
            raw = self._read(f"manifests/{entry['digest']}")
            yield len(raw), json.loads(raw)

    def _documents(self) -> list[Any]:
        return [json.loads(path.read_bytes()) for path in (self._root / "v2/app/manifests").glob("sha256:*")]

    def _image(self, tag: str) -> "_Image":
        raw = self._read(f"manifests/{tag}")
        manifest = json.loads(raw)
        config = json.loads(self._read(f"blobs/{manifest['config']['digest']}"))
        digests = [layer["digest"] for layer in manifest["layers"]]
        return _Image(raw, manifest, dict(zip(digests, config["rootfs"]["diff_ids"], strict=True)))

    def _read(self, name: str) -> bytes:
        return (self._root / "v2/app" / name).read_bytes()


@dataclass(frozen=True, slots=True)
class _Image:
    raw: bytes
    manifest: Json
    diff_ids: dict[str, str]


def cases(pairs: Sequence[Pair]) -> Iterator[Case]:
    """An image for each pair, and two of three layers, made of the first three."""
    yield from (Case(name=pair.name, pairs=(pair,), changed=1) for pair in pairs)
    if len(pairs) >= 3:
        names = " + ".join(pair.name for pair in pairs[:3])
        yield Case(name=f"{names}, the last one changed", pairs=tuple(pairs[:3]), changed=1)
        yield Case(name=f"{names}, all changed", pairs=tuple(pairs[:3]), changed=3)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.clients", description=__doc__)
    parser.add_argument("--pairs", default=_QUICK, metavar="GLOBS", help=f"of the corpus (default: {_QUICK})")
    parser.add_argument("--repeat", type=int, default=2, help="publishes, of which the least counts (default: 2)")
    arguments = parser.parse_args()
    found = []
    for pair in chosen(arguments.pairs):
        try:
            build(pair)
        except UnavailableError as error:
            print(f"{pair.name}: left out: {error}", file=sys.stderr)
        else:
            found.append(pair)
    heads = ["image", "plain", "`_deltaindex`", "oci-delta", "deltas: each, shared"]
    heads += ["publish, CPU s", "with both", "tree, MB", "with both"]
    print(f"| {' | '.join(heads)} |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for case in cases(found):
        with tempfile.TemporaryDirectory() as name:
            print(_row(case, Path(name), arguments.repeat), flush=True)


def _row(case: Case, folder: Path, repeat: int) -> str:
    _write_layout(case, folder)
    usages: dict[str, list[Usage]] = {formats: [] for formats in FORMATS}
    for number in range(repeat):
        for formats in FORMATS:
            usages[formats].append(_publish(folder, formats, number))
    trees = {formats: Published(folder / f"{formats}-0") for formats in FORMATS}
    plain, by_index, by_artifact = trees["both"].update("1", "2")
    one, two = trees["both"].deltas()
    seconds = [f"{best(usages[formats]).cpu:.1f}" for formats in FORMATS]  # whatever else the machine does
    sizes = [f"{trees[formats].size() / 1e6:.1f}" for formats in FORMATS]
    counts = f"{len(one)}, {len(two)}, {len(one & two)}"
    figures = [f"{plain:,}", f"{by_index:,}", f"{by_artifact:,}", counts, *seconds, *sizes]
    return f"| {case.name} | {' | '.join(figures)} |"


def _publish(folder: Path, formats: str, number: int) -> Usage:
    config = folder / f"{formats}-{number}.toml"
    config.write_text(
        f'[target]\nurl = "{formats}-{number}"\n[policy]\nversions = 1\nformats = {FORMATS[formats]}\n'
        '[[repository]]\nname = "app"\nlayout = "layout"\n'
    )
    return measured_apart([sys.executable, "-m", "pipeline", "-c", config, "publish"], limit=900)


def _write_layout(case: Case, folder: Path) -> None:
    builder = LayoutBuilder()
    for version in (1, 2):
        layers = list(case.layers(version))
        config = {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [sha256(plain) for plain, _ in layers]},
        }
        described = builder.blob(json_bytes(config), f"{OCI}.config.v1+json")
        packed = [builder.blob(data, f"{OCI}.layer.v1.tar+gzip") for _, data in layers]
        builder.tag(str(version), builder.manifest(described, *packed))
    builder.write(folder / "layout")


if __name__ == "__main__":
    main()
