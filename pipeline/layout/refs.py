"""index.json -> refs: what is published under which tag, and what is not.

Rule 1. A ref is read only if its tag, after `rename`, matches `tags`: damaged or illegal refs that nobody asked for
        do no harm.
Rule 2. One tag, one image. The same name for two images is refused, never decided by the order.
Rule 3. An entry without a name is published only for what it belongs to: an artifact whose `subject` is published here.
        Anything else without a name is told in `skipped`.
"""

import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..content import Content
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..oci.manifest import Document, is_document
from ..oci.reference import is_reserved_tag, is_tag
from ..text import one_line
from .archive import ArchiveStorage
from .images import Holder, Image, Reader
from .storage import MAX_PROBLEM, DirectoryStorage, LayoutError, Storage, blob_name, read_small

# index.json is not a published document, so the limit of manifests is not its own: 500 refs have about 200 KB.
MAX_INDEX_SIZE: Final = 16 * 1024 * 1024
MAX_MARKER_SIZE: Final = 4096

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
_REF_NAME: Final = "org.opencontainers.image.ref.name"
_INDEX: Final = "index.json"
_MARKER: Final = "oci-layout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """A tag, after `rename`, and the image that it points to."""

    tag: str
    image: Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one layout gives: `refs` in the order of its index, each tag once, and the `artifacts` that belong to them.

    `skipped` has one line for people for each entry that was asked for and is not published.
    """

    path: Path
    refs: tuple[Ref, ...]
    artifacts: tuple[Image, ...]
    skipped: tuple[str, ...]
    storage: Storage

    def content(self, digest: Digest) -> Content:
        """The blob of that digest, unverified. Raises LayoutError where it is missing or no plain file."""
        content = self.storage.find(blob_name(digest))
        if content is None:
            raise LayoutError(self.path, f"blob {digest} is missing.", digest=digest)
        return content


def read_layout(path: Path, *, tags: Sequence[str] = ("*",), rename: Mapping[str, str] = _NO_NAMES) -> Layout:
    """Read the layout directory or oci-archive tar at `path`.

    `tags` are globs for the tags to publish; `rename` maps ref names as the layout has them (`""`: the image without a
    name) to tags.

    Raises:
        LayoutError: it is not a layout, a wanted ref is damaged or has no valid tag, or nothing is there to publish.
    """
    storage = _open(path)
    selection = _Selection(storage, tags, rename)
    try:
        for entry in _index_entries(storage):
            selection.add(entry)
    except FieldError as error:
        raise LayoutError(path, f"{_INDEX}: {error}.") from error
    artifacts = selection.artifacts()
    if not selection.refs:
        raise selection.nothing()
    return Layout(
        path=path,
        refs=tuple(selection.refs.values()),
        artifacts=artifacts,
        skipped=tuple(selection.skipped),
        storage=storage,
    )


def _open(path: Path) -> Storage:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise LayoutError(path, f"cannot be read: {error.strerror or error}.") from error
    storage: Storage
    if stat.S_ISDIR(mode):
        storage = DirectoryStorage.at(path)
    elif stat.S_ISREG(mode):
        storage = ArchiveStorage.open(path)
    else:
        raise LayoutError(path, "is neither a directory nor a file.")
    try:
        version = Fields(parse_json_object(_small(storage, _MARKER, MAX_MARKER_SIZE))).text("imageLayoutVersion")
    except FieldError as error:
        raise LayoutError(path, f"{_MARKER}: {error}.") from error
    if version != "1.0.0":
        raise LayoutError(path, f"{_MARKER}: imageLayoutVersion is {version!r}, only '1.0.0' is known.")
    return storage


def _small(storage: Storage, name: str, limit: int) -> bytes:
    content = storage.find(name)
    if content is None:
        raise LayoutError(
            storage.path,
            f"has no file {name}, so it is not an OCI image layout.",
            advice="`skopeo copy docker-archive:FILE oci:DIRECTORY:TAG` makes one of what `docker save` wrote.",
        )
    return read_small(storage, name, content, limit=limit)


def _index_entries(storage: Storage) -> tuple[Fields, ...]:
    """The entries, unread: a malformed one that nobody asked for must not spoil the others."""
    fields = Fields(parse_json_object(_small(storage, _INDEX, MAX_INDEX_SIZE)))
    version = fields.integer("schemaVersion")
    if version != 2:
        raise fields.error("schemaVersion", f"is {version}, only 2 is known")
    return fields.objects("manifests")


