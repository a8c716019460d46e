"""`deltapress pull` into a container runtime: its old images are the sources, and its own pull comes last.

A layout is only the way there. It stays when a run is killed, so that the next one goes on from it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..progress import Progress
from .assembling import make_all, opened_layout, plan
from .layers import PLAIN_LAYER, MadeLayer, plan_layers
from .outcome import LayerOutcome, PullOutcome, done, outcome_of, planned
from .request import Request, locate, read_root, wanted_image
from .runtimes.contract import ContainerRuntime, ContainerRuntimeError, InstalledImage, LayerPair, held_layers
from .sources import Files, OldImage
from .stored import entry_of, manifest_of, stored_images


@dataclass(frozen=True, slots=True, kw_only=True)
class MountedFiles:
    """The files of an image of a runtime."""

    runtime: ContainerRuntime
    image: InstalledImage

    def gives(self, layers: Sequence[DiffID]) -> bool:
        return tuple(layers) == self.image.diff_ids

    @contextmanager
    def opened(self, layers: Sequence[DiffID]) -> Iterator[Files]:
        with self.runtime.mounted(self.image) as folder:
            yield folder


def pull_into_runtime(request: Request, runtime: ContainerRuntime, path: Path, *, progress: Progress) -> PullOutcome:
    """Have `runtime` pull the image of `request`, with the layers that deltas make made before.

    `path` is a folder for the layout, which is gone in the end.

    Raises:
        ContainerRuntimeError: the runtime refused.
        DeltapressError: the image cannot be read, or is not what it should be.
        OSError: the layout cannot be written.
    """
    name = str(request.name)
    installed = tuple(image for image in runtime.images() if image.diff_ids)
    located = locate(request)
    document = read_root(request, located)
    image = wanted_image(request, located, document)
    called = {image.root, image.manifest.digest}
    names = {request.name.full, name}
    is_there = any(
        called & set(found.digests) and (request.name.digest is not None or names & set(found.names))
        for found in installed
    )
    if is_there:
        return outcome_of(image, name, runtime.name, is_changed=False, is_dry=request.is_dry, layers=())
    held = held_layers(installed, [layer.diff_id for layer in image.record.layers])
    kept = tuple(
        LayerOutcome(digest=layer.digest, diff_id=layer.diff_id, size=layer.size, way="here", bytes=0)
        for layer in image.record.layers[:held]
    )
    if (obstacle := runtime.obstacle()) is not None:
        progress.step(f"{obstacle}; it pulls {request.name.full} by itself")
        if not request.is_dry:
            runtime.pull(request.name.full)
        whole = planned(plan_layers(image.record.layers[held:], {}, {}))
        return outcome_of(image, name, runtime.name, is_changed=True, is_dry=request.is_dry, layers=(*kept, *whole))
    old = [
        OldImage(
            name=f"{runtime.name} {found.identity}",
            digests=found.digests,
            config=found.config,
            diff_ids=found.diff_ids,
            files=MountedFiles(runtime=runtime, image=found),
        )
        for found in installed
    ]
    with opened_layout(request, path) as layout, ExitStack() as stack:
        stored = tuple(stored_images(layout.storage, layout.entries()))
        plans = plan(
            request,
            located.repository,
            image,
            layout,
            stored,
            progress,
            others=old,
            held=held,
            is_plain=True,
        )
        if request.is_dry:
            return outcome_of(image, name, runtime.name, is_changed=True, is_dry=True, layers=(*kept, *planned(plans)))
        made = make_all(request, located.repository, layout, plans, stack, progress, is_plain=True)
        layers = {layer.layer.diff_id: layer for layer in made}
        for layer in image.record.layers[:held]:
            # the runtime has it; nobody asks for its size
            stored_as = Descriptor(media_type=PLAIN_LAYER, digest=Digest.parse(str(layer.diff_id)), size=0)
            layers.setdefault(layer.diff_id, MadeLayer(layer=layer, way="here", stored=stored_as, bytes=0))
        manifest = manifest_of(image, layers)
        layout.write(image.config, image.manifest.config.digest)
        layout.write(manifest.raw, manifest.digest)
        layout.commit([entry_of(image, manifest, request.name, request.name.tag)])
        pairs = [LayerPair(digest=layer.digest, diff_id=layer.diff_id) for layer in image.record.layers]
        progress.step(f"{runtime.name} pulls {request.name.full}")
        pulled = _have_pulled(runtime, layout.path, request.name.full, pairs, progress)
        if pulled and called.isdisjoint(pulled):
            progress.step(f"{request.name.full} leads elsewhere by now: {runtime.name} has {pulled[0]}")
        shutil.rmtree(path)
    return outcome_of(
        image,
        name,
        runtime.name,
        is_changed=True,
        is_dry=False,
        layers=(*kept, *done(plans, made)),
    )


def _have_pulled(
    runtime: ContainerRuntime, layout: Path, reference: str, pairs: Sequence[LayerPair], progress: Progress
) -> tuple[Digest, ...]:
    """With the layers of `layout` if the runtime takes them, else by itself: a device must get its update."""
    try:
        return runtime.accept(layout, reference, pairs)
    except ContainerRuntimeError as error:
        progress.step(f"{error}; {runtime.name} pulls {reference} once more, by itself")
        return runtime.pull(reference)
