"""Flatpak images as flatpak itself writes them: OCI layouts of versions of one runtime, and of an app that needs it.

A runtime needs nothing else to be installed, so a client can take it from our tree alone. Making one needs no network,
no bus and no privileges.
"""

import base64
import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..conftest import require_tool
from . import clients

# those of examples/flatpak.toml
NAME = "org.example.Platform"
APP = "org.example.Hello"
BRANCH = "stable"


def ref(arch: str) -> str:
    return f"runtime/{NAME}/{arch}/{BRANCH}"


def app_ref(arch: str, branch: str = BRANCH) -> str:
    return f"app/{APP}/{arch}/{branch}"


def arch(home: Path) -> str:
    return clients.run(home, require_tool("flatpak"), "--default-arch").stdout.strip()


def content(version: int) -> dict[str, bytes]:
    """The files of a version: a big one with small edits, one that never changes, and one that is new each time.

    The bytes do not compress, so that a delta pays.
    """
    library = bytearray(random.Random(0).randbytes(400_000))
    for edit in range(version):
        library[edit * 1000 : edit * 1000 + 8] = b"edited" + bytes([edit, version])
    return {
        "lib/libbig.so": bytes(library),
        "share/unchanged": random.Random(1).randbytes(100_000),
        f"share/only-in-{version}": f"version {version}\n".encode(),
    }


def build(layout: Path, home: Path, version: int) -> None:
    """Write the OCI layout of `version` to `layout`; `home` keeps the ostree repository between versions."""
    build_runtime(layout, home, version, ref(arch(home)))


def build_runtime(layout: Path, home: Path, version: int, runtime: str) -> None:
    """Write `version` of the runtime with the ref `runtime` to `layout`, beside what is there."""
    full = runtime.removeprefix("runtime/")
    source = _write(home / f"{full.replace('/', '-')}-{version}", content(version), files="usr")
    (source / "files").mkdir()
    (source / "metadata").write_text(f"[Runtime]\nname={NAME}\nruntime={full}\nsdk={full}\n")
    _bundle(layout, home, source, runtime)


def build_app(layout: Path, home: Path, version: int, app: str) -> None:
    """Write `version` of the app with the ref `app` to `layout`, beside what is there; it needs the runtime.

    It has icons, and is in flatpak's catalogue, with its version.
    """
    _, name, machine, branch = app.split("/")
    source = _write(home / f"{name}-{machine}-{branch}-{version}", content(version) | {"bin/hello": b"#!/bin/sh\n"})
    (source / "export").mkdir()
    runtime = f"{NAME}/{machine}/{BRANCH}"
    (source / "metadata").write_text(f"[Application]\nname={name}\nruntime={runtime}\nsdk={runtime}\ncommand=hello\n")
    component = f"<id>{name}</id><name>Hello</name><summary>Version {version}</summary>"
    catalogue = f'<components version="0.8"><component type="desktop-application">{component}</component></components>'
    _write(
        source,
        {
            f"share/app-info/xmls/{name}.xml.gz": gzip.compress(catalogue.encode(), mtime=0),
            **{f"share/app-info/icons/flatpak/{size}x{size}/{name}.png": icon(size) for size in (64, 128)},
        },
    )
    _bundle(layout, home, source, app)


def build_layered(layout: Path, home: Path, versions: Iterable[int], runtime: str) -> None:
    """Write an image of each version of a runtime, by buildah, to the layout `layout-VERSION`:
    what never changes is one layer, and all else the other."""
    buildah = [require_tool("buildah"), f"--root={home}/root", f"--runroot={home}/runroot", "--storage-driver=vfs"]

    full = runtime.removeprefix("runtime/")
    metadata = f"[Runtime]\nname={NAME}\nruntime={full}\nsdk={full}\n"

    def commit(image: str, base: str, contents: Mapping[str, bytes], *configuration: str) -> None:
        container = clients.run(home, *buildah, "from", "--pull-never", base).stdout.strip()
        (_write(home / image, contents) / "metadata").write_text(metadata)
        clients.run(home, *buildah, "copy", container, str(home / image), "/")
        clients.run(home, *buildah, "config", *configuration, container)
        clients.run(home, *buildah, "commit", container, image)

    labels = {"ref": runtime, "metadata": metadata, "commit-metadata.xa.metadata": _variant(metadata)}
    given = [f"--label=org.flatpak.{name}={value}" for name, value in labels.items()]
    unchanged = "share/unchanged"
    commit("base", "scratch", {unchanged: content(0)[unchanged]})
    for version in versions:
        changed = {name: data for name, data in content(version).items() if name != unchanged}
        commit(f"v{version}", "localhost/base", changed, *given)
        clients.run(home, *buildah, "push", f"v{version}", f"oci:{layout}-{version}:latest")


def _variant(text: str) -> str:
    """A string in a GVariant of the type `v`, in base64: without it flatpak refuses what it has downloaded."""
    return base64.b64encode(text.encode() + b"\0\0s").decode()


def icon(size: int) -> bytes:
    """A PNG as far as anybody here looks at it."""
    return b"\x89PNG\r\n\x1a\n" + random.Random(size).randbytes(size)


def _write(folder: Path, contents: Mapping[str, bytes], *, files: str = "files") -> Path:
    for name, data in contents.items():
        path = folder / files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def _bundle(layout: Path, home: Path, source: Path, flatpak_ref: str) -> None:
    kind, name, machine, branch = flatpak_ref.split("/")
    options = [f"--arch={machine}", *(["--runtime"] if kind == "runtime" else [])]
    flatpak, repository = require_tool("flatpak"), str(home / "repository")
    clients.run(home, flatpak, "build-export", "--disable-sandbox", *options, repository, str(source), branch)
    clients.run(home, flatpak, "build-bundle", "--oci", *options, repository, str(layout), name, branch)


def relabel(layout: Path, labels: dict[str, str]) -> None:
    """Give the image of a layout more labels; its layer stays what it is."""

    def stored(digest: str) -> Any:
        return json.loads((layout / "blobs" / digest.replace(":", "/")).read_bytes())

    def store(document: Any) -> dict[str, Any]:
        raw = json.dumps(document).encode()
        name = hashlib.sha256(raw).hexdigest()
        (layout / "blobs" / "sha256" / name).write_bytes(raw)
        return {"digest": f"sha256:{name}", "size": len(raw)}

    index = json.loads((layout / "index.json").read_bytes())
    [entry] = index["manifests"]
    manifest = stored(entry["digest"])
    config = stored(manifest["config"]["digest"])
    config["config"]["Labels"] |= labels
    manifest["config"] |= store(config)
    entry |= store(manifest)
    (layout / "index.json").write_text(json.dumps(index))