class _Selection:
    """The entries of one index.json, sorted into what is published and what is not."""

    def __init__(self, storage: Storage, tags: Sequence[str], rename: Mapping[str, str]) -> None:
        self.refs: dict[str, Ref] = {}
        self.skipped: list[str] = []
        self._path, self._reader = storage.path, Reader(storage)
        self._tags, self._rename = tags, rename
        self._names: list[str] = []
        self._unnamed: list[tuple[Descriptor, Document]] = []

    def add(self, entry: Fields) -> None:
        """Raises LayoutError, FieldError."""
        name = entry.texts("annotations").get(_REF_NAME, "")
        if name:
            self._names.append(name)
            self._add_ref(entry, _tag(name, self._rename), name)
            return
        descriptor = Descriptor.read(entry)
        if not _leads_to_document(descriptor):
            line = f"{descriptor.digest.short} has no name and is of type {descriptor.media_type}."
            self.skipped.append(one_line(line, most=MAX_PROBLEM))
            return
        document = self._reader.document(descriptor, holder=Holder(noun=_INDEX))
        if document.subject is None and "" in self._rename:
            self._add_ref(entry, self._rename[""], "")
        else:
            self._unnamed.append((descriptor, document))

    def _add_ref(self, entry: Fields, tag: str, name: str) -> None:
        if not any(fnmatchcase(tag, glob) for glob in self._tags):
            return
        if not is_tag(tag):
            raise self._illegal(tag, name)
        if is_reserved_tag(tag) and "." not in tag:  # with a dot it is cosign's, an image like any other
            self.skipped.append(f"Tag {tag} is a listing of another registry; this one gets its own.")
            return
        descriptor = Descriptor.read(entry)
        if not _leads_to_document(descriptor):
            problem = f"tag {tag} leads to {descriptor.media_type!r}; a tag names a manifest or an index."
            raise LayoutError(self._path, problem, digest=descriptor.digest, tag=tag)
        image = self._reader.image(descriptor, holder=Holder(noun=_INDEX, tag=tag))
        known = self.refs.setdefault(tag, Ref(tag=tag, image=image))
        if known.image.digest != image.digest:
            raise self._collision(known, image, name)

    def artifacts(self) -> tuple[Image, ...]:
        """The unnamed entries whose subject is published, or is one of themselves. Raises LayoutError."""
        published = {document.digest for ref in self.refs.values() for document in ref.image.documents}
        by_subject: dict[Digest, list[int]] = {}
        for position, (_, document) in enumerate(self._unnamed):
            if document.subject is not None:
                by_subject.setdefault(document.subject.digest, []).append(position)
        found: dict[int, Image] = {}
        waiting = list(published)
        while waiting:
            for position in by_subject.pop(waiting.pop(), ()):
                descriptor, document = self._unnamed[position]
                if document.digest in published:
                    continue
                found[position] = self._reader.image(descriptor, holder=Holder(noun=_INDEX))
                new = {document.digest for document in found[position].documents} - published
                published |= new
                waiting += new
        for _, document in self._unnamed:
            if document.digest in published:
                continue
            reason = "a subject that is not published" if document.subject else "neither a name nor a subject"
            self.skipped.append(f"{Holder.of(document, tag=None, platform=None)} has {reason}.")
        return tuple(found[position] for position in sorted(found))

    def nothing(self) -> LayoutError:
        """Why there is no ref at all."""
        if self._names:
            wanted, names = ", ".join(self._tags), ", ".join(self._names[:10])
            more = f" and {len(self._names) - 10} more" if len(self._names) > 10 else ""
            problem = f"has nothing to publish: no ref matches tags {wanted}; it has {names}{more}."
            return LayoutError(self._path, problem, advice="Correct `tags` or `rename` in the configuration.")
        if self._unnamed:
            return LayoutError(
                self._path,
                "has nothing to publish: its image has no name.",
                advice='Name it in the configuration: rename = { "" = "latest" }',
            )
        return LayoutError(self._path, "has nothing to publish: its index.json lists no image.")

    def _illegal(self, tag: str, name: str) -> LayoutError:
        last = tag.rpartition("/")[2]
        proposal = last if is_tag(last) else "latest"
        return LayoutError(
            self._path,
            f"ref {tag[:200]!r} is not a valid tag.",
            advice=f"Name it in the configuration: rename = {{ {_toml(name)} = {_toml(proposal)} }}",
            tag=tag,
        )

    def _collision(self, known: Ref, image: Image, name: str) -> LayoutError:
        platforms = {found.platform for found in known.image.platforms}
        if platforms and image.platforms and platforms.isdisjoint(found.platform for found in image.platforms):
            advice = "Make one index of them: `buildah manifest create`, `manifest add`, `manifest push --all`."
        else:
            advice = f'Remove one, or name them apart in the configuration: rename = {{ {_toml(name)} = "…" }}'
        return LayoutError(
            self._path,
            f"tag {known.tag} stands for two images, {known.image.digest.short} and {image.digest.short}.",
            advice=advice,
            digest=image.digest,
            tag=known.tag,
        )


def _tag(name: str, rename: Mapping[str, str]) -> str:
    """The tag of a ref name, which may be a whole reference: podman writes `localhost/app:1.0`."""
    if name in rename:
        return rename[name]
    _, colon, tag = name.rpartition("/")[2].rpartition(":")
    return rename.get(tag, tag) if colon and "@" not in name else name


def _leads_to_document(descriptor: Descriptor) -> bool:
    """Old tools wrote no mediaType here; then the document itself says what it is."""
    return not descriptor.media_type or is_document(descriptor)


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
