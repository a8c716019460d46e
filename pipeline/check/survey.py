"""What of a host is looked at: some of its repositories, tags, manifests and blobs, within bounds.

Rule 1. Documents are read by their own words: what a server calls them is for the probes.
Rule 2. What is left out is said.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ..errors import DeltapressError, ExitCode
from ..keys import CATALOG_KEY, blob_key, manifest_key, referrers_key, referrers_tag, tags_key
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..oci.manifest import MAX_MANIFEST_SIZE, Document, Index, parse_document, successors
from ..oci.reference import DELTA_INDEX, is_repository, is_reserved_tag, is_tag
from .answers import Answer
from .connection import Host, SpentError

T = TypeVar("T")

MAX_REPOSITORIES: Final = 5
MAX_TAGS: Final = 6
MAX_DOCUMENTS: Final = 24  # by digest, of a repository
MAX_BLOBS: Final = 8
MAX_LISTINGS: Final = 6
USUAL_TAG: Final = "latest"  # what is tried where tags are not listed
MAX_LISTING: Final = 16 << 20


class NoRepositoryError(DeltapressError):
    """No repository is named, and none is listed."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, host: Host, catalog: Answer, *, is_empty: bool) -> None:
        what = "lists no repository" if is_empty else f"is no list of repositories ({catalog.said})"
        super().__init__(f"{host.address}{catalog.path}: {what}; name one that is published there with --repository")


