"""The entries of one index.json, sorted into what is published, what is left out, and what is broken.

Rule 1. A ref is read only if its tag, after `rename`, matches `tags`: damaged or illegal refs that nobody asked for
        do no harm.
Rule 2. One tag, one image. The same name for two images is refused, never decided by the order.
Rule 3. What belongs to a published image is published with it, whatever `tags` says: an artifact whose `subject` it is,
        be it an entry without a name or listed under the fallback tag `sha256-<hex>` (distribution-spec, "Referrers Tag
        Schema"), and cosign's tags `sha256-<hex>.sig` and the like. Anything else without a name is left out.
"""

import json
from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields
from ..oci.manifest import Document, Index, is_document
from ..oci.reference import attached_to, is_reserved_tag, is_tag
from .broken import BrokenTag
from .documents import LayoutTooLargeError, Origin
from .images import Image, Reader
from .storage import LayoutError, Storage

# An SBOM has a signature, and that perhaps a countersignature; each step costs a walk over all images later.
MAX_ATTACHED_DEPTH: Final = 16

_REF_NAME: Final = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME: Final = "io.containerd.image.name"
_INDEX: Final = "index.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A tag, after `rename`, and the image that it points to."""

    tag: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that is not published, though nothing is wrong with it: `name` for people, and why."""

    name: str
    digest: Digest
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What an entry is called: its ref name, and the whole name that containerd and docker write beside it."""

    ref: str
    whole: str

    @classmethod
    def read(cls, entry: Fields) -> "_Names":
        annotations = entry.texts("annotations")
        return cls(ref=annotations.get(_REF_NAME, ""), whole=annotations.get(_CONTAINERD_NAME, ""))

    @property
    def one(self) -> str:
        """The ref name; the whole name where there is none."""
        return self.ref or self.whole

    def tag(self, rename: Mapping[str, str]) -> str:
        """A ref name may be a whole reference: podman writes `localhost/app:1.0`."""
        for name in filter(None, (self.whole, self.ref)):
            if name in rename:
                return rename[name]
        _, colon, tag = self.one.rpartition("/")[2].rpartition(":")
        return rename.get(tag, tag) if colon and "@" not in self.one else self.one


