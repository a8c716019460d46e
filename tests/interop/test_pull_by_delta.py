"""`deltapress pull` against real servers, and what it makes in the hands of real tools."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.keys import manifest_key
from pipeline.oci.digest import Digest
from pipeline.targets.http.options import HTTPOptions
from pipeline.targets.http.target import HTTPTarget

from ..conftest import require_tool
from ..layouts.builder import LayoutBuilder
from ..pull.lab import Device, sha256
from ..tars import directory, file, tar, whiteout
from ..updates import NEW, OLD, changed, noise
from . import published, servers
from .clients import Skopeo, run, short_home

pytestmark = pytest.mark.interop

Pair = tuple[tuple[bytes, ...], tuple[bytes, ...]]
LABELS = {"org.flatpak.ref": "app/org.test.App/x86_64/stable", "org.flatpak.metadata": "[Application]\n"}


def base(*more: bytes) -> tuple[bytes, ...]:
    return (tar(directory("usr"), file("usr/base", noise(50, 30_000))), *more)


CASES: dict[str, Pair] = {
    "one layer": (
        (tar(file("usr/app", noise(51, 80_000))),),
        (tar(file("usr/app", changed(noise(51, 80_000))), file("usr/new", b"new")),),
    ),
    "several layers": (OLD, NEW),
    "whiteouts": (
        base(tar(file("usr/a", noise(52, 9000)), file("usr/b", noise(53, 9000)))),
        base(tar(whiteout("usr/base"), file("usr/b", changed(noise(53, 9000))))),
    ),
    "flatpak": (
        base(tar(file("files/app", noise(54, 40_000)))),
        base(tar(file("files/app", changed(noise(54, 40_000))))),
    ),
}


@pytest.mark.parametrize(
    ("server", "name"),
    [*((servers.own, name) for name in CASES), (servers.nginx, "several layers")],
    ids=[*CASES, "nginx"],
)
def test_skopeo_reads_what_was_rebuilt(
    tmp_path: Path, server: Callable[[Path], AbstractContextManager[servers.Site]], name: str
) -> None:
    old, new = CASES[name]
    build = LayoutBuilder()
    labels = LABELS if name == "flatpak" else {}
    for tag, tars in (("1", old), ("2", new)):
        build.tag(tag, build.image(*tars, labels=labels))
    layout = build.write(tmp_path / "layouts")
    with servers.public_directory() as root, short_home() as home:
        published.publish(root, {"team/app": layout})
        with server(root) as site:
            device = Device(tmp_path / "device", HTTPTarget(f"http://{site.registry}", HTTPOptions()))
            device.pull("team/app:1", tag="now")
            outcome = device.pull("team/app:2", tag="now")
            before = len(site.requests())
            assert not device.pull("team/app:2", tag="now").is_changed
            asked = site.requests()[before:]
        assert "delta" in [layer.way for layer in outcome.layers]
        assert device.told.steps == []
        assert not [line for line in asked if "/blobs/" in line]
        assert device.tars("now") == list(new)

        skopeo = Skopeo(home=home)
        shown = json.loads(skopeo.run("inspect", "--config", "--raw", f"oci:{device.layout}:now").stdout)
        assert shown["rootfs"]["diff_ids"] == [sha256(layer) for layer in new]
        skopeo.copy(f"oci:{device.layout}:now", f"dir:{tmp_path / 'copied'}")
        copied = {file.name for file in (tmp_path / "copied").iterdir()}
        assert str(outcome.config).partition(":")[2] in copied


def test_a_registry_that_is_pushed_to_has_the_same_deltas(tmp_path: Path) -> None:
    build = LayoutBuilder()
    for tag, tars in (("1.0", OLD), ("1.1", NEW)):
        build.tag(tag, build.image(*tars))
    layout = build.write(tmp_path / "layouts")
    with servers.public_directory() as root, servers.crane_registry() as registry, short_home() as home:
        published.publish(root, {"team/app": layout})
        with servers.own(root) as site:
            theirs, ours = f"{registry.registry}/team/app", f"{site.registry}/team/app"
            for version in ("1.0", "1.1"):
                command = ("cp", "--from-oci-layout", f"{layout}:{version}", "--to-plain-http", f"{theirs}:{version}")
                run(home, require_tool("oras"), *command)
            [artifact] = json.loads(
                next((root / "v2/team/app/referrers").glob(f"{build.entries[1]['digest']}")).read_bytes()
            )["manifests"]
            run(
                home,
                require_tool("crane"),
                "--insecure",
                "copy",
                f"{ours}@{artifact['digest']}",
                f"{theirs}@{artifact['digest']}",
            )
        target = HTTPTarget(f"http://{registry.registry}", HTTPOptions())
        device = Device(tmp_path / "device", target)
        device.pull("team/app:1.0", tag="now")
        outcome = device.pull("team/app:1.1", tag="now")
        assert [layer.way for layer in outcome.layers] == ["here", "delta", "delta"]
        assert device.tars("now") == list(NEW)
        assert device.told.steps == []
        expected = {manifest_key("team/app", Digest.parse(artifact["digest"])), manifest_key("team/app", "1.1")}
        assert expected < set(target.keys())
