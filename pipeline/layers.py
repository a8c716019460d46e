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

from .compression import decompressed
from .content import CHUNK, Content, chunks, hashed
from .errors import DeltapressError
from .ledger.records import LayerRecord
from .oci.digest import DiffID
from .tardiff.tree import SourceTree, extract


class LayerChangedError(DeltapressError):
    """Bytes that should have a DiffID have another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """Gives layers. `content` finds the stored blob; `max_bytes` bounds one layer uncompressed."""

    content: Callable[[LayerRecord], Content]
    max_bytes: int

    @contextmanager
    def opened(self, layer: LayerRecord) -> Iterator[BinaryIO]:
        """The uncompressed tar of a layer, which must be read to its end; its DiffID is compared at the exit.

        Raises:
            CompressionError: it is damaged, or too large (while reading).
            LayerChangedError: it is not what its DiffID says.
        """
        hasher = layer.diff_id.new_hasher()
        with decompressed(self.content(layer).open(), max_bytes=self.max_bytes) as stream:
            yield hashed(stream, hasher)
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

        Raises what `opened` and `tardiff.tree.extract` raise, and OSError.
        """
        directory.mkdir()
        with ExitStack() as streams:
            tars = [streams.enter_context(self.opened(layer)) for layer in layers]
            return extract(tars, directory, max_bytes=self.max_bytes)
