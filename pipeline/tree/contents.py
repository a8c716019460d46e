"""Pure: the ledger + the deltas that are wanted -> the complete static tree, as keys, digests, headers and phases.

Rule 1. The tree is all that should be there; what the ledger knows beside it is unreferenced. So marking for the prune
        is assembling.
Rule 2. Entries are written in the order of their phases, and within a phase by rank: what a document leads to stands
        before it. README, "Guarantees", states what a reader may rely on.
Rule 3. A delta is listed only when it is stored, proven, and smaller than the policy demands: the clients of
        `_deltaindex` have no fallback. One delta manifest per target, one entry per (from, to).
Rule 4. Nothing here depends on the time of the run: the same ledger gives the same bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from ..deltas.plan import Wanted
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records import DeltaRecord, RepositoryRecord
from ..keys import (
    FLATPAK_INDEX_KEY,
    HTML,
    IMMUTABLE,
    JSON,
    MUTABLE,
    OCTET_STREAM,
    PING,
    PING_FOLDER_KEY,
    PING_KEY,
    TEXT,
    TYPED,
    Headers,
    Key,
    Phase,
    access_file_key,
    blob_key,
    manifest_key,
    parse_key,
    referrers_key,
    repository_of,
    sidecar_key,
    tags_key,
    typed_key,
)
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.media_types import DELTA_CONFIG, INDEXES, OCI_INDEX, OCI_MANIFEST, TAR_DIFF
from ..oci.reference import DELTA_INDEX, is_reserved_tag
from .flatpak import flatpak_index

EMPTY_JSON: Final = b"{}"
FROM: Final = "io.github.containers.delta.from"
TO: Final = "io.github.containers.delta.to"
TARGET: Final = "io.github.containers.delta.target"


class CollisionError(DeltapressError):
    """Two different things want the same key, or one wants a file where the other needs a folder."""


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
    """All that should be in the target, ledger and lock aside."""

    entries: Mapping[Key, Entry] = field(default_factory=dict)

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
    entries: dict[Key, Entry] = {}
    for entry in chain(
        _pings(stores_headers),
        chain.from_iterable(
            _repository(name, record, [want for want in wanted if want.repository == name], ledger, stores_headers)
            for name, record in sorted(ledger.repositories.items())
        ),
        _emptied(ledger),
        [_made(FLATPAK_INDEX_KEY, flatpak_index(ledger.repositories), JSON, MUTABLE, Phase.LISTINGS)],
        (_extra(key, data) for key, data in sorted(extras.items())),
    ):
        other = entries.get(entry.key)
        if other is not None and (other.digest, other.headers) != (entry.digest, entry.headers):
            raise CollisionError(
                f"{entry.key}: two different contents want this key; rename one of the repositories or tags"
            )
        if other is None or other.rank < entry.rank:
            entries[entry.key] = entry
    _check_folders(entries)
    return Tree(entries=entries)


def _pings(stores_headers: bool) -> Iterator[Entry]:
    """What clients ask for first: 200 is the whole answer (distribution-spec, end-1)."""
    yield _made(PING_KEY, EMPTY_JSON, JSON, PING, Phase.SERVERS)
    if stores_headers:
        yield _made(PING_FOLDER_KEY, b"", JSON, PING, Phase.SERVERS)


def _repository(
    name: str, record: RepositoryRecord, wanted: Sequence[Wanted], ledger: Ledger, stores_headers: bool
) -> Iterator[Entry]:
    deltas = list(_delta_manifests(wanted, ledger))
    delta_index = _index(delta.descriptor for delta in deltas)
    ranks = _ranks(record)
    documents = {
        document.digest: _Served(descriptor=document, rank=ranks[document.digest])
        for image in record.images.values()
        for document in image.documents
    }
    documents |= {delta.descriptor.digest: _Served(descriptor=delta.descriptor, content=delta.raw) for delta in deltas}
    referrers = _referrers(record)
    tags = {
        f"{subject.algorithm}-{subject.hex}": _Served(descriptor=_described(raw), content=raw, phase=Phase.REFERRERS)
        for subject, raw in referrers.items()
    }
    tags |= {
        tag: _Served(descriptor=record.images[known.image].root, phase=Phase.TAGS)
        for tag, known in record.tags.items()
        if known.image in record.images
    }
    if DELTA_INDEX in tags:
        raise CollisionError(f"{name}: the tag {DELTA_INDEX} is where clients look for deltas; give it another name")
    tags[DELTA_INDEX] = _Served(
        descriptor=_described(delta_index), content=delta_index, phase=Phase.DELTA_INDEX, rank=1
    )

    blobs = {Digest.of(EMPTY_JSON): len(EMPTY_JSON)}  # the config of every delta manifest
    blobs |= {blob.digest: blob.size for image in record.images.values() for blob in image.blobs}
    blobs |= {digest: size for delta in deltas for digest, size in delta.blobs.items()}
    yield from (blob_entry(name, digest, size) for digest, size in blobs.items())
    for digest, served in documents.items():
        yield from _manifest(name, digest, served, stores_headers)
        listing = referrers.get(digest, EMPTY_INDEX)
        yield _made(referrers_key(name, digest), listing, OCI_INDEX, MUTABLE, Phase.REFERRERS, repository=name)
    for digest, listing in referrers.items():
        yield _made(referrers_key(name, digest), listing, OCI_INDEX, MUTABLE, Phase.REFERRERS, repository=name)
    for tag, served in tags.items():
        yield from _manifest(name, tag, served, stores_headers)
    if not stores_headers:
        types = {
            str(reference): served.descriptor.media_type for reference, served in (*documents.items(), *tags.items())
        }
        # just before `_deltaindex` and the tags: Apache must know the type of what a tag leads to when it moves, and
        # with the order deltas-first it does not move until then
        yield _made(access_file_key(name), _access_file(types), TEXT, MUTABLE, Phase.DELTA_INDEX, repository=name)
    yield _tags_list(name, (tag for tag in tags if not is_reserved_tag(tag)))


def _emptied(ledger: Ledger) -> Iterator[Entry]:
    """A repository that was removed lists no tags, as long as something of it can still be pulled."""
    for name in still_there(ledger):
        yield _tags_list(name, ())


def still_there(ledger: Ledger) -> list[str]:
    """The repositories that were removed as a whole, and of which more is stored than their list of tags."""
    removed = ledger.removals.keys() - ledger.repositories.keys()
    keys = ledger.keys if removed else ()
    found = {name for key in keys if (name := repository_of(key)) in removed and key != tags_key(name)}
    return sorted(found)


def _tags_list(name: str, tags: Iterable[str]) -> Entry:
    listed = _json({"name": name, "tags": sorted(tags)})
    return _made(tags_key(name), listed, JSON, MUTABLE, Phase.LISTINGS, repository=name)


def _ranks(record: RepositoryRecord) -> dict[Digest, int]:
    """Manifests first, then the indexes, each after those that it may hold.

    In the documents of an image children stand before parents. Where an index is part of several images, the smallest
    count of indexes before it is taken: an index that holds it has a larger one in every image.
    """
    ranks: dict[Digest, int] = {}
    for image in record.images.values():
        before = 0
        for document in image.documents:
            before += document.media_type in INDEXES
            rank = before if document.media_type in INDEXES else 0
            ranks[document.digest] = min(rank, ranks.get(document.digest, rank))
    return ranks


def blob_entry(repository: str, digest: Digest, size: int) -> Entry:
    """A blob of `size` bytes as it stands in one repository."""
    return Entry(
        key=blob_key(repository, digest),
        digest=digest,
        size=size,
        headers=Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=digest),
        phase=Phase.BLOBS,
        content=EMPTY_JSON if digest == Digest.of(EMPTY_JSON) else None,
        repository=repository,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A manifest or an index as it stands under one reference."""

    descriptor: Descriptor
    content: bytes | None = None
    phase: Phase = Phase.MANIFESTS
    rank: int = 0


