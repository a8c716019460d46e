"""Layouts of many tools, published as they are and pulled again by skopeo: each tag has the digest that it had."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.targets.directory import DirectoryTarget
from pipeline.verify import verify

from ..conftest import require_tool
from ..layouts.builder import OCI, REF_NAME, LayoutBuilder, blob_path, json_bytes, on, sha256, tar_of
from . import images, published, servers
from .clients import Skopeo, run, short_home

pytestmark = pytest.mark.interop

FILES = {"etc/one": b"1\n", "etc/two": b"2\n" * 1000}
PULLED = "latest"  # what the configuration calls an image without a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where a layout is made: `source` is one with the tags `1.0` and `multi`, `registry` serves the same."""

    home: Path
    source: Path
    registry: str

    def skopeo(self, *arguments: str) -> None:
        run(self.home, require_tool("skopeo"), "--insecure-policy", "copy", "-q", *arguments)

    def run(self, tool: str, *arguments: str) -> str:
        return run(self.home, require_tool(tool), *arguments).stdout

    def containers(self, tool: str, *arguments: str) -> str:
        """podman or buildah, on a storage of their own."""
        storage = ["--root", f"{self.home}/root", "--runroot", f"{self.home}/runroot", "--storage-driver", "vfs"]
        return self.run(tool, *storage, *arguments)


def source(path: Path) -> Path:
    build = LayoutBuilder()
    amd = build.image(tar_of(FILES))
    arm = build.image(tar_of({**FILES, "etc/arm": b""}), architecture="arm64", variant="v8")
    build.tag("1.0", amd)
    build.tag("multi", build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64/v8"), build.attestation(amd)))
    return build.write(path)


def skopeo_directory(bench: Bench, out: Path) -> None:
    for tag in ("1.0", "multi"):
        bench.skopeo("--all", f"oci:{bench.source}:{tag}", f"oci:{out}:{tag}")


def skopeo_archive(bench: Bench, out: Path) -> None:
    bench.skopeo(f"oci:{bench.source}:1.0", f"oci-archive:{out}:1.0")


def skopeo_zstd(bench: Bench, out: Path) -> None:
    compress = ["--dest-compress", "--dest-compress-format", "zstd", "--format", "oci"]
    bench.skopeo(*compress, f"oci:{bench.source}:1.0", f"oci:{out}:1.0")


def skopeo_without_a_name(bench: Bench, out: Path) -> None:
    bench.skopeo(f"oci:{bench.source}:1.0", f"oci:{out}")


def skopeo_index_of_one_platform(bench: Bench, out: Path) -> None:
    """The index alone, and beside it the image of one of its platforms: as regctl copies with --platforms."""
    bench.skopeo("--override-arch", "amd64", f"oci:{bench.source}:multi", f"oci:{out}:amd64")
    index = json.loads((bench.source / "index.json").read_bytes())
    [entry] = [entry for entry in index["manifests"] if entry["annotations"][REF_NAME] == "multi"]
    (out / blob_path(entry["digest"])).write_bytes((bench.source / blob_path(entry["digest"])).read_bytes())
    listed = json.loads((out / "index.json").read_bytes())
    (out / "index.json").write_bytes(json_bytes({**listed, "manifests": [*listed["manifests"], entry]}))


def umoci(bench: Bench, out: Path) -> None:
    images.umoci_versions(out, bench.home)


def buildah(bench: Bench, out: Path) -> None:
    images.buildah_platforms(out, bench.home)


def podman_save(bench: Bench, out: Path) -> None:
    bench.containers("podman", "pull", "-q", f"oci:{bench.source}:1.0")
    image = bench.containers("podman", "images", "--quiet").split()[0]
    bench.containers("podman", "tag", image, "localhost/app:nightly")
    bench.containers("podman", "save", "-q", "--format", "oci-archive", "-o", str(out), "localhost/app:nightly")


def crane_pull(bench: Bench, out: Path) -> None:
    bench.run("crane", "pull", "--insecure", "--format", "oci", f"{bench.registry}/source:multi", str(out))


def oras_copy_and_attach(bench: Bench, out: Path) -> None:
    bench.run("oras", "cp", "--from-oci-layout", f"{bench.source}:1.0", "--to-oci-layout", f"{out}:1.0")
    (bench.home / "sbom.json").write_bytes(b"{}")
    attach = ["attach", "--oci-layout", f"{out}:1.0", "--artifact-type", "application/vnd.test.sbom"]
    bench.run("oras", *attach, "sbom.json:application/json")


def oras_push_with_an_image_config(bench: Bench, out: Path) -> None:
    """As the documentation of OPA has it: a bundle under the media types of an image, with an empty config."""
    (bench.home / "config.json").write_bytes(b"{}")
    (bench.home / "bundle.tar.gz").write_bytes(gzip.compress(tar_of({"policy.rego": b"package x\n"}), mtime=0))
    config, layer = f"config.json:{OCI}.config.v1+json", f"bundle.tar.gz:{OCI}.layer.v1.tar+gzip"
    bench.run("oras", "push", "--oci-layout", f"{out}:policy", "--config", config, layer)


def ko(_: Bench, out: Path) -> None:
    """What ko writes: names with a leading slash, and an index without names for two platforms."""
    build = LayoutBuilder()
    layers = [_tar("/var/run/ko", "/var/run/ko/LICENSE"), _tar("/ko-app", "/ko-app/app")]
    entries = [on(build.image(*layers, architecture=name), f"linux/{name}") for name in ("amd64", "arm64")]
    build.entry(build.index(*entries))
    build.write(out)


def docker_save(_: Bench, out: Path) -> None:
    """What docker writes since version 25: a layout in a tar, beside it the older form, and containerd's names."""
    build = LayoutBuilder()
    image = build.image(tar_of(FILES))
    entry = build.tag("1.0", image)
    entry["annotations"]["io.containerd.image.name"] = "docker.io/library/app:1.0"
    config = json.loads(build.blobs[blob_path(image["digest"])])["config"]["digest"]
    saved = [{"Config": blob_path(config), "RepoTags": ["app:1.0"], "Layers": []}]
    out.write_bytes(tar_of({"blobs/x": b"", **build.files, "manifest.json": json_bytes(saved)}))


def _tar(folder: str, file: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in ((folder, None), (file, b"program\n" * 100)):
            member = tarfile.TarInfo("x")
            member.name, member.mode = name, 0o755  # tarfile would take the slash away
            if data is None:
                member.type = tarfile.DIRTYPE
            else:
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data or b""))
    return out.getvalue()


