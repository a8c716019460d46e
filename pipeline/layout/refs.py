"""index.json -> refs: what is published under which tag, and what is left out.

Rule 1. What is wrong with the layout as a whole is a `LayoutError`; what is wrong with one entry makes its tag a
        `BrokenTag`, and the others are published.
Rule 2. `oci-layout` may be missing: older BuildKits write none, and clients do not ask for it.
"""

import stat
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ..content import Content
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from .archive import ArchiveStorage
from .broken import BrokenTag, all_broken
from .images import Image
from .selection import Ref, Selection, Skipped
from .storage import DirectoryStorage, LayoutError, Storage, read_small

# index.json is not a published document, so the limit of manifests is not its own: 500 refs have about 200 KB.
MAX_INDEX_SIZE: Final = 16 * 1024 * 1024
MAX_MARKER_SIZE: Final = 4096

_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})
INDEX: Final = "index.json"
MARKER: Final = "oci-layout"
MARKER_CONTENT: Final = b'{"imageLayoutVersion":"1.0.0"}'
_SAVED: Final = "manifest.json"  # of `docker save`, before it wrote a layout beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one layout gives: `refs` in the order of its index, each tag once, and the `artifacts` that belong to them.

    `broken` are the tags that were asked for and cannot be read, `skipped` the entries that nobody asked for,
    `idle_globs` what was asked for and matches nothing.
    """

    path: Path
    refs: tuple[Ref, ...]
    artifacts: tuple[Image, ...]
    broken: tuple[BrokenTag, ...]
    skipped: tuple[Skipped, ...]
    storage: Storage
    idle_globs: tuple[str, ...] = ()

    @property
    def images(self) -> dict[Digest, Image]:
        """All that is to be published, each image once."""
        return {image.digest: image for image in (*(ref.image for ref in self.refs), *self.artifacts)}

    def content(self, digest: Digest) -> Content:
        """The blob of that digest, unverified. Raises LayoutError where it is missing or no plain file."""
        content = self.storage.blob(digest)
        if content is None:
            raise LayoutError(self.path, f"blob {digest} is missing.", digest=digest)
        return content


def read_layout(
    path: Path,
    *,
    tags: Sequence[str] = ("*",),
    rename: Mapping[str, str] = _NO_NAMES,
    published: Container[Digest] = frozenset(),
) -> Layout:
    """Read the layout directory or oci-archive tar at `path`.

    `tags` are globs for the tags to publish; `rename` maps names as the layout has them (ref names, or what containerd
    calls the image; `""`: the image without a name) to tags.

    `published` are manifests of earlier runs, to which artifacts may be attached: images are often signed later.

    Raises:
        LayoutError: it is not a layout, exceeds a bound, or has nothing that could be published.
    """
    storage = open_storage(path)
    selection = Selection(storage, tags, rename, published)
    try:
        for entry in index_entries(storage):
            selection.add(entry)
    except FieldError as error:
        raise LayoutError(path, f"{INDEX}: {error}.") from error
    refs, artifacts = selection.refs(), selection.artifacts()
    if not refs:
        raise all_broken(path, selection.broken) if selection.broken else selection.nothing()
    return Layout(
        path=path,
        refs=refs,
        artifacts=artifacts,
        broken=tuple(selection.broken),
        skipped=tuple(selection.skipped),
        storage=storage,
        idle_globs=selection.idle_globs(),
    )


def open_storage(path: Path) -> Storage:
    """The files of the layout directory or oci-archive at `path`. Raises LayoutError."""
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
    marker = storage.find(MARKER)
    if marker is None:
        return storage
    try:
        raw = read_small(storage, MARKER, marker, limit=MAX_MARKER_SIZE)
        version = Fields(parse_json_object(raw)).text("imageLayoutVersion")
    except FieldError as error:
        raise LayoutError(path, f"{MARKER}: {error}.") from error
    if version != "1.0.0":
        raise LayoutError(path, f"{MARKER}: imageLayoutVersion is {version!r}, only '1.0.0' is known.")
    return storage


def index_entries(storage: Storage) -> tuple[Fields, ...]:
    """The entries of index.json, unread: a malformed one that nobody asked for must not spoil the others.

    Raises LayoutError, FieldError.
    """
    content = storage.find(INDEX)
    if content is None:
        advice = ""
        if storage.find(_SAVED) is not None:
            # skopeo's dir: keeps the manifest itself under that name, beside a file that docker does not write
            transport = "dir:DIRECTORY" if storage.find("version") is not None else "docker-archive:FILE"
            advice = f"`skopeo copy {transport} oci:LAYOUT:TAG` makes one of it."
        raise LayoutError(storage.path, f"has no file {INDEX}, so it is not an OCI image layout.", advice=advice)
    fields = Fields(parse_json_object(read_small(storage, INDEX, content, limit=MAX_INDEX_SIZE)))
    version = fields.integer("schemaVersion")
    if version != 2:
        raise fields.error("schemaVersion", f"is {version}, only 2 is known")
    return fields.objects("manifests")