def _manifest(repository: str, reference: str | Digest, served: _Served, stores_headers: bool) -> Iterator[Entry]:
    """A manifest, and what web servers need to know about it. `reference` is a tag or a digest."""
    is_tag = isinstance(reference, str)
    descriptor = served.descriptor
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
        yield _made(
            sidecar_key(repository, reference), sidecar.encode(), TEXT, MUTABLE, served.phase, repository=repository
        )
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
            phase=served.phase,
            rank=served.rank,
            content=served.content,
            repository=repository,
            evicts=evicts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeltaManifest:
    """The deltas into one image manifest. `blobs`: what it leads to, with sizes in bytes."""

    raw: bytes
    descriptor: Descriptor
    blobs: Mapping[Digest, int]


def _delta_manifests(wanted: Sequence[Wanted], ledger: Ledger) -> Iterator[_DeltaManifest]:
    """One for each target that has deltas, in the order of their digests."""
    targets: dict[Digest, dict[tuple[str, str], tuple[Wanted, DeltaRecord]]] = {}
    for want in wanted:
        record = ledger.deltas.get(want.key)
        if record is not None and want.accepts(record):
            pair = str(want.key.from_diff_id), str(want.key.to_diff_id)
            targets.setdefault(want.target, {})[pair] = want, record
    for target, pairs in sorted(targets.items()):
        layers, blobs = [], {}
        for (from_diff_id, to_diff_id), (_, delta) in sorted(pairs.items()):
            if delta.digest is None:
                continue
            blobs[delta.digest] = delta.size
            layer = Descriptor(
                media_type=TAR_DIFF,
                digest=delta.digest,
                size=delta.size,
                annotations={FROM: from_diff_id, TO: to_diff_id},
            )
            layers.append(layer.to_json())
        config = Descriptor(media_type=DELTA_CONFIG, digest=Digest.of(EMPTY_JSON), size=len(EMPTY_JSON))
        raw = _json(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": config.to_json(),
                "layers": layers,
                "annotations": {TARGET: str(target)},
            }
        )
        platform = next(want.platform for want, _ in pairs.values())
        descriptor = Descriptor(
            media_type=OCI_MANIFEST,
            digest=Digest.of(raw),
            size=len(raw),
            platform=platform,
            annotations={TARGET: str(target)},
        )
        yield _DeltaManifest(raw=raw, descriptor=descriptor, blobs=blobs)