TOOLS: tuple[Callable[[Bench, Path], None], ...] = (
    *(skopeo_directory, skopeo_archive, skopeo_zstd, skopeo_without_a_name, skopeo_index_of_one_platform),
    *(umoci, buildah, podman_save, crane_pull, oras_copy_and_attach, oras_push_with_an_image_config),
    *(ko, docker_save),
)
SPARSE = {"skopeo_index_of_one_platform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """All layouts whose tools are there, published and served; `tags` has the digest of each tag by repository, and
    `missing` says why there is none."""

    site: servers.Site
    tree: Path
    tags: dict[str, dict[str, str]]
    missing: dict[str, str]

    def tags_of(self, tool: str) -> dict[str, str]:
        if tool in self.missing:
            pytest.skip(self.missing[tool])
        return self.tags[tool]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    made = tmp_path_factory.mktemp("layouts")
    origin = source(made / "source")
    missing: dict[str, str] = {}
    with servers.public_directory() as first, servers.public_directory() as root:
        published.publish(first, {"source": origin})
        with servers.ALL["nginx"](first) as registry:
            for tool in TOOLS:
                with short_home() as home:
                    try:
                        tool(Bench(home=home, source=origin, registry=registry.registry), made / tool.__name__)
                    except pytest.skip.Exception as skipped:
                        missing[tool.__name__] = str(skipped)
        layouts = {tool.__name__: made / tool.__name__ for tool in TOOLS if tool.__name__ not in missing}
        published.publish(root, layouts, rename={"": PULLED})
        with servers.ALL["nginx"](root) as site:
            tags = {name: tags_of(path) for name, path in layouts.items()}
            yield Published(site=site, tree=root, tags=tags, missing=missing)


def tags_of(layout: Path) -> dict[str, str]:
    """Read the index of a layout in the plainest way: by tag, the digest of what is no attached artifact."""
    found: dict[str, str] = {}
    for entry in json.loads(read(layout, "index.json"))["manifests"]:
        name = entry.get("annotations", {}).get(REF_NAME, "")
        if name or "subject" not in json.loads(read(layout, blob_path(entry["digest"]))):
            found[name.rpartition(":")[2] or PULLED] = entry["digest"]
    return found


def read(layout: Path, name: str) -> bytes:
    if layout.is_dir():
        return (layout / name).read_bytes()
    with tarfile.open(layout) as archive:
        member = archive.extractfile(name)
        assert member is not None
        return member.read()


@pytest.mark.parametrize("tool", [tool.__name__ for tool in TOOLS])
def test_skopeo_pulls_what_the_tool_wrote(shelf: Published, tmp_path: Path, tool: str) -> None:
    skopeo = Skopeo(home=tmp_path)
    tags = shelf.tags_of(tool)
    assert tags
    for tag, digest in tags.items():
        copy = tmp_path / tag
        whole = [] if tool in SPARSE and tag == "multi" else ["--all"]
        skopeo.copy(f"docker://{shelf.site.registry}/{tool}:{tag}", f"dir:{copy}", *whole)
        raw = skopeo.raw_manifest(f"docker://{shelf.site.registry}/{tool}:{tag}")
        assert sha256(raw) == digest
        for blob in copy.iterdir():
            if len(blob.name) == 64:
                assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_nothing_is_wrong_with_the_tree(shelf: Published) -> None:
    found = verify(DirectoryTarget(shelf.tree), jobs=1, limits=Limits(), progress=Silent())
    assert found.problems == ()


def test_what_oras_attached_is_a_referrer(shelf: Published) -> None:
    subject = shelf.tags_of("oras_copy_and_attach")["1.0"]
    listing = json.loads((shelf.tree / "v2/oras_copy_and_attach/referrers" / subject).read_bytes())
    assert [entry["artifactType"] for entry in listing["manifests"]] == ["application/vnd.test.sbom"]


def test_oras_finds_it_too(shelf: Published, tmp_path: Path) -> None:
    name = f"{shelf.site.registry}/oras_copy_and_attach@{shelf.tags_of('oras_copy_and_attach')['1.0']}"
    told = run(tmp_path, require_tool("oras"), "discover", "--plain-http", "--format", "json", name).stdout
    assert "application/vnd.test.sbom" in told
