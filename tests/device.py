"""A device that updates as flightctl's agent does: by tag, index, fallback tag and artifact, from an unpacked image.

Written from what the agent and the crate `oci-delta` do, not from the code that publishes.
"""

import hashlib
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.keys import Key
from pipeline.tardiff.decoder import apply

Contents = Mapping[Key, bytes]
ARTIFACT = "application/vnd.io.github.containers.oci-delta.v1"
DELTA = "io.github.containers.delta"

Patch = Callable[[bytes, Path], bytes]


def unpack(tars: Iterable[bytes], root: Path) -> Path:
    """The files of an image whose layers are `tars`, lowest first: entries strictly in order, and what a boot empties
    or owns (`run/`, `sysroot/ostree/`) left out at the end."""
    root.mkdir(parents=True)
    for tar in tars:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                place = root / member.name
                if place.name == ".wh..wh..opq":
                    for child in place.parent.iterdir() if place.parent.is_dir() else ():
                        _remove(child)
                elif place.name.startswith(".wh."):
                    _remove(place.with_name(place.name.removeprefix(".wh.")))
                else:
                    if not (member.isdir() and place.is_dir()):
                        _remove(place)
                    archive.extract(member, root, filter="fully_trusted")
    for name in ("run", "sysroot/ostree"):
        _remove(root / name)
    return root


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def patch(delta: bytes, root: Path) -> bytes:
    out = io.BytesIO()
    apply(io.BytesIO(delta), root, out, expected_size=None)
    return out.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What came of an update: the target's manifest and config, and each layer that was rebuilt, by its DiffID.

    `kinds` are the media types of the layers in the artifact, `size` their bytes.
    """

    artifact: str
    manifest: bytes
    config: bytes
    layers: Mapping[str, bytes]
    kinds: list[str]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """It runs the image `booted` (the digest of a platform's manifest), whose files lie below `root`."""

    contents: Contents
    repository: str
    booted: str
    root: Path

    def artifact(self, tag: str) -> str | None:
        """The digest of the artifact that it takes; None for a full pull."""
        resolved = _sha256(self._file(f"manifests/{tag}"))
        listing = self.contents.get(Key(f"v2/{self.repository}/manifests/{resolved.replace(':', '-')}"))
        assert listing is None or listing == self._file(f"referrers/{resolved}")
        for entry in json.loads(listing)["manifests"] if listing is not None else ():
            if entry.get("artifactType") == ARTIFACT and entry["annotations"][f"{DELTA}.source"] == self.booted:
                return str(entry["digest"])
        return None

    def update(self, tag: str, *, patch: Patch = patch) -> Update:
        """Take the artifact and rebuild. What the crate refuses fails an assertion."""
        digest = self.artifact(tag)
        assert digest is not None
        artifact = json.loads(self._checked("manifests", digest))
        notes = artifact["annotations"]
        source = json.loads(self._checked("manifests", self.booted))
        assert artifact["artifactType"] == ARTIFACT
        assert artifact["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
        assert artifact["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
        assert notes[f"{DELTA}.source-config"] == source["config"]["digest"]
        [manifest] = self._parts(artifact, "image-manifest")
        [config] = self._parts(artifact, "image-config")
        image, diff_ids = json.loads(manifest), json.loads(config)["rootfs"]["diff_ids"]
        assert notes[f"{DELTA}.target"] == artifact["subject"]["digest"] == _sha256(manifest)
        assert artifact["subject"]["size"] == len(manifest)
        assert manifest == self._checked("manifests", _sha256(manifest))
        assert image["config"]["digest"] == _sha256(config)
        by_digest = {layer["digest"]: diff_id for layer, diff_id in zip(image["layers"], diff_ids, strict=True)}
        there = json.loads(self._checked("blobs", source["config"]["digest"]))["rootfs"]["diff_ids"]
        layers: dict[str, bytes] = {}
        kinds, size = [], 0
        for part in artifact["layers"]:
            if part["annotations"][f"{DELTA}.content"] != "image-layer":
                continue
            data = self._checked("blobs", part["digest"])
            assert len(data) == part["size"]
            diff_id = by_digest[part["annotations"][f"{DELTA}.to"]]
            assert diff_id not in there
            if part["mediaType"] == "application/vnd.tar-diff":
                data = patch(data, self.root)
            else:
                assert part["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
                data = _first_member(data)
            assert _sha256(data) == diff_id
            layers[diff_id] = data
            kinds.append(part["mediaType"])
            size += part["size"]
        reused = [digest for digest, diff_id in by_digest.items() if diff_id not in layers]
        assert all(by_digest[digest] in there for digest in reused)
        assert json.loads(notes[f"{DELTA}.reused"]) == reused
        assert json.loads(notes[f"{DELTA}.reused-diff-id"]) == [by_digest[digest] for digest in reused]
        return Update(artifact=digest, manifest=manifest, config=config, layers=layers, kinds=kinds, size=size)

    def _parts(self, artifact: dict[str, Any], content: str) -> list[bytes]:
        digests = [part["digest"] for part in artifact["layers"] if part["annotations"][f"{DELTA}.content"] == content]
        return [self._checked("blobs", digest) for digest in digests]

    def _checked(self, endpoint: str, digest: str) -> bytes:
        data = self._file(f"{endpoint}/{digest}")
        assert _sha256(data) == digest
        return data

    def _file(self, name: str) -> bytes:
        return self.contents[Key(f"v2/{self.repository}/{name}")]


def _first_member(data: bytes) -> bytes:
    """The crate reads one member alone."""
    return zlib.decompressobj(wbits=31).decompress(data)


def _sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
