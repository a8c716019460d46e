"""The layers of an image into a layout, wherever it goes from there: what is here, what is to be made, and how."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

from ..errors import DeltapressError
from ..history.records.images import LayerRecord
from ..layout.writing import WritableLayout, writable_layout
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..progress import Progress
from .images import RemoteImage
from .layers import PLAIN_LAYER, LayerMaker, LayerPlan, MadeLayer, check_layer, plan_layers
from .offers import find_offers
from .repository import Repository
from .request import Request, named_source
from .sources import OldImage, OpenedSources, StoredFiles
from .stored import StoredImage


def opened_layout(request: Request, path: Path) -> AbstractContextManager[WritableLayout]:
    """The layout at `path`, to write; for a dry run it may be missing, and stays as it is."""
    return nullcontext(WritableLayout(path=path)) if request.is_dry else writable_layout(path)


def plan(
    request: Request,
    repository: Repository,
    image: RemoteImage,
    layout: WritableLayout,
    stored: Sequence[StoredImage],
    progress: Progress,
    *,
    others: Sequence[OldImage] = (),
    held: int = 0,
    is_plain: bool = False,
) -> tuple[LayerPlan, ...]:
    """How each layer is come by. `others` are old images beside those in the layout; the lowest `held` layers are in
    no need of any way. With `is_plain`, only uncompressed layers count as here."""
    layers = image.record.layers[held:]
    here = dict(_here(layout, stored, layers, request, progress, is_plain=is_plain))
    missing = [layer for layer in layers if layer.diff_id not in here]
    old = [*named_source(request, repository, progress), *others] if missing else []
    if missing:
        old += [
            OldImage(
                name=found.name or found.tag or str(found.manifest.digest),
                digests=found.digests,
                config=found.manifest.config.digest,
                diff_ids=tuple(layer.diff_id for layer in found.record.layers),
                files=StoredFiles(
                    storage=layout.storage, layers=found.layers(), scratch=layout.scratch, limits=request.limits
                ),
            )
            for found in stored
            if found.is_whole_in(layout.storage)
        ]
    return plan_layers(layers, here, find_offers(repository, image, old, progress))


def make_all(
    request: Request,
    repository: Repository,
    layout: WritableLayout,
    plans: Sequence[LayerPlan],
    stack: ExitStack,
    progress: Progress,
    *,
    is_plain: bool,
) -> list[MadeLayer]:
    """Carry out the plans, one after the other. Raises as `LayerMaker.make`."""
    maker = LayerMaker(
        layout=layout,
        repository=repository,
        sources=OpenedSources(stack),
        limits=request.limits,
        progress=progress,
        is_plain=is_plain,
    )
    layout.clear_scratch()
    layout.forget_unfinished(but={name for plan in plans for name in maker.unfinished(plan)})
    stack.callback(layout.clear_scratch)
    with progress.task("download", sum(plan.bytes for plan in plans), "bytes") as task:
        return [maker.make(plan, task) for plan in plans]


def _here(
    layout: WritableLayout,
    stored: Sequence[StoredImage],
    layers: Sequence[LayerRecord],
    request: Request,
    progress: Progress,
    *,
    is_plain: bool,
) -> Iterator[tuple[DiffID, Descriptor]]:
    """The layers that the layout has already. What an earlier pull did not finish, and what other tools put there, is
    compared with its DiffID first; what was committed has been."""
    for layer in layers:
        for candidate, is_trusted in _candidates(layout, stored, layer):
            file = layout.blob_path(candidate.digest)
            if is_plain and str(candidate.digest) != str(layer.diff_id):
                continue
            try:
                if file.stat().st_size != candidate.size:
                    continue
                if not is_trusted:
                    check_layer(file, layer, request.limits)
            except FileNotFoundError:
                continue
            except DeltapressError as error:
                progress.step(f"{file}: is left out: {error}")
                continue
            yield layer.diff_id, candidate
            break


def _candidates(
    layout: WritableLayout, stored: Sequence[StoredImage], layer: LayerRecord
) -> Iterator[tuple[Descriptor, bool]]:
    for image in stored:
        found = image.layers().get(layer.diff_id)
        if found is not None:
            yield found, image.original is not None
    plain = Digest.parse(str(layer.diff_id))
    file = layout.blob_path(plain)
    if file.is_file():
        yield Descriptor(media_type=PLAIN_LAYER, digest=plain, size=file.stat().st_size), False
    yield Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size), False
