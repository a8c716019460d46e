"""Published artifacts in the hands of their real clients' code: the crate `oci-delta`, and Go's `tar-patch`.

`rebuild-oci-delta` is the program in `oci_delta/` beside this file.
"""

import hashlib
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.targets.directory import DirectoryTarget

from ..client import contents_of
from ..conftest import require_tool
from ..device import Device, unpack
from ..layouts.builder import LayoutBuilder
from ..layouts.signatures import bundle, signature, signature_tag
from ..runs import Shop, app, other
from ..tars import file, tar
from ..updates import NEW, OLD, noise

pytestmark = pytest.mark.interop

TINY = tar(file("a", b""))  # as gzip smaller than any delta, so it goes whole
CASES = {
    "one layer": ((app(1),), (app(2),), "gzip"),
    "many layers": (OLD, NEW, "gzip"),
    "a layer more, whole": ((app(1), other(1)), (app(2), other(1), TINY), "gzip"),
    "a layer less": (OLD, (NEW[1], NEW[2]), "gzip"),
    "zstd": (OLD, (*NEW, tar(file("usr/new", noise(40)))), "zstd"),
    "plain": (OLD, (*NEW, TINY), ""),
    "signed": (OLD, NEW, "gzip"),  # these clients check nothing, and pass over what carries it
}


def published(path: Path, name: str) -> Device:
    """A device with the old image, and a tree with the new one."""
    old, new, compression = CASES[name]
    shop = Shop(path, DirectoryTarget(path / "public"))
    for number, tars in enumerate((old, new)):
        build = LayoutBuilder()
        image = build.image(*tars, compression=compression)
        if name == "signed":
            build.tag(signature_tag(image), signature(build, image))
            build.entry(bundle(build, image))
        shop.layout({"latest": image}, build)
        shop.run(number)
    return Device(
        contents=contents_of(shop.target),
        repository="app",
        booted=LayoutBuilder().image(*old, compression=compression)["digest"],
        root=unpack(old, path / "root"),
    )


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", CASES)
def test_the_crate_rebuilds_every_layer(tmp_path: Path, name: str) -> None:
    client = require_tool("rebuild-oci-delta")
    device = published(tmp_path, name)
    update = device.update("latest")
    out = tmp_path / "out"
    out.mkdir()
    printed = run(client, tmp_path / "public/v2/app", update.artifact, device.root, out)
    assert printed.split() == list(update.layers)
    assert (out / "manifest").read_bytes() == update.manifest
    assert (out / "config").read_bytes() == update.config
    for diff_id in update.layers:
        data = (out / diff_id.replace(":", "-")).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == diff_id


@pytest.mark.parametrize("name", CASES)
def test_the_reference_applies_the_deltas_of_an_artifact(tmp_path: Path, name: str) -> None:
    tool = require_tool("tar-patch")

    def patch(delta: bytes, root: Path) -> bytes:
        with TemporaryDirectory(dir=tmp_path) as directory:
            (Path(directory) / "delta").write_bytes(delta)
            run(tool, Path(directory) / "delta", root, Path(directory) / "made")
            return (Path(directory) / "made").read_bytes()

    _, new, _ = CASES[name]
    update = published(tmp_path, name).update("latest", patch=patch)
    assert set(update.layers.values()) <= set(new)
