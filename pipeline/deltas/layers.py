"""Stored layers, opened: decompressed in a stream, and compared with their DiffIDs.

Rule 1. Whoever reads a layer to its end has also verified it.
Rule 2. No layer is held in memory.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..compression import OutputTooLargeError, decompressed
from ..content import CHUNK, Content, chunks, hashed
from ..errors import DeltapressError
from ..history.records import LayerRecord
from ..limits import Limits
from ..oci.digest import DiffID, Digest
from ..tardiff.layer.tree import SourceTree, extract


class LayerChangedError(DeltapressError):
    """Bytes that should have a DiffID have another."""


class LayerTooLargeError(DeltapressError):
    """The layer stored as `digest` has more than `limit` bytes uncompressed; `key` of [limits] says so."""

    def __init__(self, digest: Digest, limit: int, key: str) -> None:
        self.digest, self.limit, self.key = digest, limit, key
        super().__init__(
            f"layer {digest} decompresses to more than the allowed {limit:,} bytes; if that is right, raise `{key}` in "
            "[limits] of the configuration"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """Gives layers. `content` finds the stored blob; `limits` bound one layer uncompressed."""

    content: Callable[[LayerRecord], Content]
    limits: Limits

    @contextmanager
    def opened(self, layer: LayerRecord) -> Iterator[BinaryIO]:
        """The uncompressed tar of a layer, which must be read to its end; its DiffID is compared at the exit.

        Raises:
            LayerTooLargeError: more comes out than `limits` allow (while reading).
            CompressionError: it is damaged (while reading).
            LayerChangedError: it is not what its DiffID says.
        """
        hasher = layer.diff_id.new_hasher()
        content = self.content(layer)
        with decompressed(content.open(), max_bytes=self.limits.layer_of(content.size)) as stream:
            try:
                yield hashed(stream, hasher)
            except OutputTooLargeError as error:
                raise LayerTooLargeError(layer.digest, error.limit, self.limits.key_for(content.size)) from error
        found = DiffID.of_hasher(layer.diff_id.algorithm, hasher)
        if found != layer.diff_id:
            raise LayerChangedError(f"the stored layer {layer.digest} decompresses to {found}, not to {layer.diff_id}")

    def unpack(self, layer: LayerRecord, path: Path) -> None:
        """Write the uncompressed tar to `path`. Raises what `opened` raises, and OSError."""
        with self.opened(layer) as stream, path.open("wb") as out:
            shutil.copyfileobj(stream, out, CHUNK)

    def size(self, layer: LayerRecord) -> int:
        """The bytes of the uncompressed tar, all of which are read. Raises what `opened` raises."""
        with self.opened(layer) as stream:
            return sum(map(len, chunks(stream)))

    def extract(self, layers: Sequence[LayerRecord], directory: Path) -> SourceTree:
        """The files that a client has of `layers`, lowest first, in the new `directory`.

        Raises what `opened` and `tardiff.layer.tree.extract` raise, and OSError.
        """
        directory.mkdir()
        with ExitStack() as streams:
            tars = [streams.enter_context(self.opened(layer)) for layer in layers]
            return extract(tars, directory, max_bytes=self.limits.layer)
