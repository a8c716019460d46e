"""docker: its daemon keeps the layers, in one of two stores.

The classic store has an image by its configuration: a pull whose manifest names a configuration that was loaded takes
the image for complete, and gives it name and digest (moby, distribution/pull_v2.go). The store of containerd, the
default since docker 29, has layers by the chain of their DiffIDs, and its pull leaves out those that are there.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ...oci.digest import Digest
from .commands import LONG, Program
from .contract import InstalledImage, LayerPair
from .exports import exported
from .inspected import all_images, pull
from .rebuilt import RebuiltImage

_CONTAINERD_STORE: Final = b"io.containerd.snapshotter.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Docker:
    """`program` is `docker`, whose daemon its environment names.

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
        return pull(self.program, reference)

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        image = RebuiltImage.read(layout)
        give = self._with_chains if self._keeps_chains() else self._with_image
        with give(image):
            return self.pull(reference)

    @contextmanager
    def _with_chains(self, image: RebuiltImage) -> Iterator[None]:
        self.program.ask("load", "--quiet", seconds=LONG, feed=image.write_oci_archive)
        try:
            yield
        finally:
            self.program.ask("image", "rm", "--no-prune", image.private_name)

    @contextmanager
    def _with_image(self, image: RebuiltImage) -> Iterator[None]:
        config = image.manifest.config.digest
        was_there = any(have.config == config for have in self.images())
        self.program.ask("load", "--quiet", seconds=LONG, feed=image.write_docker_archive)
        try:
            yield
        finally:
            # without a name it is not what was pulled: the pull failed, or the name leads elsewhere by now
            unnamed = [have for have in self.images() if have.config == config and not have.names and not have.digests]
            if unnamed and not was_there:
                self.program.ask("image", "rm", "--no-prune", str(config))

    def _keeps_chains(self) -> bool:
        return _CONTAINERD_STORE in self.program.ask("info", "--format", "{{json .DriverStatus}}")
