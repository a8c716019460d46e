"""Small images as real tools write them: one by umoci, in two versions, and one for two platforms by buildah."""

from pathlib import Path

from ..conftest import require_tool
from . import clients

PLATFORMS = ("amd64", "arm64")


def umoci_versions(layout: Path, home: Path) -> None:
    """Write a layout with the tags `v1` and `v2`; the second adds a layer to the first. Each holds `data/<tag>`."""
    umoci = require_tool("umoci")
    clients.run(home, umoci, "init", "--layout", str(layout))
    clients.run(home, umoci, "new", "--image", f"{layout}:v1")
    for tag in ("v1", "v2"):
        file = home / tag
        file.write_text(f"this is {tag}\n")
        clients.run(home, umoci, "insert", "--image", f"{layout}:v1", "--tag", tag, str(file), f"/data/{tag}")


def buildah_platforms(layout: Path, home: Path) -> None:
    """Write a layout whose tag `multi` is an index of one image a platform, each holding `data/<architecture>`."""
    buildah = [
        require_tool("buildah"),
        "--root",
        f"{home}/root",
        "--runroot",
        f"{home}/runroot",
        "--storage-driver=vfs",
    ]
    for architecture in PLATFORMS:
        file = home / architecture
        file.write_text(f"this is {architecture}\n")
        container = clients.run(home, *buildah, "from", "--arch", architecture, "scratch").stdout.strip()
        clients.run(home, *buildah, "copy", container, str(file), f"/data/{architecture}")
        clients.run(home, *buildah, "config", "--os", "linux", "--arch", architecture, container)
        clients.run(home, *buildah, "commit", "--format", "oci", "--manifest", "multi", container)
        clients.run(home, *buildah, "rm", container)
    clients.run(home, *buildah, "manifest", "push", "--all", "multi", f"oci:{layout}:multi")
