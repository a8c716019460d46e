"""Stored layers, opened: decompressed in a stream, and compared with their digests and DiffIDs.

Rule 1. Whoever reads a layer to its end has also verified it. What is wrong with one is concluded only from bytes that
        have its digest and its DiffID; other bytes are a damaged copy, in whose place the next one is read.
Rule 2. No layer is held in memory.
"""

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

from ..compression import CompressionError, OutputTooLargeError, decoder_memory, decompressed
from ..content import CHUNK, chunks, hashed
from ..errors import DeltapressError
from ..history.records.images import LayerRecord
from ..history.resolver import ContentResolver, LayerLocator, Place
from ..limits import Limits
from ..oci.digest import DiffID, Digest, Hasher
from ..tardiff.layer.tar import TarError
from ..tardiff.layer.tree import SourceTree, extract
from ..targets.base import TargetError

T = TypeVar("T")

# Measured: 3 MiB (gzip) to 10 MiB (bzip2) of buffers beside the decoder's window, and an index of 450 bytes a name. A
# name takes 20 bytes of a layer when its file is empty, several thousand as a rule.
_BUFFERS: Final = 16 << 20
_INDEX_SHARE: Final = 8


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


class BadCopyError(DeltapressError):
    """A copy of `layer` that cannot be read or has other bytes, as `problem` says; it tells nothing of the layer."""

    def __init__(self, layer: LayerRecord, problem: str) -> None:
        self.layer, self.problem = layer, problem
        super().__init__(f"layer {layer.digest}: {problem}")


class LayerLostError(DeltapressError):
    """No place has a good copy of the layer."""

    def __init__(self, layer: LayerRecord, problems: Sequence[str]) -> None:
        self.layer, self.problems = layer, tuple(problems)
        super().__init__(
            f"layer {layer.digest} cannot be read: {'; '.join(problems) or 'nobody has it'}. Copy its image into the "
            "layout again, and run `deltapress publish --repair`"
        )


def reading_memory(layers: Sequence[LayerRecord]) -> int:
    """What it takes to extract or unpack `layers`, which are read one after the other, in bytes."""
    decoder = max((decoder_memory(_format(layer.media_type)) for layer in layers), default=0)
    return _BUFFERS + decoder + sum(layer.size for layer in layers) // _INDEX_SHARE


def _format(media_type: str) -> str:
    """Media types end in the compression of what they name (image-spec, layer.md, "+gzip Media Types"), or in tar."""
    name = media_type.rpartition("+")[2].rpartition(".")[2]
    return {"tar": "plain"}.get(name, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSource:
    """Gives layers, from wherever `resolver` finds them; `limits` bound one layer uncompressed."""

    resolver: ContentResolver
    limits: Limits

    def unpack(self, locator: LayerLocator, path: Path) -> None:
        """Write the uncompressed tar to `path`. Raises what `read` raises, and OSError."""

        def write(streams: Sequence[BinaryIO]) -> None:
            with path.open("wb") as out:
                shutil.copyfileobj(streams[0], out, CHUNK)

        self.read([locator], write)

    def size(self, locator: LayerLocator) -> int:
        """The bytes of the uncompressed tar, all of which are read. Raises what `read` raises."""
        return self.read([locator], lambda streams: sum(map(len, chunks(streams[0]))))

    def extract(self, locators: Sequence[LayerLocator], directory: Path) -> SourceTree:
        """The files that a client has of the layers, lowest first, in the new `directory`.

        Raises:
            TarError: a layer, whose bytes are right, is no tar.
            What `read` and `tardiff.layer.tree.extract` raise, and OSError.
        """

        def replay(streams: Sequence[BinaryIO]) -> SourceTree:
            if directory.exists():
                shutil.rmtree(directory)
            directory.mkdir()
            return extract(streams, directory, max_bytes=self.limits.layer)

        return self.read(locators, replay)

    def read(self, locators: Sequence[LayerLocator], use: Callable[[Sequence[BinaryIO]], T]) -> T:
        """What `use` makes of the uncompressed tars, each of which it must read to its end.

        Where a copy turns out to be bad, all is done again with the next one.

        Raises:
            LayerLostError: there is no good copy of a layer.
            LayerTooLargeError: more comes out than `limits` allow.
            CompressionError, LayerChangedError: it was stored like that.
        """
        places = [list(locator.places) for locator in locators]
        problems: dict[LayerRecord, list[str]] = {}
        while True:
            try:
                with ExitStack() as opened:
                    return use(
                        [
                            opened.enter_context(self._opened(locator.layer, left[0] if left else None))
                            for locator, left in zip(locators, places, strict=True)
                        ]
                    )
            except BadCopyError as error:
                bad = next(number for number, locator in enumerate(locators) if locator.layer == error.layer)
                if not places[bad]:
                    raise LayerLostError(error.layer, problems.get(error.layer, ())) from error
                problems.setdefault(error.layer, []).append(f"{places[bad].pop(0)}: {error.problem}")

    @contextmanager
    def _opened(self, layer: LayerRecord, place: Place | None) -> Iterator[BinaryIO]:
        """The uncompressed tar of one copy; what it is, and what is wrong with it, is known at the exit."""
        copy = _Copy(self.resolver, layer, place)
        tar = layer.diff_id.new_hasher()
        failure: CompressionError | TarError | None = None
        with decompressed(cast(BinaryIO, copy), max_bytes=self.limits.layer_of(layer.size)) as stream:
            plain = hashed(stream, tar)
            try:
                yield plain
            except (CompressionError, TarError) as error:
                failure = error
            try:
                for _ in chunks(plain):  # what was not read any more belongs to the layer all the same
                    pass
            except CompressionError as error:
                failure = error
            copy.verify()
        if isinstance(failure, OutputTooLargeError):
            raise LayerTooLargeError(layer.digest, failure.limit, self.limits.key_for(layer.size)) from failure
        if isinstance(failure, CompressionError):
            raise failure
        found = DiffID.of_hasher(layer.diff_id.algorithm, tar)
        if found != layer.diff_id:
            raise LayerChangedError(f"the stored layer {layer.digest} decompresses to {found}, not to {layer.diff_id}")
        if failure is not None:
            raise failure


class _Copy(io.RawIOBase):
    """The bytes of a layer as they lie in one place. Where they cannot be read or have another digest, it is bad."""

    def __init__(self, resolver: ContentResolver, layer: LayerRecord, place: Place | None) -> None:
        self._layer = layer
        self._hasher: Hasher = layer.digest.new_hasher()
        try:
            content = resolver.open(place, layer) if place is not None else None
            if content is None:
                raise BadCopyError(layer, "it is not there")
            self._stream = content.open()
        except (OSError, TargetError) as error:
            raise BadCopyError(layer, _reason(error)) from error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._stream.read(size)
        except (OSError, TargetError) as error:
            raise BadCopyError(self._layer, _reason(error)) from error
        self._hasher.update(data)
        return data

    def verify(self) -> None:
        """Read the rest. Raises BadCopyError for another digest."""
        while self.read(CHUNK):
            pass
        if self._hasher.hexdigest() != self._layer.digest.hex:
            raise BadCopyError(self._layer, "it is damaged, its digest is another")

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()


def _reason(error: OSError | TargetError) -> str:
    return error.problem if isinstance(error, TargetError) else f"it cannot be read ({error.strerror or error})"
