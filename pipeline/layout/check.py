"""Check images before anything of them is published: every blob against its descriptor, every layer against its DiffID.

Rule 1. What an earlier run has published was checked then; only what is new is read. A layer is new where its manifest
        is new: a published blob may stand under a wrong DiffID in another config.
Rule 2. A blob is read once, as a stream: stored digest, DiffID and outline come from the same pass.
Rule 3. The first fault in the order of the images is reported, whatever the number of threads.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..compression import CompressionError, OutputTooLargeError, decompressed
from ..content import chunks, hashed
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest, Hasher
from ..oci.manifest import successors
from ..tardiff.layer.outline import Outline, outline
from . import Image, Layout, LayoutError
from .images import REBUILD, Holder, find_blob
from .storage import COPY_AGAIN


def check_images(
    layout: Layout,
    images: Iterable[Image],
    *,
    is_known: Callable[[Digest], bool],
    limits: Limits,
    jobs: int = 1,
) -> Mapping[DiffID, Outline]:
    """Read everything of `images` that is not known yet, and return the outlines of the layers that were read.

    `is_known` tells of a manifest or a blob that an earlier run has checked and published. `limits` bound one
    uncompressed layer. `jobs` is the number of threads; a layer is the unit of their work.

    Raises:
        LayoutError: a blob is missing or not what its manifest promises, or a layer is not what its config promises.
    """
    tasks = _tasks(layout, images, is_known)
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        outlines = pool.map(lambda task: _check(layout, task, limits), tasks)
        return {
            task.diff_id: taken
            for task, taken in zip(tasks, outlines, strict=True)
            if task.diff_id is not None and taken is not None
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One blob to read. `diff_id` is what its uncompressed content must have, None for what no delta is made of."""

    descriptor: Descriptor
    diff_id: DiffID | None
    holder: Holder


def _tasks(layout: Layout, images: Iterable[Image], is_known: Callable[[Digest], bool]) -> list[_Task]:
    """Each blob once, or once for each DiffID that is claimed for it."""
    tags = {ref.image.digest: ref.tag for ref in reversed(layout.refs)}
    tasks: dict[tuple[Digest, DiffID | None], _Task] = {}
    layers: set[Digest] = set()
    seen: set[tuple[Digest, bool]] = set()  # whether an index calls a manifest a platform is that index's own affair
    for image in images:
        by_manifest = {platform.manifest.digest: platform for platform in image.platforms}
        for document in image.documents:
            platform = by_manifest.get(document.digest)
            if (document.digest, platform is None) in seen:
                continue
            seen.add((document.digest, platform is None))
            holder = Holder.of(document, tag=tags.get(image.digest), platform=platform.platform if platform else None)
            is_new = not is_known(document.digest)
            for layer in platform.layers if platform else ():
                if is_new or not is_known(layer.descriptor.digest):
                    layers.add(layer.descriptor.digest)
                    task = _Task(descriptor=layer.descriptor, diff_id=layer.diff_id, holder=holder)
                    tasks.setdefault((layer.descriptor.digest, layer.diff_id), task)
            for blob in successors(document).blobs:
                if not is_known(blob.digest):
                    # the size here, for each descriptor; the digest below, once for all of them
                    find_blob(layout.storage, blob, what=_what(blob, holder), holder=holder)
                    tasks.setdefault((blob.digest, None), _Task(descriptor=blob, diff_id=None, holder=holder))
    return [task for task in tasks.values() if task.diff_id is not None or task.descriptor.digest not in layers]


def _what(descriptor: Descriptor, holder: Holder) -> str:
    return f"blob {descriptor.digest.short} of {holder}"


def _check(layout: Layout, task: _Task, limits: Limits) -> Outline | None:
    what = _what(task.descriptor, task.holder)
    content = find_blob(layout.storage, task.descriptor, what=what, holder=task.holder)
    stored = task.descriptor.digest.new_hasher()
    tar: Hasher | None = None
    taken: Outline | None = None
    failure: CompressionError | None = None
    try:
        with content.open() as raw:
            blob = hashed(raw, stored)
            if task.diff_id is not None:
                tar = task.diff_id.new_hasher()
                plain = decompressed(blob, max_bytes=limits.layer_of(content.size))  # named: its end closes `blob`
                try:
                    taken = outline(hashed(plain, tar))
                except CompressionError as error:
                    failure = error
            for _ in chunks(blob):  # what stands behind the compressed content belongs to the digest all the same
                pass
    except OSError as error:
        raise _error(layout, task, f"{what} cannot be read: {error.strerror or error}.") from error
    # A damaged blob rarely decompresses: its digest is the truth, the decompressor's complaint only follows from it.
    if stored.hexdigest() != task.descriptor.digest.hex:
        raise _error(layout, task, f"{what} is damaged: its bytes have another digest.", advice=COPY_AGAIN)
    if failure is not None:
        advice = REBUILD
        if isinstance(failure, OutputTooLargeError):
            key = limits.key_for(content.size)
            advice = f"If that is right, raise `{key}` in [limits] of the configuration."
        raise _error(layout, task, f"{what}: {failure}.", advice=advice) from failure
    if tar is not None and task.diff_id is not None and tar.hexdigest() != task.diff_id.hex:
        actual = DiffID.of_hasher(task.diff_id.algorithm, tar)
        problem = f"{what} has the DiffID {actual.short}, the config says {task.diff_id.short}."
        raise _error(layout, task, problem, advice=REBUILD)
    return taken


def _error(layout: Layout, task: _Task, problem: str, *, advice: str = "") -> LayoutError:
    return LayoutError(layout.path, problem, advice=advice, digest=task.descriptor.digest, tag=task.holder.tag)
