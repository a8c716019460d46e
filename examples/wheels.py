"""Make an OCI image layout of several releases of a Python package: one image a release, one layer each, tag = version.

    python examples/wheels.py layouts/lxml lxml 5.3.0 5.3.1 5.3.2

pip fetches the wheels. The images are the same on every machine: the wheels are those for one fixed platform, and
nothing in a layer comes from here, neither dates nor owners. Standard library only.
"""

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

PLATFORM = ["--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "cp"]
SITE_PACKAGES = PurePosixPath("usr/lib/python3.11/site-packages")
FIRST_RELEASE = datetime(2024, 1, 1, tzinfo=UTC)

Json = dict[str, Any]


def download(package: str, version: str, directory: Path) -> Path:
    """The wheel of one release, fetched into `directory`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    wanted = ["--only-binary=:all:", *PLATFORM, "--dest", str(directory), f"{package}=={version}"]
    if subprocess.run([*command, *wanted], check=False).returncode:
        raise SystemExit(f"pip could not fetch {package} {version}; its message stands above")
    (wheel,) = directory.glob("*.whl")
    return wheel


def installed_path(name: str) -> PurePosixPath:
    """Where a member of a wheel goes when it is installed (binary distribution format, "Spread")."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"a wheel must not hold {name!r}")
    if path.parts[0].endswith(".data"):
        kind, rest = path.parts[1], PurePosixPath(*path.parts[2:])
        return {"scripts": PurePosixPath("usr/bin"), "data": PurePosixPath("usr")}.get(kind, SITE_PACKAGES) / rest
    return SITE_PACKAGES / path


def layer(wheel: Path) -> bytes:
    """The files of a wheel as a tar: sorted, owned by root, without dates."""
    files: dict[PurePosixPath, tuple[int, bytes]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                path = installed_path(member.filename)
                is_program = member.external_attr >> 16 & 0o111 or path.parent.name == "bin"
                files[path] = (0o755 if is_program else 0o644, archive.read(member))
    directories = {parent for path in files for parent in path.parents} - {PurePosixPath()}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted({*files, *directories}):
            entry = tarfile.TarInfo(str(path))
            if path in directories:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(entry)
            else:
                entry.mode, data = files[path]
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


class Layout:
    """An image layout that is being written (image-spec, image-layout.md)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._manifests: list[Json] = []

    def blob(self, data: bytes, media_type: str) -> Json:
        digest = hashlib.sha256(data).hexdigest()
        path = self.path / "blobs" / "sha256" / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def document(self, value: Json, media_type: str) -> Json:
        return self.blob(json.dumps(value, indent=2).encode(), media_type)

    def image(self, tag: str, tar: bytes, *, created: datetime, labels: dict[str, str]) -> None:
        config: Json = {
            "created": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        }
        kind = "application/vnd.oci.image."
        manifest: Json = {
            "schemaVersion": 2,
            "mediaType": f"{kind}manifest.v1+json",
            "config": self.document(config, f"{kind}config.v1+json"),
            "layers": [self.blob(gzip.compress(tar, mtime=0), f"{kind}layer.v1.tar+gzip")],
        }
        descriptor = self.document(manifest, f"{kind}manifest.v1+json")
        self._manifests.append({**descriptor, "annotations": {"org.opencontainers.image.ref.name": tag}})

    def finish(self) -> None:
        """Name the images; until then nobody sees them."""
        (self.path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "manifests": self._manifests}
        fresh = self.path / "index.json.new"
        fresh.write_text(json.dumps(index, indent=2))
        fresh.replace(self.path / "index.json")


def make_layout(path: Path, package: str, versions: Iterable[str]) -> None:
    layout = Layout(path)
    for number, version in enumerate(versions):
        print(f"{path}: fetching {package} {version} …", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as directory:
            tar = layer(download(package, version, Path(directory)))
        labels = {"org.opencontainers.image.title": package, "org.opencontainers.image.version": version}
        layout.image(version, tar, created=FIRST_RELEASE + timedelta(days=number), labels=labels)
        print(f"{path}: {package} {version}, {len(tar):,} bytes uncompressed", file=sys.stderr)
    layout.finish()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make an OCI image layout of several releases of a Python package.")
    parser.add_argument("layout", type=Path, help="the directory to write; images that it named before are forgotten")
    parser.add_argument("package", help="its name on the package index")
    parser.add_argument("versions", nargs="+", metavar="version", help="oldest first")
    args = parser.parse_args(argv)
    make_layout(args.layout, args.package, args.versions)


if __name__ == "__main__":
    main()