class Selection:
    """Takes the entries one by one; `refs` and then `artifacts` are asked for when all are there."""

    def __init__(
        self, storage: Storage, tags: Sequence[str], rename: Mapping[str, str], published: Container[Digest]
    ) -> None:
        self._published = published
        self.skipped: list[Skipped] = []
        self.broken: list[BrokenTag] = []
        self._path, self._reader = storage.path, Reader(storage)
        self._tags, self._rename = tags, rename
        self._broken_tags: set[str | None] = set()
        self._refs: dict[str, Ref] = {}
        self._names: dict[str, _Names] = {}
        self._seen_names: list[str] = []
        self._seen_tags: set[str] = set()
        self._unnamed: list[tuple[Descriptor, Document]] = []
        self._companions: list[tuple[Fields, str, _Names]] = []
        self._listings: dict[Digest, list[tuple[Fields, str]]] = {}

    def add(self, entry: Fields) -> None:
        """Raises LayoutTooLargeError."""
        try:
            names = _Names.read(entry)
        except FieldError as error:
            self._leave_out(None, error, is_nameless=True)
            return
        tag = names.tag(self._rename)
        self._seen_tags.add(tag or self._rename.get("", ""))
        try:
            if names.one:
                self._seen_names.append(names.one)
                self._add_named(entry, tag, names)
            else:
                self._add_unnamed(entry)
        except (LayoutError, FieldError) as error:
            self._leave_out(tag or self._rename.get(""), error)

    def refs(self) -> tuple[Ref, ...]:
        """Each whole tag once. Raises LayoutTooLargeError."""
        published = {document.digest for ref in self._whole() for document in ref.image.documents}
        for entry, tag, names in self._companions:
            subject = attached_to(tag)
            if subject in published or subject in self._published:
                try:
                    self._add_ref(entry, tag, names)
                except (LayoutError, FieldError) as error:
                    self._leave_out(tag, error)
        return tuple(self._whole())

    def artifacts(self) -> tuple[Image, ...]:
        """What is attached to the refs, in the order of the entries. Raises LayoutTooLargeError."""
        published = {document.digest for ref in self._whole() for document in ref.image.documents}
        by_subject: dict[Digest, list[int]] = {}
        for position, (_, document) in enumerate(self._unnamed):
            if document.subject is not None:
                by_subject.setdefault(document.subject.digest, []).append(position)
        found: dict[int, Image] = {}
        too_deep: set[Digest] = set()
        earlier = {digest for digest in (*by_subject, *self._listings) if digest in self._published} - published
        waiting = deque((digest, 1) for digest in (*published, *sorted(earlier)))
        while waiting:
            subject, depth = waiting.popleft()
            for position in (*by_subject.pop(subject, ()), *self._listed(subject)):
                descriptor, document = self._unnamed[position]
                if document.digest in published:
                    continue
                if depth > MAX_ATTACHED_DEPTH:
                    too_deep.add(document.digest)
                    continue
                try:
                    image = self._reader.image(descriptor, origin=Origin(noun=_INDEX))
                except LayoutError as error:
                    self._leave_out(None, error)
                    continue
                found[position] = image
                new = {document.digest for document in image.documents} - published
                published |= new
                waiting.extend((digest, depth + 1) for digest in new)
        self._skip_others(published, too_deep)
        return tuple(found[position] for position in sorted(found))

    def idle_globs(self) -> tuple[str, ...]:
        """Those of `tags` that match none of the layout's."""
        return tuple(glob for glob in self._tags if not any(fnmatchcase(tag, glob) for tag in self._seen_tags))

    def nothing(self) -> LayoutError:
        """Why there is no ref at all, and nothing broken."""
        images = [document for _, document in self._unnamed if document.subject is None]
        if self._seen_names:
            wanted, names = ", ".join(self._tags), ", ".join(self._seen_names[:10])
            more = f" and {len(self._seen_names) - 10} more" if len(self._seen_names) > 10 else ""
            problem = f"has nothing to publish: no ref matches tags {wanted}; it has {names}{more}."
            return LayoutError(self._path, problem, advice="Correct `tags` or `rename` in the configuration.")
        if len(images) > 1:
            problem = f"has nothing to publish: none of its {len(images):,} images has a name."
            return LayoutError(self._path, problem, advice=_NAME_WHEN_COPYING)
        if self._unnamed:
            return LayoutError(
                self._path,
                "has nothing to publish: its image has no name.",
                advice='Name it in the configuration: rename = { "" = "latest" }',
            )
        return LayoutError(self._path, "has nothing to publish: its index.json lists no image.")

    def _whole(self) -> Iterable[Ref]:
        """What could be read, without the tags of which another entry is broken."""
        return [ref for tag, ref in self._refs.items() if tag not in self._broken_tags]

    def _leave_out(self, tag: str | None, error: LayoutError | FieldError, *, is_nameless: bool = False) -> None:
        if isinstance(error, LayoutTooLargeError):
            raise error
        if isinstance(error, FieldError):
            error = LayoutError(self._path, f"{_INDEX}: {error}.", tag=tag)
        if tag is None or tag not in self._broken_tags:
            self._broken_tags.add(tag)
            self.broken.append(BrokenTag(tag=tag, error=error, is_nameless=is_nameless))

    def _add_named(self, entry: Fields, tag: str, names: _Names) -> None:
        is_wanted = any(fnmatchcase(tag, glob) for glob in self._tags)
        if not is_reserved_tag(tag):
            if is_wanted:
                self._add_ref(entry, tag, names)
        elif "." in tag:  # cosign's, an image like any other
            if is_wanted:
                self._add_ref(entry, tag, names)
            else:
                self._companions.append((entry, tag, names))
        elif (subject := attached_to(tag)) is not None:
            self._listings.setdefault(subject, []).append((entry, tag))
        elif is_wanted:
            reason = "is a listing of another registry; this one gets its own"
            self.skipped.append(Skipped(name=f"Tag {tag}", digest=entry.digest("digest"), reason=reason))

    def _add_unnamed(self, entry: Fields) -> None:
        descriptor = Descriptor.read(entry)
        if not _leads_to_document(descriptor):
            reason = f"has no name and is of type {descriptor.media_type}"
            self.skipped.append(Skipped(name=descriptor.digest.short, digest=descriptor.digest, reason=reason))
            return
        document = self._reader.document(descriptor, origin=Origin(noun=_INDEX))
        if document.subject is None and "" in self._rename:
            tag = self._rename[""]
            if any(fnmatchcase(tag, glob) for glob in self._tags):
                self._add_ref(entry, tag, _Names(ref="", whole=""))
        else:
            self._unnamed.append((descriptor, document))

    def _add_ref(self, entry: Fields, tag: str, names: _Names) -> None:
        if not is_tag(tag):
            raise self._illegal(tag, names.one)
        descriptor = Descriptor.read(entry)
        if not _leads_to_document(descriptor):
            problem = f"tag {tag} leads to {descriptor.media_type!r}; a tag names a manifest or an index."
            raise LayoutError(self._path, problem, digest=descriptor.digest, tag=tag)
        image = self._reader.image(descriptor, origin=Origin(noun=_INDEX, tag=tag))
        known = self._refs.setdefault(tag, Ref(tag=tag, image=image))
        if known.image.digest != image.digest:
            raise self._collision(known, image, names)
        self._names[tag] = names

    def _listed(self, subject: Digest) -> Iterable[int]:
        """Read the fallback listings of what is attached to `subject`: the positions of what is new."""
        for entry, tag in self._listings.pop(subject, ()):
            try:
                descriptor = Descriptor.read(entry)
                origin = Origin(noun=_INDEX, tag=tag)
                listing = self._reader.document(descriptor, origin=origin)
                here = Origin.of(listing, tag=tag, platform=None)
                if not isinstance(listing, Index):
                    reason = "is called like a listing of what is attached, and is none"
                    self.skipped.append(Skipped(name=f"Tag {tag}", digest=listing.digest, reason=reason))
                    continue
                for child in listing.manifests:
                    document = self._reader.document(child, origin=here)
                    if document.subject is not None and document.subject.digest == subject:
                        self._unnamed.append((child, document))
                        yield len(self._unnamed) - 1
            except (LayoutError, FieldError) as error:
                self._leave_out(tag, error)

    def _skip_others(self, published: set[Digest], too_deep: set[Digest]) -> None:
        for _, document in self._unnamed:
            if document.digest in published:
                continue
            if document.digest in too_deep:
                reason = f"is attached to something that is attached to another, more than {MAX_ATTACHED_DEPTH} deep"
            elif document.subject is not None:
                reason = "has a subject that is not published"
            else:
                reason = "has neither a name nor a subject"
            name = str(Origin.of(document, tag=None, platform=None))
            self.skipped.append(Skipped(name=name, digest=document.digest, reason=reason))

    def _illegal(self, tag: str, name: str) -> LayoutError:
        last = tag.rpartition("/")[2]
        proposal = last if is_tag(last) else "latest"
        return LayoutError(
            self._path,
            f"ref {tag[:200]!r} is not a valid tag.",
            advice=f"Name it in the configuration: {_rename(name, proposal)}",
            tag=tag,
        )

    def _collision(self, known: Ref, image: Image, names: _Names) -> LayoutError:
        platforms = {found.platform for found in known.image.platforms}
        others = self._names[known.tag]
        if platforms and image.platforms and platforms.isdisjoint(found.platform for found in image.platforms):
            advice = "Make one index of them: `buildah manifest create`, `manifest add`, `manifest push --all`."
        elif (name := _telling(names, others)) is not None:
            advice = f"Name them apart in the configuration: {_rename(name, _proposal(name, known.tag))}"
        else:
            advice = _NAME_WHEN_COPYING
        return LayoutError(
            self._path,
            f"tag {known.tag} stands for two images, {_called(known.image, others)} and {_called(image, names)}.",
            advice=advice,
            digest=image.digest,
            tag=known.tag,
        )


