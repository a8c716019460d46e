"""Flatpak images as flatpak itself writes them: OCI layouts of successive versions of one runtime.

A runtime needs nothing else to be installed, so a client can take it from our tree alone. Making one needs no network,
no bus and no privileges.
"""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

from ..conftest import require_tool
from . import clients

NAME = "org.deltapress.Platform"
BRANCH = "stable"


def ref(arch: str) -> str:
    return f"runtime/{NAME}/{arch}/{BRANCH}"


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
    source = home / f"version-{version}"
    for name, data in content(version).items():
        path = source / "usr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (source / "files").mkdir()
    full = f"{NAME}/{arch(home)}/{BRANCH}"
    (source / "metadata").write_text(f"[Runtime]\nname={NAME}\nruntime={full}\nsdk={full}\n")
    flatpak = require_tool("flatpak")
    repository = str(home / "repository")
    clients.run(home, flatpak, "build-export", "--disable-sandbox", "--runtime", repository, str(source), BRANCH)
    clients.run(home, flatpak, "build-bundle", "--oci", "--runtime", repository, str(layout), NAME, BRANCH)


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
