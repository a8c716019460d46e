"""docker: its daemon keeps the layers, in one of two stores.

The classic store has an image by its configuration: a pull whose manifest names a configuration that was loaded takes
the image for complete, and gives it name and digest (moby, distribution/pull_v2.go). The store of containerd, the
default since docker 29, has layers by the chain of their DiffIDs, and its pull leaves out those that are there.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...oci.digest import Digest
from .commands import LONG, Program
from .contract import InstalledImage, LayerPair
from .exports import exported
from .inspected import all_images, inspect
from .rebuilt import RebuiltImage

_CONTAINERD_STORE: Final = b"io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """`program` is `docker`, with options that lead to its daemon if need be.

    `max_bytes` bounds the files of an old image, which are laid out in `place` (None: where temporary files are).
    """

    program: Program
    max_bytes: int
    place: Path | None = None

    @property
    def name(self) -> str:
        return "docker"

    def obstacle(self) -> str | None:
        return None

    def images(self) -> tuple[InstalledImage, ...]:
        images = all_images(self.program)
        # there the id is the digest of a manifest, or of an index
        return tuple(replace(image, config=None) for image in images) if self._keeps_chains() else images

    def mounted(self, image: InstalledImage) -> AbstractContextManager[Path]:
        return exported(self.program, image.identity, max_bytes=self.max_bytes, place=self.place)

    def pull(self, reference: str) -> tuple[Digest, ...]:
        self.program.ask("pull", "--quiet", reference, seconds=LONG)
        [pulled] = inspect(self.program, reference)
        return pulled.digests

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        image = RebuiltImage.read(layout)
        if not self._keeps_chains():
            self.program.ask("load", "--quiet", seconds=LONG, feed=image.write_docker_archive)
            return self.pull(reference)
        self.program.ask("load", "--quiet", seconds=LONG, feed=image.write_oci_archive)
        try:
            return self.pull(reference)
        finally:
            self.program.ask("image", "rm", "--no-prune", image.private_name)

    def _keeps_chains(self) -> bool:
        return _CONTAINERD_STORE in self.program.ask("info", "--format", "{{json .DriverStatus}}")