_NAME_WHEN_COPYING: Final = (
    "Nothing tells them apart: make the layout anew, and give each a name of its own when it is copied there "
    "(`skopeo copy … oci:DIRECTORY:TAG`)."
)


def _telling(names: _Names, others: _Names) -> str | None:
    """The name that one of two entries has and the other has not, so that `rename` moves that one alone."""
    for mine, theirs in ((names, others), (others, names)):
        if mine.whole and mine.whole != theirs.whole:
            return mine.whole
    # a bare tag would be found in the other's whole reference, too
    for mine, theirs in ((names, others), (others, names)):
        if mine.ref != theirs.ref and ("/" in mine.ref or ":" in mine.ref):
            return mine.ref
    return names.ref if names.ref and names.ref != others.ref else None


def _called(image: Image, names: _Names) -> str:
    name = names.whole or names.ref
    return f"{image.digest.short} ({name})" if name else image.digest.short


def _proposal(name: str, tag: str) -> str:
    """A tag for one of two images: `b-1.0` for docker.io/library/b:1.0."""
    made = name.rpartition("/")[2].replace(":", "-")
    return made if is_tag(made) and made != tag else f"{tag[:126]}-2"


def _rename(name: str, tag: str) -> str:
    return f"rename = {{ {_toml(name)} = {_toml(tag)} }}"


def _leads_to_document(descriptor: Descriptor) -> bool:
    """Old tools wrote no mediaType here; then the document itself says what it is."""
    return not descriptor.media_type or is_document(descriptor)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
