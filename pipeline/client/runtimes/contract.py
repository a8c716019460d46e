"""What a pull by deltas needs of a container runtime.

Rule 1. The runtime's own pull, by name, comes last. So digest, policy, signatures and names are its own affair: what is
        put into its store before only spares it the bytes of layers, and gives nothing a name.
Rule 2. Nothing that the runtime had is changed or removed, and nothing of ours is left there but the image.
Rule 3. What a runtime answers is bounded, and checked like any input. Every failure is a `ContainerRuntimeError`.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...errors import DeltapressError, ExitCode
from ...oci.digest import DiffID, Digest


class ContainerRuntimeError(DeltapressError):
    """A runtime could not be asked, refused, or gave an answer that is none. The message names the command."""

    exit_code = ExitCode.TARGET_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledImage:
    """An image that a runtime has whole.

    identity: what the runtime calls it; for people, and for `mounted`.
    names: `NAME:TAG`, as the runtime writes them; none where a tag has moved on.
    digests: of manifests that it was pulled by. For an image of several platforms that may be the index; and it is none
        for what was loaded from a file.
    config: the digest of its configuration; the same wherever the image came from.
    diff_ids: its layers, the lowest first.
    """

    identity: str
    names: tuple[str, ...]
    digests: tuple[Digest, ...]
    config: Digest | None
    diff_ids: tuple[DiffID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPair:
    """A layer as the registry's manifest names it, and what that is when uncompressed."""

    digest: Digest
    diff_id: DiffID


class ContainerRuntime(Protocol):
    """One runtime of this machine. Methods may take minutes, and wait for the runtime's own locks."""

    @property
    def name(self) -> str:
        """`docker`, `podman` or `containerd`."""
        ...

    def obstacle(self) -> str | None:
        """Why `accept` would not spare this runtime any bytes, so that its own pull does as well; None where it does.

        For people, one line. Raises ContainerRuntimeError.
        """
        ...

    def images(self) -> tuple[InstalledImage, ...]:
        """What the runtime has. Raises ContainerRuntimeError."""
        ...

    def mounted(self, image: InstalledImage) -> AbstractContextManager[Path]:
        """A folder with the files of `image`, merged from all its layers, to read sources of deltas from.

        It may be the runtime's own storage: nothing is written there. What it was made of goes with the context.

        Raises:
            ContainerRuntimeError: the runtime refused, or there is no room.
        """
        ...

    def pull(self, reference: str) -> tuple[Digest, ...]:
        """Have the runtime pull `reference`, which is `HOST/NAME:TAG` or `HOST/NAME@DIGEST`, as it does by itself.

        Returns: the digests by which it knows what it pulled, of the manifest, of the index that led to it, or of both.

        Raises:
            ContainerRuntimeError: the runtime refused.
        """
        ...

    def accept(self, layout: Path, reference: str, pairs: Sequence[LayerPair]) -> tuple[Digest, ...]:
        """Have the runtime pull `reference`, without the layers that lie in `layout`. Returns what `pull` returns.

        `layout` is an OCI image layout of one image: its configuration is, byte for byte, that of the image which
        `reference` leads to, its layers are uncompressed. Blobs of the lowest layers, as many as `held_layers` says,
        may be missing. `pairs` has all layers, the lowest first.

        Where `reference` leads elsewhere by now, or a layer does not fit, the runtime fetches what it lacks.

        Raises:
            ContainerRuntimeError: the runtime refused the layout or the pull, or has an `obstacle`.
        """
        ...


def held_layers(images: Iterable[InstalledImage], diff_ids: Sequence[DiffID]) -> int:
    """How many of the lowest layers of an image with `diff_ids` a runtime has that has `images`.

    A runtime keeps a layer together with those below it (image-spec, config.md, "Layer ChainID"): the same layer on top
    of others is another one.
    """

    def shared(image: InstalledImage) -> int:
        pairs = zip(image.diff_ids, diff_ids, strict=False)
        return next(
            (count for count, (have, want) in enumerate(pairs) if have != want), min(len(image.diff_ids), len(diff_ids))
        )

    return max(map(shared, images), default=0)
