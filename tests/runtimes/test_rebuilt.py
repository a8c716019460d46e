"""The layout that a runtime accepts, and what is made of it."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from pipeline.client.runtimes.rebuilt import NotRebuiltError, RebuiltImage

from ..layouts import builder
from ..layouts.builder import LayoutBuilder, blob_path, sha256, tar_of

LAYERS = (tar_of({"one": b"1"}), tar_of({"two": b"2" * 5000}))


@pytest.fixture(params=["sha256", "sha512"])
def algorithm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layouts are built with digests of either."""
    name = request.param
    monkeypatch.setattr(builder, "sha256", lambda data: f"{name}:{hashlib.new(name, data).hexdigest()}")


def image(tmp_path: Path) -> tuple[LayoutBuilder, Path]:
    build = LayoutBuilder()
    build.entry(build.image(*LAYERS, compression="", architecture="arm64", variant="v8"))
    return build, build.write(tmp_path / "layout")


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        found = {}
        for member in opened:
            content = opened.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def docker_archive(rebuilt: RebuiltImage) -> bytes:
    out = io.BytesIO()
    rebuilt.write_docker_archive(out)
    return out.getvalue()


def test_a_docker_archive_has_the_configuration_as_it_is(tmp_path: Path) -> None:
    build, layout = image(tmp_path)
    rebuilt = RebuiltImage.read(layout)
    files = members(docker_archive(rebuilt))
    [described] = json.loads(files["manifest.json"])
    assert described["RepoTags"] is None
    assert sha256(files[described["Config"]]) == str(rebuilt.manifest.config.digest)
    assert [files[name] for name in described["Layers"]] == list(LAYERS)
    assert docker_archive(RebuiltImage.read(layout)) == docker_archive(rebuilt)
    (layout / blob_path(sha256(LAYERS[0]))).unlink()
    del files[described["Layers"][0]]
    assert members(docker_archive(RebuiltImage.read(layout))) == files
    assert build.blobs


@pytest.mark.usefixtures("algorithm")
def test_an_oci_archive_is_the_layout_with_a_name(tmp_path: Path) -> None:
    build, layout = image(tmp_path)
    rebuilt = RebuiltImage.read(layout)
    out = io.BytesIO()
    rebuilt.write_oci_archive(out)
    files = members(out.getvalue())
    [entry] = json.loads(files.pop("index.json"))["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": rebuilt.private_name}
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    assert files == build.blobs


@pytest.mark.usefixtures("algorithm")
def test_a_scaffold_is_another_image_of_the_same_layers(tmp_path: Path) -> None:
    _, layout = image(tmp_path)
    rebuilt = RebuiltImage.read(layout)
    scaffold = tmp_path / "scaffold"
    config = rebuilt.write_scaffold(scaffold)
    other = RebuiltImage.read(scaffold)
    assert other.layers == rebuilt.layers
    assert other.manifest.config.digest == config != rebuilt.manifest.config.digest
    assert json.loads(other.config)["variant"] == "v8"
    assert [path.read_bytes() for diff_id in other.layers if (path := other.blob(diff_id))] == list(LAYERS)


def test_what_is_no_rebuilt_image_is_refused(tmp_path: Path) -> None:
    def refused(name: str, build: LayoutBuilder, problem: str) -> None:
        with pytest.raises(NotRebuiltError, match=problem):
            RebuiltImage.read(build.write(tmp_path / name))

    two = LayoutBuilder()
    for tar in LAYERS:
        two.entry(two.image(tar, compression=""))
    refused("two", two, "does not name one manifest")
    compressed = LayoutBuilder()
    compressed.entry(compressed.image(*LAYERS))
    refused("compressed", compressed, "are not those of the configuration, uncompressed")
    index = LayoutBuilder()
    index.entry(index.index(index.image(*LAYERS, compression="")))
    refused("index", index, "is no manifest of an image")
    lost = LayoutBuilder()
    entry = lost.entry(lost.image(*LAYERS, compression=""))
    del lost.blobs[blob_path(entry["digest"])]
    refused("lost", lost, "No such file")
    large = LayoutBuilder()
    large.entry(large.image(*LAYERS, compression="", labels={"large": "x" * (5 << 20)}))
    refused("large", large, "has more than 4,194,304 bytes")
    with pytest.raises(NotRebuiltError, match="No such file"):
        RebuiltImage.read(tmp_path / "nothing")
