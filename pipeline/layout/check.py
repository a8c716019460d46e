"""Check images before anything of them is published: every blob against its descriptor, every layer against its DiffID.

Rule 1. What an earlier run has published of the same repository was checked then; only what is new is read. A layer is
        new where its manifest is new as an image: a published blob may stand under a wrong DiffID in another config,
        and a manifest may have been published before as something that has no DiffIDs.
Rule 2. A blob is read once, as a stream: stored digest, DiffID and outline come from the same pass.
Rule 3. A fault belongs to the images that reach it; of each, the first is told, whatever the number of threads.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..compression import CompressionError, OutputTooLargeError, decompressed
from ..content import chunks, hashed
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest, Hasher
from ..oci.manifest import Document, successors
from ..tardiff.layer.outline import Outline, outline
from . import Image, Layout, LayoutError
from .documents import Origin
from .images import PlatformImage
from .storage import COPY_AGAIN, REBUILD


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was checked and published before, of one repository: `blobs`, `manifests`, and the manifests of `images`,
    whose layers were compared with their DiffIDs."""

    blobs: Set[Digest] = frozenset()
    manifests: Set[Digest] = frozenset()
    images: Set[Digest] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """`outlines` of the layers that were read; `one_member` are those of them that are stored as exactly one gzip
    member; `faults` says for the digest of each bad image what is wrong with it."""

    outlines: Mapping[DiffID, Outline]
    one_member: frozenset[Digest]
    faults: Mapping[Digest, LayoutError]


