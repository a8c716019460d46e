"""Where old images are, whose files deltas are applied to: a folder, a layout, or a container runtime."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

from ..compression import decompressed
from ..errors import DeltapressError
from ..history.records.images import PlatformRecord
from ..layout.storage import BlobSource
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..tardiff.layer.tree import SourceTree, extract

Files = Path | SourceTree


class SourceLostError(DeltapressError):
    """An old layer is not there any more."""


class OldFiles(Protocol):
    """The files of one old image."""

    def gives(self, layers: Sequence[DiffID]) -> bool:
        """Whether it can show the files of these layers, lowest first, and no others."""
        ...

    def opened(self, layers: Sequence[DiffID]) -> AbstractContextManager[Files]:
        """Those files, to read. Raises DeltapressError, OSError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OldImage:
    """An image that is here, at least its files.

    name: for people. digests: manifests and indexes that it is known by; none where nobody wrote that down.
    config: the digest of its configuration, None where that is not known. diff_ids: its layers, the lowest first.
    """

    name: str
    digests: tuple[Digest, ...]
    config: Digest | None
    diff_ids: tuple[DiffID, ...]
    files: OldFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFiles:
    """A folder with the files of a whole image: mounted, exported, or the `/` of this machine."""

    path: Path
    diff_ids: tuple[DiffID, ...]

    def gives(self, layers: Sequence[DiffID]) -> bool:
        return tuple(layers) == self.diff_ids

    @contextmanager
    def opened(self, layers: Sequence[DiffID]) -> Iterator[Files]:
        yield self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFiles:
    """Layers that are stored whole, and are extracted into `scratch` as the encoder of deltas extracts them."""

    storage: BlobSource
    layers: Mapping[DiffID, Descriptor]
    scratch: Path
    limits: Limits

    def gives(self, layers: Sequence[DiffID]) -> bool:
        return all(diff_id in self.layers for diff_id in layers)

    @contextmanager
    def opened(self, layers: Sequence[DiffID]) -> Iterator[Files]:
        folder = self.scratch / uuid4().hex
        folder.mkdir(parents=True)
        with ExitStack() as streams:
            opened = [streams.enter_context(self._tar(self.layers[diff_id])) for diff_id in layers]
            tree = extract(opened, folder, max_bytes=self.limits.layer)
        yield tree

    @contextmanager
    def _tar(self, layer: Descriptor) -> Iterator[BinaryIO]:
        content = self.storage.blob(layer.digest)
        try:
            stored = content.open() if content is not None else None
        except OSError as error:
            raise SourceLostError(f"{self.storage.path}: the old layer {layer.digest}: {error.strerror}") from error
        if content is None or stored is None:
            raise SourceLostError(f"{self.storage.path}: the old layer {layer.digest} is missing")
        with decompressed(stored, max_bytes=self.limits.layer_of(content.size)) as stream:
            yield stream


@dataclass(slots=True)
class OpenedSources:
    """Old files that are open until the run ends: several layers are made from the same."""

    _stack: ExitStack
    _opened: dict[tuple[str, tuple[DiffID, ...]], Files] = field(default_factory=dict)

    def files(self, image: OldImage, layers: tuple[DiffID, ...]) -> Files:
        """Raises DeltapressError, OSError."""
        key = image.name, layers
        if key not in self._opened:
            self._opened[key] = self._stack.enter_context(image.files.opened(layers))
        return self._opened[key]


def root_image(path: Path, record: PlatformRecord, *, digests: Sequence[Digest]) -> OldImage:
    """The image `record`, whose files are below `path`."""
    diff_ids = tuple(layer.diff_id for layer in record.layers)
    return OldImage(
        name=str(path),
        digests=tuple(digests),
        config=record.config,
        diff_ids=diff_ids,
        files=RootFiles(path=path, diff_ids=diff_ids),
    )
