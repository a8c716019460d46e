"""One repository of a source, read: its images, what is attached to them, its deltas.

Rule 1. What the target's ledger knows whole is not read again. Where an image lacked a platform, it is looked at again.
Rule 2. A fault belongs to the tag, the artifact or the delta that has it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..content import BytesContent, Content
from ..deltas.formats import FORMATS
from ..history.ledger import Ledger
from ..history.records.images import ImageRecord
from ..history.records.repositories import RepositoryRecord
from ..history.removal import admitted
from ..history.scan import record_of
from ..history.versions import Observation
from ..layout import BrokenTag, LayoutError
from ..layout.documents import MAX_DEPTH, Origin
from ..layout.images import Reader
from ..layout.selection import MAX_ATTACHED_DEPTH
from ..layout.storage import read_small
from ..oci.descriptor import Platform
from ..oci.digest import DiffID, Digest
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, Document, Index, parse_document
from ..oci.media_types import INDEXES, OCI_INDEX
from ..oci.reference import attached_to
from ..parallel import threads
from ..tardiff.layer.outline import Outline
from ..targets.base import KeyMissingError
from .mirrored import Found, Whole, whole_of
from .originals import Originals
from .selection import Selection
from .source import Source


@dataclass(slots=True, kw_only=True)
class Copied:
    """A repository as it was `found`, and what of that is `whole`: the contents that the publisher's steps read."""

    found: Found
    whole: Whole
    originals: Originals
    broken: tuple[BrokenTag, ...]
    notes: tuple[str, ...] = ()
    outlines: Mapping[DiffID, Outline] = field(default_factory=dict)
    _sizes: dict[Digest, tuple[int, bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for image in (*self.found.images.values(), *self.found.deltas.values()):
            self._sizes |= {blob.digest: (blob.size, False) for blob in image.blobs if blob.digest not in self._sizes}
            self._sizes |= {document.digest: (document.size, True) for document in image.documents}

    @property
    def digests(self) -> frozenset[Digest]:
        return frozenset(self._sizes) | self.whole.made.keys()

    def content(self, digest: Digest) -> Content | None:
        """None for what the target has, which is nearer."""
        if digest in self.whole.made:
            return BytesContent(self.whole.made[digest])
        if digest not in self._sizes or self.originals.is_here(digest):
            return None
        size, is_document = self._sizes[digest]
        return self.originals.original(digest, size, is_document=is_document)

    def leave_out(self, spoiled: Mapping[Digest, str]) -> None:
        """Go on without what needs blobs that could not be copied, each with its problem."""
        before, self.whole = self.whole, whole_of(self.found, spoiled.keys())
        lost = {tag: self.found.images[image] for tag, image in before.tags.items() if tag in self.whole.broken}
        for digest, problem in spoiled.items():
            error = LayoutError(self.originals.path, f"blob {digest}: {problem}.", digest=digest)
            tags = [tag for tag, image in lost.items() if any(blob.digest == digest for blob in image.blobs)]
            named: list[str | None] = [*tags] or [None]
            self.broken += tuple(BrokenTag(tag=tag, error=error) for tag in named)


def read_repository(
    source: Source, selection: Selection, name: str, before: RepositoryRecord, originals: Originals, own: Ledger
) -> Copied:
    """Read what is not known yet. Raises TargetError, LayoutError where the repository as a whole cannot be read."""
    return _Reading(source, selection, name, before, originals).result(own)


class _Reading:
    def __init__(
        self, source: Source, selection: Selection, name: str, before: RepositoryRecord, originals: Originals
    ) -> None:
        self._source, self._selection, self._name, self._before = source, selection, name, before
        self._originals = originals
        self._reader = Reader(originals)
        self._concurrency = source.tree.properties.concurrency
        self._tags: dict[str, Digest] = {}
        self._images: dict[Digest, ImageRecord] = {}
        self._listed: dict[Digest, set[Digest]] = {}
        self._broken: list[BrokenTag] = []
        self._notes: list[str] = []

    def result(self, own: Ledger) -> Copied:
        names = self._source.tags(self._name)
        self._take_tags([tag for tag in names if attached_to(tag) is None and self._selection.has_tag(tag)])
        if self._selection.has_all_tags:
            for digest in self._source.untagged(self._name):
                self._take(digest, None)
        seen, barred = admitted(
            Observation(tags=self._tags, images=self._images), own.removals, (self._name, *self._before.carried)
        )
        self._tags, self._images = dict(seen.tags), dict(seen.images)
        self._notes += barred
        raw = self._source.delta_index(self._name)
        self._take_attached(raw is not None, [tag for tag in names if attached_to(tag) is not None], own)
        index, deltas = self._deltas(raw) if raw is not None and self._selection.deltas else (None, {})
        found = Found(
            tags=self._tags,
            images=self._images,
            listed=self._listed,
            moves={tag: moves for tag in self._tags if (moves := self._source.moves(self._name, tag))},
            deltas=deltas,
            delta_index=index,
            broken={broken.tag for broken in self._broken if broken.tag is not None} | seen.broken,
        )
        return Copied(
            found=found,
            whole=whole_of(found),
            originals=self._originals,
            broken=tuple(self._broken),
            notes=tuple(self._notes),
        )

    def _take_tags(self, tags: Iterable[str]) -> None:
        tags = list(tags)
        with threads(self._concurrency) as each:
            for tag, lead in zip(tags, each(self._lead, tags), strict=True):
                if isinstance(lead, LayoutError):
                    self._broken.append(BrokenTag(tag=tag, error=lead))
                elif self._take(lead, tag):
                    self._tags[tag] = lead

    def _lead(self, tag: str) -> Digest | LayoutError:
        known = self._before.tags.get(tag)
        try:
            digest, raw = self._source.lead(self._name, tag, known.image if known is not None else None)
        except KeyMissingError:
            return self._error(f"the tag {tag} is listed, and is not there.", tag=tag)
        if raw is not None:
            self._originals.keep(digest, raw)
        return digest

    def _take(self, digest: Digest, tag: str | None) -> bool:
        """False for what is broken, and what is for other platforms."""
        if digest in self._images:
            return True
        known = self._before.images.get(digest)
        if known is not None and not known.absent and all(map(self._selection.has_platform, _platforms(known))):
            self._images[digest] = known
            return True
        try:
            image = self._read(digest, tag)
        except LayoutError as error:
            self._broken.append(BrokenTag(tag=tag, error=error))
            return False
        if image is None:
            return False
        self._images[digest] = image
        return True

    def _read(self, digest: Digest, tag: str | None) -> ImageRecord | None:
        """None for what is for other platforms alone. Raises LayoutError."""
        document = self._document(digest, tag)
        origin = Origin.of(document, tag=tag, platform=None)
        if isinstance(document, Index) and self._selection.platforms and not self._hide(document, origin, 1):
            return None
        image = record_of(self._reader.image(document.descriptor(), origin=origin))
        platforms = _platforms(image)
        if platforms and not any(map(self._selection.has_platform, platforms)):
            return None
        return image

    def _document(self, digest: Digest, tag: str | None) -> Document:
        content = self._originals.blob(digest)
        if content is None:
            raise self._error(f"manifest {digest} is missing.", tag=tag, digest=digest)
        raw = read_small(self._originals, f"manifest {digest.short}", content, limit=MAX_MANIFEST_SIZE)
        try:
            return parse_document(raw, "", digest)
        except FieldError as error:
            raise self._error(f"manifest {digest.short}: {error}.", tag=tag, digest=digest) from error

    def _hide(self, index: Index, origin: Origin, depth: int) -> bool:
        """Hide the manifests of an index that nobody asked for; False when that is all of them."""
        hidden = self._selection.hidden(index)
        shown = [entry for entry in index.manifests if entry.digest not in hidden]
        self._originals.hidden.update(hidden)
        self._originals.hidden.difference_update(entry.digest for entry in shown)
        for entry in shown:
            if entry.media_type in INDEXES and depth < MAX_DEPTH and self._originals.blob(entry.digest):
                inner = self._reader.document(entry, origin=origin)
                if isinstance(inner, Index):
                    self._hide(inner, Origin.of(inner, tag=origin.tag, platform=None), depth + 1)
        return bool(shown) or not hidden

    def _take_attached(self, is_ours: bool, companions: list[str], own: Ledger) -> None:
        new = {document.digest for image in self._images.values() for document in image.documents}
        seen = set(new)
        for _ in range(MAX_ATTACHED_DEPTH):
            found: set[Digest] = set()
            subjects = sorted(new)
            with threads(self._concurrency) as each:
                for subject, entries in zip(subjects, each(self._entries, subjects), strict=True):
                    for digest in entries:
                        if f"{self._name}@{digest}" not in own.removals:
                            self._listed.setdefault(digest, set()).add(subject)
                            found.add(digest)
            for digest in sorted(found):
                self._take(digest, None)
            new = {
                document.digest
                for digest in found
                if digest in self._images
                for document in self._images[digest].documents
            } - seen
            seen |= new
            if not new:
                break
        self._take_companions(is_ours, companions, seen)

    def _take_companions(self, is_ours: bool, companions: list[str], documents: set[Digest]) -> None:
        """Cosign's tags of what is mirrored; a tree of ours has them without listing them."""
        self._take_tags([tag for tag in companions if attached_to(tag) in documents])
        if not is_ours or companions:
            return
        hidden = [tag for digest in sorted(self._tags.values()) for tag in self._source.companions(digest)]
        with threads(self._concurrency) as each:
            for tag, lead in zip(hidden, each(self._lead, hidden), strict=True):
                if not isinstance(lead, LayoutError) and self._take(lead, tag):
                    self._tags[tag] = lead

    def _entries(self, subject: Digest) -> list[Digest]:
        """What is attached to a document, without the deltas where nobody wants them."""
        raw = self._source.referrers(self._name, subject)
        if raw is None:
            return []
        try:
            index = parse_document(raw, OCI_INDEX)
        except FieldError as error:
            raise self._error(f"the referrers of {subject.short}: {error}.", digest=subject) from error
        if not isinstance(index, Index):
            return []
        deltas = {
            entry.descriptor.digest
            for known in FORMATS
            if known.tag is None and not self._selection.deltas
            for entry in known.parse_listing(index).documents
        }
        return [entry.digest for entry in index.manifests if entry.digest not in deltas]

    def _deltas(self, raw: bytes) -> tuple[Index | None, dict[Digest, ImageRecord]]:
        try:
            index = parse_document(raw, OCI_INDEX)
        except FieldError as error:
            self._broken.append(BrokenTag(tag=None, error=self._error(f"the listing of deltas: {error}.")))
            return None, {}
        if not isinstance(index, Index):
            return None, {}
        mirrored = {document.digest for image in self._images.values() for document in image.documents}
        [listed] = (known.parse_listing(index).documents for known in FORMATS if known.tag is not None)
        found: dict[Digest, ImageRecord] = {}
        for entry in listed:
            if entry.target in mirrored:
                try:
                    found[entry.descriptor.digest] = record_of(
                        self._reader.image(entry.descriptor, origin=Origin(noun="the listing of deltas"))
                    )
                except LayoutError as error:
                    self._broken.append(BrokenTag(tag=None, error=error))
        return index, found

    def _error(self, problem: str, *, tag: str | None = None, digest: Digest | None = None) -> LayoutError:
        return LayoutError(self._originals.path, problem, tag=tag, digest=digest)


def _platforms(image: ImageRecord) -> list[Platform]:
    return [found.platform for found in image.platforms]
