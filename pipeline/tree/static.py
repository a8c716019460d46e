"""Pure: how a static host shows what is published -> the complete tree, as keys, digests, headers and phases.

Rule 1. The tree is all that should be in the target, ledger and lock aside.
Rule 2. Entries are written in the order of their phases, and within a phase by rank: what a document leads to stands
        before it. README, "Guarantees", states what a reader may rely on.
Rule 3. A store of headers gets each thing once. A web server cannot know them, so there manifests have typed copies and
        sidecars beside them, and tags links that lead to a digest.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from ..deltas.plan import Wanted
from ..history.ledger import Ledger
from ..keys import (
    CATALOG_KEY,
    IMMUTABLE,
    JSON,
    MUTABLE,
    OCTET_STREAM,
    PHASES,
    PING_FOLDER_KEY,
    PING_KEY,
    TEXT,
    TYPED,
    Headers,
    Key,
    Kind,
    Phase,
    access_file_key,
    blob_key,
    classify,
    common_headers,
    digest_mark_key,
    folders_of,
    kind_of,
    manifest_key,
    referrers_key,
    repository_of,
    sidecar_key,
    tag_link_key,
    tag_link_text,
    tags_key,
    typed_key,
)
from ..oci.digest import Digest
from ..oci.media_types import OCI_INDEX
from ..oci.writing import EMPTY_JSON, write_json
from .contents import CollisionError, RepositoryContents, Stored, published_contents
from .flatpak import flatpak_index
from .remotes import remote_files

# Written after those that they lead to.
_LEADS_TO_LISTINGS: Final = frozenset({Kind.CATALOG, Kind.FLATPAK_REPO, Kind.FLATPAK_REF, Kind.PAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One key of the tree. `content` is None where the bytes of `digest` come from a layout, a new delta or the target.

    `evicts` are keys that must go as soon as this one stands, and not after the grace period: second copies of the same
    manifest below other media types. `repository` is None for what belongs to the tree as a whole.
    """

    key: Key
    digest: Digest
    size: int
    headers: Headers
    phase: Phase
    rank: int = 0
    content: bytes | None = None
    repository: str | None = None
    evicts: tuple[Key, ...] = ()

    @property
    def order(self) -> tuple[int, int, str]:
        return self.phase, self.rank, self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """All that should be in the target, ledger and lock aside; `notes` are lines for the user."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def in_order(self) -> list[Entry]:
        return sorted(self.entries.values(), key=lambda entry: entry.order)


def assemble(ledger: Ledger, wanted: Sequence[Wanted], *, extras: Mapping[Key, bytes], stores_headers: bool) -> Tree:
    """Lay out the tree.

    Args:
        wanted: the deltas that the images of this moment want, see `plan_deltas`; only stored ones are listed.
        extras: pages and server files, already rendered, by key.
        stores_headers: True for a bucket; False adds what web servers need in order to know the headers.

    Raises:
        CollisionError: two names cannot stand beside each other in one tree.
    """
    published = list(published_contents(ledger, wanted))
    entries: dict[Key, Entry] = {}
    for entry in chain(
        _pings(stores_headers),
        chain.from_iterable(_repository(contents, stores_headers) for contents in published),
        _emptied(ledger),
        (_beside(key, data) for key, data in {**_listings(ledger, published), **extras}.items()),
    ):
        other = entries.get(entry.key)
        if other is not None and (other.digest, other.headers) != (entry.digest, entry.headers):
            raise CollisionError(
                f"{entry.key}: two different contents want this key; rename one of the repositories or tags"
            )
        if other is None or other.rank < entry.rank:
            entries[entry.key] = entry
    _check_folders(entries)
    return Tree(entries=entries, notes=tuple(line for contents in published for line in contents.notes))


def _pings(stores_headers: bool) -> Iterator[Entry]:
    """What clients ask for first: 200 is the whole answer (distribution-spec, end-1)."""
    yield _beside(PING_KEY, EMPTY_JSON)
    if stores_headers:
        yield _beside(PING_FOLDER_KEY, b"")


def _repository(contents: RepositoryContents, stores_headers: bool) -> Iterator[Entry]:
    name = contents.name
    yield from (blob_entry(name, digest, blob.size, content=blob.content) for digest, blob in contents.blobs.items())
    served: list[tuple[str | Digest, Stored]] = [*contents.documents.items(), *contents.tags.items()]
    for reference, stored in served:
        yield from _manifest(name, reference, stored, stores_headers)
    for subject, listing in contents.referrers.items():
        yield _made(referrers_key(name, subject), Kind.REFERRERS, listing, OCI_INDEX, repository=name)
    if not stores_headers:
        types = {str(reference): stored.descriptor.media_type for reference, stored in served}
        yield _made(access_file_key(name), Kind.ACCESS_FILE, _access_file(types), TEXT, repository=name)
    yield _tags_list(name, contents.listed_tags)


def _emptied(ledger: Ledger) -> Iterator[Entry]:
    """A repository that was removed lists no tags, as long as something of it can still be pulled."""
    for name in still_there(ledger):
        yield _tags_list(name, [])


def still_there(ledger: Ledger) -> list[str]:
    """The repositories that were removed as a whole, and of which more is stored than their list of tags."""
    removed = ledger.removals.keys() - ledger.repositories.keys()
    keys = ledger.keys if removed else ()
    return sorted(removed.intersection(name for key in keys if (name := repository_of(key)) and key != tags_key(name)))


def _tags_list(name: str, tags: Sequence[str]) -> Entry:
    listed = write_json({"name": name, "tags": list(tags)})
    return _made(tags_key(name), Kind.TAGS_LIST, listed, JSON, repository=name)


def blob_entry(repository: str, digest: Digest, size: int, *, content: bytes | None = None) -> Entry:
    """A blob of `size` bytes as it stands in one repository."""
    return Entry(
        key=blob_key(repository, digest),
        digest=digest,
        size=size,
        headers=Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=digest),
        phase=PHASES[Kind.BLOB],
        content=content,
        repository=repository,
    )


def _manifest(repository: str, reference: str | Digest, stored: Stored, stores_headers: bool) -> Iterator[Entry]:
    """A manifest, and what web servers need to know about it. `reference` is a tag or a digest."""
    is_tag = isinstance(reference, str)
    kind = kind_of(reference)
    descriptor = stored.descriptor
    headers = Headers(
        content_type=descriptor.media_type,
        cache_control=MUTABLE if is_tag else IMMUTABLE,
        digest=descriptor.digest,
    )
    keys: dict[Key, tuple[Key, ...]] = {manifest_key(repository, reference): ()}
    if not stores_headers:
        # A tag and its sidecar cannot be switched together, and clients stop at a digest that is not that of the bytes:
        # so the sidecar of a tag says the type alone.
        sidecar = f"Content-Type: {descriptor.media_type}\n"
        if not is_tag:
            sidecar += f"Docker-Content-Digest: {descriptor.digest}\n"
        yield _made(sidecar_key(repository, reference), kind, sidecar.encode(), TEXT, repository=repository)
        if isinstance(reference, str) and kind is Kind.TAG:  # others are listings, which lie under no digest
            link = tag_link_text(repository, descriptor.digest)
            yield _made(tag_link_key(repository, reference), kind, link.encode(), TEXT, repository=repository)
        elif isinstance(reference, Digest) and stored.content is None:  # a layout's, so a tag may lead to it
            yield _made(digest_mark_key(repository, reference), kind, b"", TEXT, repository=repository)
        others = [other for other in TYPED if other != descriptor.media_type]
        keys[typed_key(repository, reference, descriptor.media_type)] = (
            tuple(typed_key(repository, reference, other) for other in others) if is_tag else ()
        )
    for key, evicts in keys.items():
        yield Entry(
            key=key,
            digest=descriptor.digest,
            size=descriptor.size,
            headers=headers,
            phase=PHASES[kind],
            rank=1 if kind is Kind.DELTA_INDEX else stored.rank,  # after the access file, which is of its phase
            content=stored.content,
            repository=repository,
            evicts=evicts,
        )


def _access_file(types: Mapping[str, str]) -> bytes:
    lines = [
        f'<Files "{reference}">\nForceType {media_type}\n</Files>\n' for reference, media_type in sorted(types.items())
    ]
    return "".join(lines).encode()


def _listings(ledger: Ledger, published: Sequence[RepositoryContents]) -> dict[Key, bytes]:
    """What leads to all repositories. A repository that was removed is no longer named."""
    names = write_json({"repositories": sorted(ledger.repositories)})
    return {CATALOG_KEY: names, **flatpak_index(ledger, published), **remote_files(ledger)}


def _beside(key: Key, data: bytes) -> Entry:
    """What stands beside the registry, or belongs to no repository."""
    parsed = classify(key)
    kind = parsed.kind if parsed is not None else Kind.SERVER_FILE
    headers = common_headers(kind) or Headers(content_type=TEXT, cache_control=MUTABLE)
    repository = parsed.repository if parsed is not None else None
    entry = _made(key, kind, data, headers.content_type, cache_control=headers.cache_control, repository=repository)
    return replace(entry, rank=1) if kind in _LEADS_TO_LISTINGS else entry


def _made(
    key: Key,
    kind: Kind,
    data: bytes,
    content_type: str,
    *,
    cache_control: str = MUTABLE,
    repository: str | None = None,
) -> Entry:
    """An entry whose bytes are made here. `kind` says when it is written: that of what it lies beside, or its own."""
    return Entry(
        key=key,
        digest=Digest.of(data),
        size=len(data),
        headers=Headers(content_type=content_type, cache_control=cache_control),
        phase=PHASES[kind],
        content=data,
        repository=repository,
    )


def check_case(tree: Tree) -> None:
    """For a target that ignores case. Raises CollisionError when two keys differ in nothing else."""
    found: dict[str, Key] = {}
    for key in tree.entries:
        if (parsed := classify(key)) is None or parsed.kind in {Kind.TYPED_COPY, Kind.SIDECAR, Kind.TAG_LINK}:
            continue  # what lies beside a tag collides with it
        other = found.setdefault(key.lower(), key)
        if other != key:
            raise CollisionError(
                f"{other} and {key} are one file where the target lies, since case is ignored there; rename one, "
                "or publish to another file system"
            )


def _check_folders(entries: Mapping[Key, Entry]) -> None:
    """In a directory a key cannot be a file and a folder at once: `foo/manifests` is a legal name, beside `foo` it is
    not always a possible one."""
    for key in entries:
        for folder in folders_of(key):
            if folder in entries:
                raise CollisionError(
                    f"{folder} would be a file, and a folder for {key}; rename one of the repositories or tags"
                )
