"""docker: its daemon keeps the layers.

`docker load` takes them uncompressed, and an image by its configuration. A pull whose manifest names a configuration
that is there takes the image for complete, and gives it name and digest (moby, distribution/pull_v2.go).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ...oci.digest import Digest
from .commands import LONG, Program
from .contract import InstalledImage, LayerPair
from .exports import exported
from .inspected import all_images, inspect
from .rebuilt import RebuiltImage


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
        return all_images(self.program)

    def mounted(self, image: InstalledImage) -> AbstractContextManager[Path]:
        return exported(self.program, image.identity, max_bytes=self.max_bytes, place=self.place)

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        image = RebuiltImage.read(layout)
        self.program.ask("load", "--quiet", seconds=LONG, feed=image.write_docker_archive)
        self.program.ask("pull", "--quiet", reference, seconds=LONG)
        [pulled] = inspect(self.program, reference)
        return pulled.digests
