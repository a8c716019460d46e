"""The layout that a runtime accepts, in the forms that runtimes load.

Rule 1. Layers are streamed or linked to; nothing of an image is copied on disk before the runtime does it.
Rule 2. A layer whose blob is not in the layout is one that the runtime has: it is left out of every form.
Rule 3. The same layout gives the same bytes.
"""

import errno
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Self, cast

from ...content import open_plain
from ...layout.refs import INDEX, MARKER, MARKER_CONTENT
from ...layout.storage import blob_name
from ...oci.descriptor import Descriptor
from ...oci.digest import DiffID, Digest
from ...oci.fields import FieldError
from ...oci.manifest import (
    MAX_CONFIG_SIZE,
    MAX_MANIFEST_SIZE,
    Index,
    Manifest,
    parse_document,
    parse_image_config,
)
from ...oci.media_types import OCI_CONFIG, OCI_MANIFEST
from ...oci.writing import write_index, write_json, write_manifest
from .contract import ContainerRuntimeError

_IMAGE_NAME: Final = "io.containerd.image.name"


class NotRebuiltError(ContainerRuntimeError):
    """The layout is not one of a rebuilt image."""

    def __init__(self, layout: Path, problem: str) -> None:
        super().__init__(f"{layout}: {problem}; a runtime takes a layout of one image with uncompressed layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltImage:
    """The one image of a layout. `layers` are its blobs by DiffID, the lowest first."""

    layout: Path
    manifest: Manifest
    config: bytes
    layers: tuple[DiffID, ...]

    @classmethod
    def read(cls, layout: Path) -> Self:
        """Raises NotRebuiltError."""
        try:
            index = parse_document(_bytes_of(layout / INDEX, MAX_MANIFEST_SIZE))
            if not isinstance(index, Index) or len(index.manifests) != 1:
                raise NotRebuiltError(layout, "index.json does not name one manifest")
            digest = index.manifests[0].digest
            manifest = parse_document(_bytes_of(layout / blob_name(digest), MAX_MANIFEST_SIZE), digest=digest)
            if not isinstance(manifest, Manifest):
                raise NotRebuiltError(layout, f"{digest} is no manifest of an image")
            config = _bytes_of(layout / blob_name(manifest.config.digest), MAX_CONFIG_SIZE)
            layers = parse_image_config(config).diff_ids
        except (FieldError, OSError) as error:
            raise NotRebuiltError(layout, str(error)) from error
        if [str(layer.digest) for layer in manifest.layers] != [str(diff_id) for diff_id in layers]:
            raise NotRebuiltError(layout, "the layers are not those of the configuration, uncompressed")
        return cls(layout=layout, manifest=manifest, config=config, layers=layers)

    def blob(self, digest: Digest | DiffID) -> Path | None:
        """Where the blob lies; None where it is not in the layout."""
        path = self.layout / blob_name(digest)
        return path if path.is_file() else None

    @property
    def private_name(self) -> str:
        """A name for it where an image must have one: that of a host which cannot exist (RFC 2606, "invalid")."""
        return f"deltapress.invalid/rebuilt:{self.manifest.digest.hex}"

    def write_docker_archive(self, stream: BinaryIO) -> None:
        """What `docker load` reads: the image by its own configuration, with no name.

        Raises OSError: the layout could not be read, or the stream not written.
        """
        config = f"{self.manifest.config.digest.hex}.json"
        names = [_tar_name(diff_id) for diff_id in self.layers]
        with _archive(stream) as archive:
            _add_bytes(archive, "manifest.json", write_json([{"Config": config, "RepoTags": None, "Layers": names}]))
            _add_bytes(archive, config, self.config)
            self._add_layers(archive, _tar_name)

    def write_oci_archive(self, stream: BinaryIO) -> None:
        """The layout as one tar, which containerd imports as `private_name`. Raises OSError."""
        manifest = self.manifest
        entry = replace(manifest.descriptor(), annotations={_IMAGE_NAME: self.private_name})
        with _archive(stream) as archive:
            _add_bytes(archive, MARKER, MARKER_CONTENT)
            _add_bytes(archive, INDEX, write_index([entry]))
            _add_bytes(archive, blob_name(manifest.digest), manifest.raw)
            _add_bytes(archive, blob_name(manifest.config.digest), self.config)
            self._add_layers(archive, blob_name)

    def write_scaffold(self, folder: Path) -> Digest:
        """A layout in `folder` of another image with the same layers. Returns the digest of its configuration.

        For a store that takes an image which it has by its configuration for unchanged, whatever manifest comes later.
        Raises OSError.
        """
        platform = parse_image_config(self.config).platform
        rootfs = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in self.layers]}
        config = write_json({**platform.to_json(), "config": {}, "rootfs": rootfs})
        described = Descriptor(media_type=OCI_CONFIG, digest=Digest.of(config), size=len(config))
        manifest = write_manifest(config=described, layers=self.manifest.layers, annotations={})
        entry = Descriptor(media_type=OCI_MANIFEST, digest=Digest.of(manifest), size=len(manifest))
        (folder / blob_name(entry.digest)).parent.mkdir(parents=True)
        for blob, data in ((described, config), (entry, manifest)):
            (folder / blob_name(blob.digest)).write_bytes(data)
        for diff_id in set(self.layers):
            if path := self.blob(diff_id):
                place = folder / blob_name(diff_id)
                place.parent.mkdir(exist_ok=True)
                place.symlink_to(path.absolute())
        (folder / INDEX).write_bytes(write_index([entry]))
        (folder / MARKER).write_bytes(MARKER_CONTENT)
        return described.digest

    def _add_layers(self, archive: tarfile.TarFile, name_of: Callable[[DiffID], str]) -> None:
        for diff_id in dict.fromkeys(self.layers):
            if path := self.blob(diff_id):
                with open_plain(path) as blob:
                    _add(archive, name_of(diff_id), path.stat().st_size, cast(BinaryIO, blob))


def _archive(stream: BinaryIO) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT)


def _add_bytes(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    _add(archive, name, len(data), io.BytesIO(data))


def _add(archive: tarfile.TarFile, name: str, size: int, stream: BinaryIO) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    archive.addfile(entry, stream)


def _tar_name(diff_id: DiffID) -> str:
    return f"{diff_id.hex}.tar"


def _bytes_of(path: Path, limit: int) -> bytes:
    with open_plain(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"has more than {limit:,} bytes", str(path))
    return data