def _referrers(record: RepositoryRecord) -> dict[Digest, bytes]:
    """For each subject the index of what is attached to it (distribution-spec, "Listing Referrers")."""
    attached: dict[Digest, dict[Digest, Descriptor]] = {}
    for image in record.images.values():
        for document in image.documents:
            if document.digest in image.subjects:
                attached.setdefault(image.subjects[document.digest], {})[document.digest] = document
    return {subject: _index(found for _, found in sorted(by_digest.items())) for subject, by_digest in attached.items()}


def _index(manifests: Iterable[Descriptor]) -> bytes:
    # mediaType inside the document: flatpak then works with any Content-Type
    return _json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json() for entry in manifests]})


def _access_file(types: Mapping[str, str]) -> bytes:
    lines = [
        f'<Files "{reference}">\nForceType {media_type}\n</Files>\n' for reference, media_type in sorted(types.items())
    ]
    return "".join(lines).encode()


def _described(raw: bytes) -> Descriptor:
    return Descriptor(media_type=OCI_INDEX, digest=Digest.of(raw), size=len(raw))


def _extra(key: Key, data: bytes) -> Entry:
    is_page = key.endswith(".html")
    return _made(key, data, HTML if is_page else TEXT, MUTABLE, Phase.LISTINGS if is_page else Phase.SERVERS)


def _made(
    key: Key, data: bytes, content_type: str, cache_control: str, phase: Phase, *, repository: str | None = None
) -> Entry:
    """An entry whose bytes are made here."""
    return Entry(
        key=key,
        digest=Digest.of(data),
        size=len(data),
        headers=Headers(content_type=content_type, cache_control=cache_control),
        phase=phase,
        content=data,
        repository=repository,
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def check_case(tree: Tree) -> None:
    """For a target that ignores case. Raises CollisionError when two keys differ in nothing else."""
    found: dict[str, Key] = {}
    for key in filter(parse_key, tree.entries):  # what lies beside a tag collides with it
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
        parts = key.split("/")
        for end in range(1, len(parts)):
            folder = Key("/".join(parts[:end]))
            if folder in entries:
                raise CollisionError(
                    f"{folder} would be a file, and a folder for {key}; rename one of the repositories or tags"
                )


EMPTY_INDEX: Final = _index(())