class NothingPublishedError(DeltapressError):
    """No image was found. Likely a mistyped name, which must not pass for a host without faults."""

    exit_code = ExitCode.VERIFICATION_FAILED

    def __init__(self, host: Host, tags_list: Answer) -> None:
        super().__init__(
            f"{host.address}{tags_list.path}: answers {tags_list.said} and leads to no image that could be looked at; "
            "correct the name, or publish something there"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """A manifest that is not there. `named_by` is what leads to it, for people; `index` is its digest, if it is one."""

    named_by: str
    index: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """One repository as it was found.

    tags: those that are looked at, with the documents they lead to.
    documents: those by digest that are looked at.
    listed: all tags that tags/list names; None where it is not to be read.
    gone: manifests that something leads to and that are not there.
    listings: `_deltaindex` and the tags `sha256-<hex>`, as far as they are there.
    blobs: some of those that the documents name.
    """

    name: str
    tags: Mapping[str, Document]
    documents: Mapping[Digest, Document]
    listed: tuple[str, ...] | None
    gone: Mapping[str | Digest, Gone]
    listings: Mapping[str, Document]
    blobs: tuple[Descriptor, ...]

    def path(self, reference: str | Digest) -> str:
        return f"/{manifest_key(self.name, reference)}"

    def blob_path(self, digest: Digest) -> str:
        return f"/{blob_key(self.name, digest)}"

    def referrers_path(self, digest: Digest) -> str:
        return f"/{referrers_key(self.name, digest)}"

    @property
    def image_tags(self) -> tuple[str, ...]:
        """All tags of images that are known, whether or not they are looked at."""
        return _of_images(self.listed) if self.listed is not None else tuple(self.tags)

    @property
    def references(self) -> Iterator[tuple[str | Digest, Document]]:
        """All manifests that are looked at, by tags and by digests."""
        yield from self.tags.items()
        yield from self.listings.items()
        yield from self.documents.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A host, and what of it is looked at. `left_out` are sentences about what is not."""

    host: Host
    repositories: tuple[Repository, ...]
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Walk:
    """What was found of a repository so far."""

    tags: dict[str, Document] = field(default_factory=dict)
    documents: dict[Digest, Document] = field(default_factory=dict)
    gone: dict[str | Digest, Gone] = field(default_factory=dict)


def survey(host: Host, names: Sequence[str]) -> Site:
    """Look at `names`, or, where there are none, at what the catalog lists.

    Raises:
        NoRepositoryError: no repository is named, and none is listed.
        NothingPublishedError: no repository has an image that can be found.
    """
    left_out: list[str] = []
    if not names:
        answer = host.get(f"/{CATALOG_KEY}", limit=MAX_LISTING)
        listed = catalog(answer)
        if not listed:
            raise NoRepositoryError(host, answer, is_empty=listed is not None)
        names = spread(listed, MAX_REPOSITORIES)
        if len(names) < len(listed):
            left_out.append(f"{len(names)} of {len(listed):,} repositories were looked at: {', '.join(names)}")
    repositories = []
    for name in names:
        try:
            repositories.append(_repository(host, name, left_out))
        except SpentError as error:
            left_out.append(f"{error}: neither {name} nor what comes behind it was looked at")
            break
    if not any(repository.tags or repository.gone for repository in repositories):
        raise NothingPublishedError(host, host.get(f"/{tags_key(names[0])}", limit=MAX_LISTING))
    return Site(host=host, repositories=tuple(repositories), left_out=tuple(left_out))


def catalog(answer: Answer) -> tuple[str, ...] | None:
    """The repositories that _catalog names; None where it is no such list."""
    return _texts(answer, "repositories", is_repository)


def tags_of(answer: Answer) -> tuple[str, ...] | None:
    """The tags that tags/list names; None where it is no such list."""
    return _texts(answer, "tags", is_tag)


def document_in(answer: Answer) -> Document | None:
    """The manifest or index that came, whatever it was called."""
    raw = answer.decoded(limit=MAX_MANIFEST_SIZE) if answer.is_ok and answer.is_whole else None
    try:
        return parse_document(raw) if raw is not None else None
    except FieldError:
        return None


def digest_like(reference: str | Digest, raw: bytes) -> Digest:
    """The digest of `raw`, by the algorithm of `reference` where that is one."""
    if not isinstance(reference, Digest):
        return Digest.of(raw)
    hasher = reference.new_hasher()
    hasher.update(raw)
    return Digest.of_hasher(reference.algorithm, hasher)


def spread(items: Sequence[T], most: int) -> tuple[T, ...]:
    """`most` of them: half from the beginning, half from the end."""
    if len(items) <= most:
        return tuple(items)
    first = most - most // 2
    return (*items[:first], *items[len(items) - (most - first) :])


def _repository(host: Host, name: str, left_out: list[str]) -> Repository:
    walk = _Walk()
    listed = tags_of(host.get(f"/{tags_key(name)}", limit=MAX_LISTING))
    images = _of_images(listed or ())
    tags = spread(images, MAX_TAGS)
    if len(tags) < len(images):
        left_out.append(f"{name}: {len(tags)} of {len(images):,} tags were looked at: {', '.join(tags)}")
    for tag in tags:
        document = _document(host, name, tag, walk, Gone(named_by="tags/list"))
        if document is not None:
            walk.tags[tag] = document
    if listed is None and (document := document_in(host.get(f"/{manifest_key(name, USUAL_TAG)}"))) is not None:
        walk.tags[USUAL_TAG] = document
    if not walk.tags:
        left_out.append(f"{name}: no tag could be found, so no image of it was looked at")
    left = sum(
        _follow(host, name, document.digest, walk, Gone(named_by=f"the tag {tag}"))
        for tag, document in walk.tags.items()
    )
    if left:
        left_out.append(f"{name}: {len(walk.documents)} manifests were looked at; {left:,} more, at least, were not")
    blobs = _blobs([*walk.documents.values(), *walk.tags.values()])
    sample = spread(blobs, MAX_BLOBS)  # small ones, which can be read whole, and large ones
    if len(sample) < len(blobs):
        left_out.append(f"{name}: {len(sample)} of {len(blobs):,} blobs were looked at")
    return Repository(
        name=name,
        tags=walk.tags,
        documents=walk.documents,
        listed=listed,
        gone=walk.gone,
        listings=_listings(host, name, spread([*walk.documents], MAX_LISTINGS)),
        blobs=sample,
    )


def _of_images(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(tag for tag in tags if not is_reserved_tag(tag))


def _document(host: Host, name: str, reference: str | Digest, walk: _Walk, otherwise: Gone) -> Document | None:
    found = document_in(host.get(f"/{manifest_key(name, reference)}"))
    if found is None:
        walk.gone[reference] = otherwise
    return found


def _follow(host: Host, name: str, digest: Digest, walk: _Walk, otherwise: Gone) -> int:
    """Look at a manifest and those that it leads to; return how many there was no room for."""
    waiting = [(digest, otherwise)]
    while waiting and len(walk.documents) < MAX_DOCUMENTS:
        digest, otherwise = waiting.pop(0)
        if digest in walk.documents or digest in walk.gone:
            continue
        document = _document(host, name, digest, walk, otherwise)
        if document is None:
            continue
        walk.documents[digest] = document
        if isinstance(document, Index):
            here = Gone(named_by=f"the index {digest.short}", index=digest)
            waiting += [(child.digest, here) for child in successors(document).documents]
    return len({digest for digest, _ in waiting} - walk.documents.keys() - walk.gone.keys())


def _listings(host: Host, name: str, digests: Sequence[Digest]) -> dict[str, Document]:
    found = {}
    for tag in (DELTA_INDEX, *map(referrers_tag, digests)):
        document = document_in(host.get(f"/{manifest_key(name, tag)}"))
        if document is not None:
            found[tag] = document
    return found


def _blobs(documents: Iterable[Document]) -> list[Descriptor]:
    """What they name, by size."""
    blobs = {blob.digest: blob for document in documents for blob in successors(document).blobs}
    return sorted(blobs.values(), key=lambda blob: (blob.size, blob.digest))


def _texts(answer: Answer, name: str, is_legal: Callable[[str], bool]) -> tuple[str, ...] | None:
    raw = answer.decoded(limit=MAX_LISTING) if answer.is_ok and answer.is_whole else None
    try:
        found = Fields(parse_json_object(raw or b"", max_objects=None))
        # what is no legal name must not become a part of a path
        return tuple(filter(is_legal, found.list_of_texts(name))) if name in found.names() else None
    except FieldError:
        return None
