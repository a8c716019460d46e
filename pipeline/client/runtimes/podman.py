"""podman: the storage that it shares with CRI-O and buildah keeps the layers.

A pull takes a layer for there when the storage has its DiffID, which it must learn from the digest alone: from the blob
info cache (containers/image, storage/storage_dest.go). So the pair of both is recorded there. An image that the storage
has by its configuration keeps the manifest that it came with; so layers come under another configuration, which goes
again when the pull has made the image of its own.

Rule 1. What stands in the cache, podman has seen itself, and believes for every image; our pairs are what one image
        says of itself. So they never replace one of podman's, and are there no longer than our pull.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...oci.digest import Digest
from ...scratch import scratch_folder
from .commands import LONG, Program
from .contract import ContainerRuntimeError, InstalledImage, LayerPair
from .exports import exported
from .inspected import all_images, pull
from .rebuilt import RebuiltImage

_FIRST_WITH_SQLITE: Final = (4, 7)  # containers/image 5.28
_CACHE: Final = "blob-info-cache-v1.sqlite"
_TABLE: Final = "DigestUncompressedPairs"
_ROW: Final = f"FROM {_TABLE} WHERE anyDigest = ?"
_PATIENCE: Final = 60.0  # seconds that another user of the cache may take


class BlobInfoCacheError(ContainerRuntimeError):
    """The digests of the layers could not be recorded where podman looks for them."""

    def __init__(self, cache: Path, problem: str) -> None:
        super().__init__(f"{cache}: {problem}; without it podman fetches every layer whole")


class ScaffoldError(ContainerRuntimeError):
    """The layout that podman takes layers from could not be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"a layout for podman cannot be written: {error}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """`program` is `podman`, `cache` the folder of the blob info cache.

    can_mount: old images can be mounted, which takes root, or `podman unshare`; otherwise they are laid out in `place`
        (None: where temporary files are), `max_bytes` at most.
    """

    program: Program
    cache: Path
    can_mount: bool
    max_bytes: int
    place: Path | None = None

    @property
    def name(self) -> str:
        return "podman"

    def obstacle(self) -> str | None:
        version = self.program.ask("version", "--format", "{{.Client.Version}}").decode("utf-8", "replace").strip()
        numbers = version.split(".")[:2]
        if all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= _FIRST_WITH_SQLITE:
            return None
        return (
            f"podman {version} cannot be told which layers it has (4.7 and later can), and fetches them all when it "
            "pulls by name"
        )

    def images(self) -> tuple[InstalledImage, ...]:
        return all_images(self.program)

    @contextmanager
    def mounted(self, image: InstalledImage) -> Iterator[Path]:
        if not self.can_mount:
            with exported(self.program, image.identity, max_bytes=self.max_bytes, place=self.place) as folder:
                yield folder
            return
        answer = self.program.ask("image", "mount", image.identity)
        try:
            yield Path(answer.decode("utf-8", "surrogateescape").removesuffix("\n"))
        finally:
            self.program.ask("image", "unmount", image.identity)

    def pull(self, reference: str) -> tuple[Digest, ...]:
        return pull(self.program, reference)

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        with self._layers_of(RebuiltImage.read(layout)), self._recorded(pairs):
            return self.pull(reference)

    @contextmanager
    def _layers_of(self, image: RebuiltImage) -> Iterator[None]:
        """With the layers in the storage, which keeps them as long as an image has them."""
        try:
            with scratch_folder(self.place) as folder:
                scaffold = image.write_scaffold(folder).hex
                self.program.ask("pull", "--quiet", f"oci:{folder}", seconds=LONG)
        except OSError as error:
            raise ScaffoldError(error) from error
        try:
            yield
        finally:
            self.program.ask("image", "rm", "--no-prune", scaffold)

    @contextmanager
    def _recorded(self, pairs: Sequence[LayerPair]) -> Iterator[None]:
        path = self.cache / _CACHE
        if not path.is_file():
            raise BlobInfoCacheError(path, "is not there, though podman has just pulled")
        rows = {(str(pair.digest), str(pair.diff_id)) for pair in pairs}
        with _changing(path) as cache:
            new = [row for row in sorted(rows) if not cache.execute(f"SELECT 1 {_ROW}", row[:1]).fetchall()]
            cache.executemany(f"INSERT INTO {_TABLE} (anyDigest, uncompressedDigest) VALUES (?, ?)", new)
        try:
            yield
        finally:
            with _changing(path) as cache:
                cache.executemany(f"DELETE {_ROW} AND uncompressedDigest = ?", new)


@contextmanager
def _changing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, which nobody else reads or writes in the middle of."""
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as cache:
            cache.execute("BEGIN EXCLUSIVE")
            yield cache
            cache.execute("COMMIT")
    except sqlite3.Error as error:
        raise BlobInfoCacheError(path, str(error)) from error
