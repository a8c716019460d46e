"""`deltapress pull` into an image layout: by deltas from what is there, or from the files of an old image.

The order of the steps is the commit protocol: blobs, the unpacked folder, `index.json`, and only then is removed what
the entry led to before. A run that is killed leaves the old image as it was.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..layout.storage import LayoutError, read_small
from ..layout.writing import WritableLayout
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields
from ..oci.manifest import MAX_MANIFEST_SIZE, is_document, parse_document, successors
from ..progress import Progress
from .assembling import make_all, opened_layout, plan
from .outcome import PullOutcome, done, outcome_of, planned
from .request import Request, locate, read_root, wanted_image
from .stored import NAME, REF_NAME, StoredImage, entry_of, manifest_of, stored_images
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
        former = _former(stored, tag, request)
        present = _present(former, request, layout)
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
        layout.note_loose(digest for old in former for digest in old.blobs)
        kept = [entry for entry in entries if not _is_replaced(entry, tag, former)]
        layout.commit([*kept, entry_of(image, manifest, request.name, tag)])
        _remove_loose(layout)
        layout.forget_unfinished()
        return outcome_of(
            image, str(request.name), str(path), is_changed=is_changed, is_dry=False, layers=done(plans, made)
        )


def _former(stored: Sequence[StoredImage], tag: str | None, request: Request) -> tuple[StoredImage, ...]:
    """What earlier pulls put under the tag: without a tag, by the same name."""
    name = str(request.name)
    return tuple(
        image
        for image in stored
        if image.tag == tag and image.root is not None and (tag is not None or image.name == name)
    )


def _present(former: Sequence[StoredImage], request: Request, layout: WritableLayout) -> StoredImage | None:
    """That of them which may be what is wanted: for the platform, and whole."""
    kind = request.platform.kind
    return next(
        (image for image in former if image.record.platform.kind == kind and image.is_whole_in(layout.storage)),
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


def _is_replaced(entry: Mapping[str, Any], tag: str | None, former: Sequence[StoredImage]) -> bool:
    """With a tag, every entry of that name goes, also one that could not be read."""
    notes = entry.get("annotations")
    if tag is not None:
        return isinstance(notes, dict) and notes.get(REF_NAME) == tag
    names = {image.name for image in former}
    return isinstance(notes, dict) and REF_NAME not in notes and notes.get(NAME) in names


def _remove_loose(layout: WritableLayout) -> None:
    """Remove the blobs that only replaced entries led to, or none since a run was killed. Where something cannot be
    read, nothing is removed: it might lead to any of them."""
    kept = _reachable(layout)
    if kept is not None:
        layout.remove_loose(kept)


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
