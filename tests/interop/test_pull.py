"""skopeo and podman pull from each real server: by tag, by digest, and one platform of several."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import images, published, servers
from .clients import ClientError, Podman, Skopeo, short_home

pytestmark = pytest.mark.interop

REPOSITORY = "team/app"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What went into the tree: by tag, the digest and the bytes of what the layout says."""

    digests: dict[str, str]
    raw: dict[str, bytes]


def read_layout(layout: Path) -> Source:
    index = json.loads((layout / "index.json").read_bytes())
    digests = {
        entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"] for entry in index["manifests"]
    }
    blobs = layout / "blobs" / "sha256"
    return Source(
        digests=digests,
        raw={tag: (blobs / digest.removeprefix("sha256:")).read_bytes() for tag, digest in digests.items()},
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("layouts")
    images.umoci_versions(made / "app", tmp_path_factory.mktemp("umoci"))
    images.buildah_platforms(made / "multi", tmp_path_factory.mktemp("buildah"))
    return {REPOSITORY: made / "app", "multi": made / "multi"}


@pytest.fixture(scope="module")
def tree(source: dict[str, Path]) -> Iterator[Path]:
    with servers.public_directory() as root:
        published.publish(root, source)
        yield root


@pytest.fixture(scope="module", params=servers.ALL)
def site(request: pytest.FixtureRequest, tree: Path) -> Iterator[servers.Site]:
    with servers.ALL[request.param](tree) as running:
        yield running


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    return Skopeo(home=tmp_path)


@pytest.fixture
def podman() -> Iterator[Podman]:
    with short_home() as home:
        yield Podman(home=home)


@pytest.mark.parametrize("tag", ["v1", "v2"])
def test_skopeo_copies_what_the_layout_held(
    site: servers.Site, source: dict[str, Path], skopeo: Skopeo, tmp_path: Path, tag: str
) -> None:
    wanted = read_layout(source[REPOSITORY])
    for number, reference in enumerate([f":{tag}", f"@{wanted.digests[tag]}"]):
        copy = tmp_path / str(number)
        skopeo.copy(f"docker://{site.registry}/{REPOSITORY}{reference}", f"dir:{copy}")
        assert (copy / "manifest.json").read_bytes() == wanted.raw[tag]


def test_skopeo_copies_every_platform(
    site: servers.Site, source: dict[str, Path], skopeo: Skopeo, tmp_path: Path
) -> None:
    wanted = read_layout(source["multi"])
    skopeo.copy(f"docker://{site.registry}/multi:multi", f"oci:{tmp_path}/copy:multi", "--all")
    assert read_layout(tmp_path / "copy") == wanted
    have = {path.name for path in (tmp_path / "copy/blobs/sha256").iterdir()}
    assert have == {path.name for path in (source["multi"] / "blobs/sha256").iterdir()}


def test_skopeo_lists_the_tags(site: servers.Site, skopeo: Skopeo) -> None:
    listed = json.loads(skopeo.run("list-tags", "--tls-verify=false", f"docker://{site.registry}/{REPOSITORY}").stdout)
    assert listed["Tags"] == ["v1", "v2"]


def test_skopeo_says_that_a_tag_is_unknown(site: servers.Site, skopeo: Skopeo) -> None:
    with pytest.raises(ClientError, match="manifest unknown"):
        skopeo.raw_manifest(f"docker://{site.registry}/{REPOSITORY}:none")


def test_podman_pulls_by_tag_and_by_digest(site: servers.Site, source: dict[str, Path], podman: Podman) -> None:
    wanted = read_layout(source[REPOSITORY])
    by_tag = podman.pull(f"{site.registry}/{REPOSITORY}:v2")
    assert by_tag == json.loads(wanted.raw["v2"])["config"]["digest"].removeprefix("sha256:")
    assert podman.read(by_tag, "data/v1") == b"this is v1\n"
    assert podman.read(by_tag, "data/v2") == b"this is v2\n"
    assert podman.pull(f"{site.registry}/{REPOSITORY}@{wanted.digests['v2']}") == by_tag


@pytest.mark.parametrize("architecture", images.PLATFORMS)
def test_podman_pulls_one_platform(site: servers.Site, podman: Podman, architecture: str) -> None:
    image = podman.pull(f"{site.registry}/multi:multi", "--arch", architecture)
    assert podman.platform(image) == f"linux/{architecture}"
    assert podman.read(image, f"data/{architecture}") == f"this is {architecture}\n".encode()
