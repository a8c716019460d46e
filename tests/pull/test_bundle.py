"""Bundles: what is in one, and a device that has nothing else."""

import io
import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.client.bundle.reading import BundleTarget, NoBundleError
from pipeline.client.bundle.writing import BundleOutcome, NoArtifactError, write_bundle
from pipeline.client.reference import ImageName
from pipeline.client.repository import UnknownImageError, WrongContentError
from pipeline.client.request import Request
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.progress import Silent
from pipeline.targets.base import TargetError

from ..conftest import require_tool
from ..device import unpack
from ..layouts.builder import LayoutBuilder
from ..updates import NEW, OLD
from .conftest import SINGLE, World
from .lab import AMD64, digest


def bundled(world: World, path: Path, image: str, *sources: str | Digest) -> BundleOutcome:
    name = ImageName.parse(image)
    request = Request(
        name=name,
        target=world.device.target,
        repositories=name.names_in_tree,
        platform=AMD64,
        limits=Limits(),
    )
    with path.open("wb") as out:
        return write_bundle(request, sources, out, Silent())


def offline(world: World, bundle: Path) -> None:
    """From now on the device has nothing but the bundle."""
    world.device.target = BundleTarget.at(bundle)


def files_of(bundle: Path) -> dict[str, bytes]:
    with tarfile.open(bundle) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


@pytest.mark.parametrize("repository", ["app", "index"])
def test_a_device_updates_without_a_network(world: World, tmp_path: Path, repository: str) -> None:
    made = bundled(world, tmp_path / "b.tar", f"{repository}:1.1", "1.0")
    assert made.size < made.whole
    world.device.pull(f"{repository}:1.0", tag="t")
    online = world.device.target
    offline(world, tmp_path / "b.tar")
    world.registry.asked.clear()
    outcome = world.device.pull(f"{repository}:1.1", tag="t")
    assert world.registry.asked == []
    assert [layer.way for layer in outcome.layers] == ["here", "delta", "delta"]
    assert world.device.tars("t") == list(NEW)
    world.device.target = online
    assert not world.device.pull(f"{repository}:1.1", tag="t").is_changed
    assert len(world.registry.asked) == 1  # it is known by what the tag leads to


def test_the_files_of_the_old_image_are_enough_for_one_layer(world: World, tmp_path: Path) -> None:
    bundled(world, tmp_path / "b.tar", "single:2.0", "1.0")
    offline(world, tmp_path / "b.tar")
    root = unpack(SINGLE[1:2], tmp_path / "root")
    outcome = world.device.pull("single:2.0", root=root, source=digest(world.images["single 1.0"]))
    assert [layer.way for layer in outcome.layers] == ["delta"]


def test_several_old_images(world: World, tmp_path: Path) -> None:
    sources: Sequence[str | Digest] = ("0.0", digest(world.images["single 1.0"]))
    made = bundled(world, tmp_path / "b.tar", "single:2.0", *sources)
    assert len(made.artifacts) == 2
    online = world.device.target
    for version in ("0.0", "1.0"):
        world.device.target = online
        world.device.pull(f"single:{version}", tag="t")
        offline(world, tmp_path / "b.tar")
        assert [layer.way for layer in world.device.pull("single:2.0", tag="t").layers] == ["delta"]


def test_the_same_artifacts_give_the_same_bytes_and_one_manifest(world: World, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        bundled(world, tmp_path / name, "app:1.1", "1.0")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    files = files_of(tmp_path / "a.tar")
    [entry] = json.loads(files["index.json"])["manifests"]
    artifact = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
    for part in (artifact["config"], *artifact["layers"]):
        assert len(files["blobs/" + part["digest"].replace(":", "/")]) == part["size"]


def test_a_bundle_is_for_its_own_image(world: World, tmp_path: Path) -> None:
    bundled(world, tmp_path / "b.tar", "app:1.1", "1.0")
    offline(world, tmp_path / "b.tar")
    for other in ("app:1.0", "single:1.1", "app:latest"):
        with pytest.raises(UnknownImageError, match="has no image"):
            world.device.pull(other)


def test_what_a_bundle_lacks_is_named(world: World, tmp_path: Path) -> None:
    with pytest.raises(NoArtifactError, match=r"no artifact of oci-delta leads there from 1.1"):
        bundled(world, tmp_path / "c.tar", "app:1.0", "1.1")
    bundled(world, tmp_path / "b.tar", "app:1.1", "1.0")
    offline(world, tmp_path / "b.tar")
    with pytest.raises(
        TargetError, match=r"v2/app/blobs/sha256:[0-9a-f]{64}: is not in the bundle, .* make one with a --source"
    ):
        world.device.pull("app:1.1")


def test_what_is_no_bundle_is_told(world: World, tmp_path: Path) -> None:
    build = LayoutBuilder()
    build.tag("t", build.image(*OLD))
    archive = build.write_archive(tmp_path / "image.tar")
    with pytest.raises(NoBundleError, match="it has no artifact of oci-delta"):
        BundleTarget.at(archive)


def test_a_damaged_part_spoils_no_layer_and_no_bundle(world: World, tmp_path: Path) -> None:
    bundle = tmp_path / "b.tar"
    bundled(world, bundle, "app:1.1", "1.0")
    world.device.pull("app:1.0", tag="t")
    data = bundle.read_bytes()
    at = data.index(b"tardf1") + 40
    bundle.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    offline(world, bundle)
    with pytest.raises(TargetError, match="is not in the bundle"):
        world.device.pull("app:1.1", tag="t")
    assert world.device.tars("t") == list(OLD)


def test_no_bundle_is_made_of_what_is_damaged(world: World, tmp_path: Path) -> None:
    for blob in world.deltas():
        blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    with pytest.raises(WrongContentError, match="has another digest"):
        bundled(world, tmp_path / "b.tar", "app:1.1", "1.0")


def test_hostile_archives_are_only_read(world: World, tmp_path: Path) -> None:
    bundled(world, tmp_path / "b.tar", "app:1.1", "1.0")
    files = files_of(tmp_path / "b.tar")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            if data.startswith(b"tardf1"):
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    (tmp_path / "evil.tar").write_bytes(out.getvalue())
    world.device.pull("app:1.0", tag="t")
    offline(world, tmp_path / "evil.tar")
    with pytest.raises(TargetError):
        world.device.pull("app:1.1", tag="t")
    assert world.device.tars("t") == list(OLD)


@pytest.mark.interop
def test_what_skopeo_copies_is_a_bundle_and_the_other_way_round(world: World, tmp_path: Path) -> None:
    skopeo = require_tool("skopeo")
    made = bundled(world, tmp_path / "ours.tar", "app:1.1", "1.0")
    reference = f"docker://{world.registry.host}/app@{made.artifacts[0].artifact}"
    command = [skopeo, "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    subprocess.run([*command, reference, f"oci-archive:{tmp_path / 'theirs.tar'}"], check=True)
    world.device.pull("app:1.0", tag="t")
    offline(world, tmp_path / "theirs.tar")
    world.device.pull("whatever:1.1", tag="t")
    assert world.device.tars("t") == list(NEW)
    shown = subprocess.run(
        [skopeo, "inspect", "--raw", f"oci-archive:{tmp_path / 'ours.tar'}"], check=True, capture_output=True
    )
    assert Digest.of(shown.stdout) == made.artifacts[0].artifact
