"""`deltapress pull` into an image layout: by deltas from what is there, or from the files of an old image.

The order of the steps is the commit protocol: blobs, the unpacked folder, `index.json`, and only then is removed what
the entry led to before. A run that is killed leaves the old image as it was.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Any

from ..errors import DeltapressError
from ..history.records import LayerRecord
from ..layout.storage import LayoutError, read_small
from ..layout.writing import WritableLayout, writable_layout
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..oci.fields import FieldError, Fields
from ..oci.manifest import MAX_MANIFEST_SIZE, is_document, parse_document, successors
from ..progress import Progress
from .images import RemoteImage
from .layers import PLAIN_LAYER, LayerMaker, LayerPlan, MadeLayer, check_layer, plan_layers
from .offers import find_offers
from .outcome import PullOutcome, done, outcome_of, planned
from .repository import Repository
from .request import Request, locate, named_source, read_root, wanted_image
from .sources import OldImage, OpenedSources, StoredFiles
from .stored import REF_NAME, StoredImage, entry_of, manifest_of, stored_images
from .unpack.image import holds, unpack_image


def pull_into_layout(
    request: Request,
    path: Path,
    tag: str | None,
    *,
    progress: Progress,
    unpack: Path | None = None,
) -> PullOutcome:
    """Have the image of `request` in the layout at `path`, as `tag`, and its files in the folder `unpack`.

    Raises:
        DeltapressError: the image cannot be read, or is not what it should be.
        OSError: the layout cannot be written.
    """
    with opened_layout(request, path) as layout, ExitStack() as stack:
        entries = layout.entries()
        stored = tuple(stored_images(layout.storage, entries))
        present = _present(stored, tag, request, layout)
        located = locate(request)
        is_unpacked = present is None or unpack is None or holds(unpack, present.manifest.config.digest)
        if present is not None and present.root == located.root and is_unpacked:
            return _unchanged(present, request, path)
        document = read_root(request, located)
        if present is not None and present.root == document.digest and is_unpacked:
            return _unchanged(present, request, path)
        image = wanted_image(request, located, document)
        is_changed = present is None or present.original != image.manifest.digest
        plans = plan(request, located.repository, image, layout, stored, progress)
        if request.is_dry:
            return outcome_of(
                image, str(request.name), str(path), is_changed=is_changed, is_dry=True, layers=planned(plans)
            )
        made = make_all(request, located.repository, layout, plans, stack, progress, is_plain=False)
        layers = {layer.layer.diff_id: layer for layer in made}
        config = image.manifest.config.digest
        if unpack is not None and not holds(unpack, config):
            files = [layout.blob_path(layers[layer.diff_id].stored.digest) for layer in image.record.layers]
            unpack_image(files, config, unpack, limits=request.limits, progress=progress)
        manifest = manifest_of(image, layers)
        layout.write(image.config, config)
        layout.write(manifest.raw, manifest.digest)
        kept = [entry for entry in entries if not _is_replaced(entry, tag, present)]
        layout.commit([*kept, entry_of(image, manifest, request.name, tag)])
        if present is not None:
            _remove_replaced(layout, present)
        layout.forget_unfinished()
        return outcome_of(
            image, str(request.name), str(path), is_changed=is_changed, is_dry=False, layers=done(plans, made)
        )


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
    stack.callback(layout.clear_scratch)
    with progress.task("download", sum(plan.bytes for plan in plans), "bytes") as task:
        return [maker.make(plan, task) for plan in plans]


def _present(
    stored: Sequence[StoredImage], tag: str | None, request: Request, layout: WritableLayout
) -> StoredImage | None:
    """What an earlier pull put under the tag: without a tag, by the same name. Only what is whole counts."""
    name, kind = str(request.name), request.platform.kind
    return next(
        (
            image
            for image in stored
            if image.tag == tag
            and image.root is not None
            and (tag is not None or image.name == name)
            and image.record.platform.kind == kind
            and image.is_whole_in(layout.storage)
        ),
        None,
    )


def _unchanged(present: StoredImage, request: Request, path: Path) -> PullOutcome:
    assert present.root is not None
    return PullOutcome(
        name=str(request.name),
        into=str(path),
        platform=present.record.platform,
        root=present.root,
        manifest=present.original or present.manifest.digest,
        config=present.manifest.config.digest,
        is_changed=False,
        is_dry=request.is_dry,
    )


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


def _is_replaced(entry: Mapping[str, Any], tag: str | None, present: StoredImage | None) -> bool:
    notes = entry.get("annotations")
    named = notes.get(REF_NAME) if isinstance(notes, dict) else None
    if tag is not None:
        return named == tag  # also one that could not be read
    return present is not None and named is None and entry.get("digest") == str(present.manifest.digest)


def _remove_replaced(layout: WritableLayout, old: StoredImage) -> None:
    """Remove the blobs that nothing but the replaced entry led to. Where something cannot be read, nothing is removed:
    it might lead to any of them."""
    kept = _reachable(layout)
    if kept is None:
        return
    blobs = (old.manifest.digest, old.manifest.config.digest, *(layer.digest for layer in old.manifest.layers))
    for digest in blobs:
        if digest not in kept:
            layout.remove(digest)


def _reachable(layout: WritableLayout) -> set[Digest] | None:
    found: set[Digest] = set()
    try:
        left = [Descriptor.read(Fields(entry)) for entry in layout.entries()]
        while left:
            descriptor = left.pop()
            if descriptor.digest in found:
                continue
            found.add(descriptor.digest)
            content = layout.storage.blob(descriptor.digest) if is_document(descriptor) else None
            if content is not None:
                raw = read_small(layout.storage, str(descriptor.digest), content, limit=MAX_MANIFEST_SIZE)
                edges = successors(parse_document(raw, descriptor.media_type, descriptor.digest))
                left += [*edges.documents, *edges.blobs]
    except (FieldError, LayoutError):
        return None
    return found