def check_images(
    layout: Layout, images: Iterable[Image], *, limits: Limits, known: Known | None = None, jobs: int = 1
) -> Checked:
    """Read everything of `images` that is not `known` yet.

    `limits` bound one uncompressed layer. `jobs` is the number of threads; a layer is the unit of their work.
    """
    images = tuple(images)
    needs = _Needs(layout, images, known or Known())
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        reads = dict(zip(needs.tasks, pool.map(lambda task: _read(layout, task, limits), needs.tasks), strict=True))
    tags = {ref.image.digest: ref.tag for ref in reversed(layout.refs)}
    by_document = needs.faults(reads)
    faults: dict[Digest, LayoutError] = {}
    for image in images if by_document else ():
        platforms = {platform.manifest.digest: platform.platform for platform in image.platforms}
        for document in image.documents:
            platform = platforms.get(document.digest)
            if (found := by_document.get((document.digest, platform is None))) is not None:
                blob, fault = found
                origin = Origin.of(document, tag=tags.get(image.digest), platform=platform)
                problem = f"blob {blob.digest.short} of {origin}{fault.says.format(says=origin.says)}"
                faults[image.digest] = LayoutError(
                    layout.path, problem, advice=fault.advice, digest=blob.digest, tag=origin.tag
                )
                break
    return Checked(
        outlines={
            task.diff_id: read.outline
            for task, read in reads.items()
            if task.diff_id is not None and read.outline is not None
        },
        one_member=frozenset(task.digest for task, read in reads.items() if read.is_one_member),
        faults=faults,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One blob to read. `diff_id` is what its uncompressed content must have, None for what no delta is made of."""

    digest: Digest
    diff_id: DiffID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """What is wrong with a blob: the rest of a sentence that begins with its name."""

    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What came of a task. `damage` concerns the stored bytes, whatever they are taken for; `lie` the layer alone."""

    outline: Outline | None = None
    is_one_member: bool = False
    damage: _Fault | None = None
    lie: _Fault | None = None


class _Needs:
    """What each document of the images needs, and the tasks that this makes: each blob once, or once for each DiffID
    that is claimed for it."""

    def __init__(self, layout: Layout, images: Iterable[Image], known: Known) -> None:
        self._layout, self._known = layout, known
        self._sizes: dict[Digest, int | _Fault] = {}
        # whether an index calls a manifest a platform is that index's own affair
        self._by_document: dict[tuple[Digest, bool], tuple[tuple[Descriptor, _Task], ...]] = {}
        images = tuple(images)
        self._documents = {document.digest for image in images for document in image.documents}
        self._documents |= {entry.digest for image in images for entry in image.absent}
        for image in images:
            platforms = {platform.manifest.digest: platform for platform in image.platforms}
            for document in image.documents:
                platform = platforms.get(document.digest)
                key = document.digest, platform is None
                if key not in self._by_document:
                    self._by_document[key] = tuple(self._needs_of(document, platform))
        claimed = dict.fromkeys(task for needs in self._by_document.values() for _, task in needs)
        # who reads a layer reads the blob
        layers: dict[Digest, _Task] = {}
        for task in claimed:
            if task.diff_id is not None:
                layers.setdefault(task.digest, task)
        self._stand_ins = {task: layers.get(task.digest, task) for task in claimed if task.diff_id is None}
        self.tasks = tuple(
            task
            for task in claimed
            if self._stand_ins.get(task, task) is task and isinstance(self._size_of(task.digest), int)
        )

    def _needs_of(self, document: Document, platform: PlatformImage | None) -> Iterator[tuple[Descriptor, _Task]]:
        is_new = platform is not None and document.digest not in self._known.images
        layers = set()
        for layer in platform.layers if platform is not None else ():
            if is_new or layer.descriptor.digest not in self._known.blobs:
                layers.add(layer.descriptor.digest)
                yield layer.descriptor, _Task(digest=layer.descriptor.digest, diff_id=layer.diff_id)
        for blob in successors(document, self._documents).blobs:
            if blob.digest not in self._known.blobs and blob.digest not in layers:
                yield blob, _Task(digest=blob.digest, diff_id=None)

    def _size_of(self, digest: Digest) -> int | _Fault:
        found = self._sizes.get(digest)
        if found is None:
            try:
                content = self._layout.storage.blob(digest)
                found = content.size if content is not None else _Fault(says=" is missing.", advice=COPY_AGAIN)
            except LayoutError as error:
                found = _Fault(says=f": {_quoted(error.problem)}", advice=error.advice)
            self._sizes[digest] = found
        return found

    def faults(self, reads: Mapping[_Task, _Read]) -> dict[tuple[Digest, bool], tuple[Descriptor, _Fault]]:
        """The first of each document, in the order of its blobs."""
        found: dict[tuple[Digest, bool], tuple[Descriptor, _Fault]] = {}
        for key, needs in self._by_document.items():
            for blob, task in needs:
                fault = self._fault(blob, task, reads)
                if fault is not None:
                    found[key] = blob, fault
                    break
        return found

    def _fault(self, blob: Descriptor, task: _Task, reads: Mapping[_Task, _Read]) -> _Fault | None:
        size = self._size_of(task.digest)
        if isinstance(size, _Fault):
            return size
        if size != blob.size:
            return _Fault(says=f" is {size:,} bytes, {{says}} {blob.size:,}.", advice=COPY_AGAIN)
        read = reads[self._stand_ins.get(task, task)]
        return read.damage or (read.lie if task.diff_id is not None else None)


def _read(layout: Layout, task: _Task, limits: Limits) -> _Read:
    stored = task.digest.new_hasher()
    tar: Hasher | None = None
    taken: Outline | None = None
    is_one_member = False
    failure: CompressionError | None = None
    try:
        content = layout.content(task.digest)
        with content.open() as raw:
            blob = hashed(raw, stored)
            if task.diff_id is not None:
                tar = task.diff_id.new_hasher()
                # named: its end closes `blob`
                plain = decompressed(blob, max_bytes=limits.layer_of(content.size), padding=False)
                try:
                    taken = outline(hashed(plain, tar))
                    is_one_member = plain.is_one_gzip_member
                except CompressionError as error:
                    failure = error
            for _ in chunks(blob):  # what stands behind the compressed content belongs to the digest all the same
                pass
    except LayoutError as error:
        return _Read(damage=_Fault(says=f": {_quoted(error.problem)}", advice=error.advice))
    except OSError as error:
        return _Read(damage=_Fault(says=f" cannot be read: {_quoted(error.strerror or str(error))}."))
    # A damaged blob rarely decompresses: its digest is the truth, the decompressor's complaint only follows from it.
    if stored.hexdigest() != task.digest.hex:
        return _Read(damage=_Fault(says=" is damaged: its bytes have another digest.", advice=COPY_AGAIN))
    if failure is not None:
        advice = failure.advice or REBUILD
        if isinstance(failure, OutputTooLargeError):
            key = limits.key_for(content.size)
            advice = f"If that is right, raise `{key}` in [limits] of the configuration."
        return _Read(lie=_Fault(says=f": {_quoted(str(failure))}.", advice=advice))
    if tar is not None and task.diff_id is not None and tar.hexdigest() != task.diff_id.hex:
        actual = DiffID.of_hasher(task.diff_id.algorithm, tar)
        says = f" has the DiffID {actual.short}, the config says {task.diff_id.short}."
        return _Read(lie=_Fault(says=says, advice=REBUILD))
    return _Read(outline=taken, is_one_member=is_one_member)


def _quoted(text: str) -> str:
    """Text of others within what is formatted later."""
    return text.replace("{", "{{").replace("}", "}}")
