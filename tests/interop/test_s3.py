"""Real clients pull from a bucket that everybody may read: at its virtual host, and through the generated edge."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.keys import server_key

from . import flatpaks, images, published, s3_servers, servers
from .clients import ClientError, Flatpak, Podman, Skopeo, applied_deltas, requested, short_home
from .s3_servers import Storage
from .test_flatpak import Channel, install, update_through_one_delta
from .test_pull import REPOSITORY, read_layout
from .test_servers import ask

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    with pytest.MonkeyPatch.context() as patch, s3_servers.seaweedfs() as running:
        for name, value in s3_servers.environment(tmp_path_factory.mktemp("aws")).items():
            patch.setenv(name, value)
        yield running


def publish(
    storage: Storage, layouts: dict[str, Path], *, rename: dict[str, str] | None = None, tables: str = ""
) -> None:
    s3 = {"endpoint": storage.endpoint, "addressing": "path"}
    published.publish(f"s3://{storage.bucket}", layouts, rename=rename, s3=s3, tables=tables)


@pytest.fixture(scope="module")
def source(storage: Storage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = tmp_path_factory.mktemp("layouts")
    images.umoci_versions(made / "app", tmp_path_factory.mktemp("umoci"))
    images.buildah_platforms(made / "multi", tmp_path_factory.mktemp("buildah"))
    layouts = {REPOSITORY: made / "app", "multi": made / "multi"}
    publish(storage, layouts)
    return layouts


@pytest.fixture(scope="module")
def edge(storage: Storage, source: dict[str, Path]) -> Iterator[servers.Site]:
    assert storage.registry is not None
    with servers.public_directory() as folder:
        configuration = folder / "deltapress-s3.conf"
        stored = storage.client().get_object(Bucket=storage.bucket, Key=server_key("nginx-s3.conf"))
        configuration.write_bytes(stored["Body"].read())
        with servers.nginx_edge(configuration, storage.registry) as site:
            yield site


@pytest.fixture(params=["bucket", "edge"])
def registry(request: pytest.FixtureRequest, storage: Storage, source: dict[str, Path]) -> str:
    if request.param == "bucket":
        assert storage.registry is not None
        return storage.registry
    edge: servers.Site = request.getfixturevalue("edge")
    return edge.registry


@pytest.fixture
def skopeo(tmp_path: Path) -> Skopeo:
    return Skopeo(home=tmp_path)


@pytest.fixture
def podman() -> Iterator[Podman]:
    with short_home() as home:
        yield Podman(home=home)


@pytest.mark.parametrize("tag", ["v1", "v2"])
def test_skopeo_copies_what_the_layout_held(
    registry: str, source: dict[str, Path], skopeo: Skopeo, tmp_path: Path, tag: str
) -> None:
    wanted = read_layout(source[REPOSITORY])
    for number, reference in enumerate([f":{tag}", f"@{wanted.digests[tag]}"]):
        copy = tmp_path / str(number)
        skopeo.copy(f"docker://{registry}/{REPOSITORY}{reference}", f"dir:{copy}")
        assert (copy / "manifest.json").read_bytes() == wanted.raw[tag]


def test_skopeo_copies_every_platform(registry: str, source: dict[str, Path], skopeo: Skopeo, tmp_path: Path) -> None:
    skopeo.copy(f"docker://{registry}/multi:multi", f"oci:{tmp_path}/copy:multi", "--all")
    assert read_layout(tmp_path / "copy") == read_layout(source["multi"])


def test_skopeo_lists_the_tags(registry: str, skopeo: Skopeo) -> None:
    listed = json.loads(skopeo.run("list-tags", "--tls-verify=false", f"docker://{registry}/{REPOSITORY}").stdout)
    assert listed["Tags"] == ["v1", "v2"]


def test_podman_pulls_by_tag_and_by_digest(registry: str, source: dict[str, Path], podman: Podman) -> None:
    wanted = read_layout(source[REPOSITORY])
    by_tag = podman.pull(f"{registry}/{REPOSITORY}:v2")
    assert by_tag == json.loads(wanted.raw["v2"])["config"]["digest"].removeprefix("sha256:")
    assert podman.read(by_tag, "data/v2") == b"this is v2\n"
    assert podman.pull(f"{registry}/{REPOSITORY}@{wanted.digests['v2']}") == by_tag


def test_podman_pulls_one_platform(registry: str, podman: Podman) -> None:
    image = podman.pull(f"{registry}/multi:multi", "--arch", "arm64")
    assert podman.platform(image) == "linux/arm64"


def test_skopeo_says_that_a_tag_is_unknown(edge: servers.Site, skopeo: Skopeo) -> None:
    with pytest.raises(ClientError, match="manifest unknown"):
        skopeo.raw_manifest(f"docker://{edge.registry}/{REPOSITORY}:none")


@pytest.mark.parametrize("reference", ["v2", "digest", "_deltaindex"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_edge_says_the_digest_of_a_manifest(
    edge: servers.Site, source: dict[str, Path], reference: str, method: str
) -> None:
    wanted = read_layout(source[REPOSITORY]).digests["v2"]
    answer = ask(edge, f"/v2/{REPOSITORY}/manifests/{wanted if reference == 'digest' else reference}", method)
    assert answer.status == 200
    assert "no-transform" in answer.headers["Cache-Control"]
    assert answer.headers["Content-Type"].startswith("application/vnd.oci.image.")
    assert "Content-Encoding" not in answer.headers
    assert not {name for name in answer.headers if name.lower().startswith("x-amz-meta")}
    if reference != "_deltaindex":
        assert answer.headers["Docker-Content-Digest"] == wanted


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v2/{REPOSITORY}/manifests/none", "MANIFEST_UNKNOWN"),
        (f"/v2/{REPOSITORY}/referrers/sha256:0", "MANIFEST_UNKNOWN"),
        (f"/v2/{REPOSITORY}/blobs/sha256:{'0' * 64}", "BLOB_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
    ],
)
def test_the_edge_answers_as_a_registry_when_something_is_missing(edge: servers.Site, path: str, code: str) -> None:
    answer = ask(edge, path)
    assert answer.status == 404
    assert json.loads(answer.body)["errors"][0]["code"] == code


@pytest.mark.parametrize(
    "path",
    [
        "/_deltapress/ledger.json",
        "/_deltapress/reports/1.json",
        "/_deltapress/servers/nginx-s3.conf",
        f"/v2/{REPOSITORY}/manifests/../../../../_deltapress/ledger.json",
        "//_deltapress/ledger.json",
        "/v2/%2e%2e/_deltapress/ledger.json",
        "/?list-type=2&prefix=_deltapress",
        "/v2/team",
        "/_deltapress/x.html",
    ],
)
def test_the_edge_serves_nothing_but_the_registry(edge: servers.Site, path: str) -> None:
    answer = ask(edge, path)
    assert answer.status in {400, 404} or b"<html" in answer.body.lower()
    assert b"ledger" not in answer.body


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
def test_the_edge_takes_no_writes(edge: servers.Site, method: str) -> None:
    assert ask(edge, f"/v2/{REPOSITORY}/manifests/v1", method).status == 405


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketChannel(Channel):
    """A runtime that is published to a bucket every night."""

    storage: Storage

    def publish(self, version: int) -> None:
        shutil.rmtree(self.layout, ignore_errors=True)
        flatpaks.build(self.layout, self.build, version)
        site = f'[flatpak]\nname = "ours"\nurl = "http://{self.storage.registry}"\n'
        publish(self.storage, {"runtimes/platform": self.layout}, rename={self.ref: "latest"}, tables=site)


@pytest.fixture
def channel(storage: Storage, tmp_path: Path) -> BucketChannel:
    (tmp_path / "build").mkdir()
    return BucketChannel(root=tmp_path, layout=tmp_path / "layout", build=tmp_path / "build", storage=storage)


@pytest.fixture
def flatpak() -> Iterator[Flatpak]:
    with short_home() as home:
        yield Flatpak(home=home)


def test_flatpak_takes_a_remote_straight_from_the_bucket(channel: BucketChannel, flatpak: Flatpak) -> None:
    channel.publish(1)
    flatpak.run("remote-add", "mine", f"http://{channel.storage.registry}/ours.flatpakrepo")
    flatpak.install("mine", channel.ref)
    channel.publish(2)
    output = flatpak.update(channel.ref)
    [delta] = applied_deltas(output)
    # the bucket has no access log, but flatpak says what it asks for
    blobs = [path.rpartition("/")[2] for path in requested(output) if "/blobs/" in path]
    assert blobs == [channel.blobs[0], delta]
    assert flatpak.files(channel.ref) == flatpaks.content(2)


def test_flatpak_updates_through_deltas_alone(channel: BucketChannel, edge: servers.Site, flatpak: Flatpak) -> None:
    channel.publish(1)
    install(flatpak, edge, channel)
    for version in (2, 3):
        channel.publish(version)
        update_through_one_delta(flatpak, edge, channel)
        assert flatpak.files(channel.ref) == flatpaks.content(version)
