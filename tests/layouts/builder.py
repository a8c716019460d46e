"""Builds image layouts from values, as their specification draws them: a directory, or an oci-archive tar.

    build = LayoutBuilder()
    build.tag("1.0", build.image(tar_of({"a": b"1"})))
    layout = build.write(tmp_path / "app")

Everything is deterministic. Descriptors are plain JSON objects, so that a test can spoil any field before it is used;
`files` holds what will be written, so that a test can spoil any byte.
"""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import zstandard

Json = dict[str, Any]

OCI: Final = "application/vnd.oci.image"
DOCKER: Final = "application/vnd.docker"
REF_NAME: Final = "org.opencontainers.image.ref.name"


def compressed(data: bytes, compression: str) -> bytes:
    """`compression` is "", "gzip" or "zstd"."""
    if compression == "gzip":
        return gzip.compress(data, mtime=0)
    return zstandard.ZstdCompressor().compress(data) if compression == "zstd" else data


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar with these files, in this order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def json_bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


class LayoutBuilder:
    """A layout in the making."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.entries: list[Json] = []
        self.marker: bytes = json_bytes({"imageLayoutVersion": "1.0.0"})

    def blob(self, data: bytes, media_type: str, **more: Any) -> Json:
        """Store `data` and describe it; `more` are further members of the descriptor."""
        digest = sha256(data)
        self.blobs[blob_path(digest)] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def layer(self, tar: bytes, compression: str = "gzip", *, docker: bool = False) -> Json:
        """`compression` is "", "gzip" or "zstd"."""
        if docker:
            media_type = f"{DOCKER}.image.rootfs.diff.tar" + (f".{compression}" if compression else "")
        else:
            media_type = f"{OCI}.layer.v1.tar" + (f"+{compression}" if compression else "")
        return self.blob(compressed(tar, compression), media_type)

    def image(
        self,
        *tars: bytes,
        compression: str = "gzip",
        docker: bool = False,
        os: str = "linux",
        architecture: str = "amd64",
        variant: str = "",
        created: str | None = "2024-01-01T00:00:00Z",
        labels: Mapping[str, str] | None = None,
        diff_ids: list[str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Json:
        """An image with one layer for each tar; its descriptor carries no platform (see `on`)."""
        config: Json = {
            "architecture": architecture,
            "os": os,
            "rootfs": {"type": "layers", "diff_ids": [sha256(tar) for tar in tars] if diff_ids is None else diff_ids},
            "config": {"Labels": dict(labels)} if labels else {},
        }
        if variant:
            config["variant"] = variant
        if created is not None:
            config["created"] = created
        config_type = f"{DOCKER}.container.image.v1+json" if docker else f"{OCI}.config.v1+json"
        return self.manifest(
            self.blob(json_bytes(config), config_type),
            *(self.layer(tar, compression, docker=docker) for tar in tars),
            docker=docker,
            annotations=annotations,
        )

    def manifest(
        self,
        config: Json,
        *layers: Json,
        docker: bool = False,
        subject: Json | None = None,
        artifact_type: str | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Json:
        """A manifest of any kind: of these descriptors, with the optional members that are given."""
        media_type = f"{DOCKER}.distribution.manifest.v2+json" if docker else f"{OCI}.manifest.v1+json"
        document: Json = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": list(layers)}
        if subject is not None:
            document["subject"] = {key: subject[key] for key in ("mediaType", "digest", "size")}
        if artifact_type is not None:
            document["artifactType"] = artifact_type
        if annotations:
            document["annotations"] = dict(annotations)
        return self.blob(json_bytes(document), media_type)

    def artifact(self, *, subject: Json | None = None, data: bytes = b"signed", kind: str = "text/plain") -> Json:
        """What `oras attach` and cosign in OCI 1.1 mode write: an empty config, one layer that is no tar."""
        empty = self.blob(b"{}", "application/vnd.oci.empty.v1+json")
        return self.manifest(empty, self.blob(data, kind), subject=subject, artifact_type=kind)

    def attestation(self, target: Json) -> Json:
        """The provenance manifest that docker buildx puts beside `target`, as an entry of its index."""
        statement = self.blob(b'{"_type":"statement"}', "application/vnd.in-toto+json")
        config = {
            "architecture": "unknown",
            "os": "unknown",
            "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
        }
        manifest = self.manifest(self.blob(json_bytes(config), f"{OCI}.config.v1+json"), statement)
        annotations = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": target["digest"],
        }
        return {**on(manifest, "unknown/unknown"), "annotations": annotations}

    def index(self, *entries: Json, docker: bool = False, subject: Json | None = None) -> Json:
        media_type = f"{DOCKER}.distribution.manifest.list.v2+json" if docker else f"{OCI}.index.v1+json"
        document: Json = {"schemaVersion": 2, "mediaType": media_type, "manifests": list(entries)}
        if subject is not None:
            document["subject"] = {key: subject[key] for key in ("mediaType", "digest", "size")}
        return self.blob(json_bytes(document), media_type)

    def tag(self, name: str, descriptor: Json) -> Json:
        """Enter `descriptor` into index.json under a ref name; returns the entry, which may still be changed."""
        return self.entry({**descriptor, "annotations": {**descriptor.get("annotations", {}), REF_NAME: name}})

    def entry(self, descriptor: Json) -> Json:
        """Enter `descriptor` into index.json as it is."""
        self.entries.append(descriptor)
        return descriptor

    @property
    def files(self) -> dict[str, bytes]:
        """All files of the layout by name."""
        index = json_bytes({"schemaVersion": 2, "manifests": self.entries})
        return {"oci-layout": self.marker, "index.json": index, **self.blobs}

    def write(self, path: Path) -> Path:
        """As a directory."""
        return write_files(path, self.files)

    def write_archive(self, path: Path) -> Path:
        """As an oci-archive."""
        path.write_bytes(tar_of(self.files))
        return path


def write_files(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def on(descriptor: Json, platform: str) -> Json:
    """The descriptor with a platform, as in `linux/arm64/v8`."""
    names = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return {**descriptor, "platform": names}
