"""What the storage has lost or spoiled behind our back, and what must not be visible because of it.

Rule 1. Every key is doubted: it is read to its end, and its size and digest are compared with those that were written.
Rule 2. Only keys that the ledger knows are looked at, and only what is certainly missing or different is damage: a
        storage that fails is an error, never a reason to un-list anything.
Rule 3. Damaged content is deleted before it is written again. Its name is its digest, so no reader misses it, and a
        target may take an object that it wrote once for whole.
Rule 4. What leads to bytes that nobody has goes at once and not after the grace period: nobody could use it.
Rule 5. Whole bytes that the storage would serve with other headers, or to nobody, are written again where they are.
Rule 6. Where a large share of the images would have to go, a mistake is likelier than a loss (a volume that is not
        mounted, a half-done copy of the tree): then nothing is changed unless a person says so.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Final

from ..content import chunks
from ..errors import DeltapressError, ExitCode
from ..history.ledger import Ledger
from ..history.records.keys import KeyRecord
from ..history.records.repositories import RepositoryRecord
from ..history.resolver import ContentResolver
from ..history.versions import forget
from ..keys import (
    MANIFESTS,
    TYPED,
    Key,
    Kind,
    ParsedKey,
    blob_key,
    classify,
    manifest_key,
    sidecar_key,
    tag_link_key,
    typed_key,
)
from ..oci.digest import Digest
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, Index, is_document, parse_document, successors
from ..oci.media_types import OCI_INDEX
from ..oci.reference import is_reserved_tag
from ..parallel import threads
from ..progress import Progress
from ..targets.base import KeyMissingError, ReadableTarget, Stored, Target, read_bytes
from .write import headers_mark

MAX_LISTING: Final = 64 * 1024 * 1024
_LEADS_SOMEWHERE: Final = MANIFESTS | {Kind.REFERRERS, Kind.TAGS_LIST}
_MAX_SHOWN: Final = 80  # characters of a header
MISSING: Final = "is missing, and the ledger says that it was written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """What was wrong with a key, and what was done about it."""

    key: Key
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.remedy}"


class TooMuchLostError(DeltapressError):
    """A repair would un-list so large a share of the images that the storage as a whole is likely to be at fault."""

    exit_code = ExitCode.TARGET_FAILED


def is_content(key: Key, record: KeyRecord) -> bool:
    """True for a key that is named for the digest of its bytes, so that it holds them or must not be there."""
    parsed = classify(key)
    return parsed is not None and parsed.content_digest == record.digest


def find_damage(target: ReadableTarget, records: Mapping[Key, KeyRecord], *, progress: Progress) -> dict[Key, str]:
    """Read all of `records` and say what is wrong with each key that is not as it was written.

    Of pending keys nothing is certain: they are damaged only where they hold other bytes than their name says.
    Raises TargetError when the storage fails.
    """
    doubted = {key: record for key, record in records.items() if not record.is_pending or is_content(key, record)}
    found: dict[Key, str] = {}
    with progress.task("check", len(doubted)) as task, threads(target.properties.concurrency) as each:
        problems = each(lambda key: _problem(target, key, doubted[key]), doubted)
        for key, problem in zip(doubted, problems, strict=True):
            if problem is not None:
                found[key] = problem
            task.advance()
    return found


def find_misserved(target: ReadableTarget, records: Mapping[Key, KeyRecord], *, progress: Progress) -> dict[Key, str]:
    """Say of each key how its storage would serve it, where that is not as it was written.

    What a restore or a copy of the storage loses so are the types of objects, or the rights of files; the bytes may be
    right all the same. What nothing leads to any more is left as it is. Raises TargetError when the storage fails.
    """
    doubted = {key: record for key, record in records.items() if not record.is_pending and record.unreferenced is None}
    found: dict[Key, str] = {}
    with progress.task("check headers", len(doubted)) as task, threads(target.properties.concurrency) as each:
        problems = each(lambda key: _misserved(target.stat(key), key, doubted[key]), doubted)
        for key, problem in zip(doubted, problems, strict=True):
            if problem is not None:
                found[key] = problem
            task.advance()
    return found


def _misserved(stored: Stored | None, key: Key, record: KeyRecord) -> str | None:
    """None also for what is missing, which is damage, and where a web server decides on the headers."""
    if stored is None or stored.problem is not None or stored.headers is None:
        return None if stored is None else stored.problem
    headers = stored.headers
    if record.headers and headers_mark(headers) != record.headers:
        return (
            f"is served as {headers.content_type[:_MAX_SHOWN]!r} with Cache-Control "
            f"{headers.cache_control[:_MAX_SHOWN]!r}, and was written with other headers"
        )
    parsed = classify(key)
    digest = None if parsed is None else parsed.content_digest
    if digest is not None and headers.digest != digest:
        return "is served without its Docker-Content-Digest"
    return None


def check_losses(damage: int, *, lost: int, images: int, max_delete: float) -> None:
    """Raises TooMuchLostError when more than the share `max_delete` of the published `images` is `lost`.

    Lost are those that neither a layout nor another key can give back; `damage` counts the damaged keys.
    """
    if lost > max_delete * images:
        raise TooMuchLostError(
            f"repair would un-list {lost:,} of {images:,} images, more than max_delete = {max_delete:g} allows, since "
            f"{damage:,} files are missing or damaged; nothing was changed. Look whether all of the storage is there, "
            "and the lost images in the layouts; if they are really lost, run publish with --repair --force"
        )


def forget_lost(
    repositories: dict[str, RepositoryRecord],
    resolver: ContentResolver,
    *,
    ledger: Ledger,
    damage: Mapping[Key, str],
) -> tuple[list[str], list[str]]:
    """Forget the images of which a part is neither in the target nor in the layout of their repository.

    Changes `repositories`, and returns a line for each repository that lost something which was never written to its
    end, and one for each that lost something which was.
    """
    unfinished, lost = [], []
    for name, record in list(repositories.items()):
        there = resolver.available(name)
        gone = record.images.keys() - forget(record, there).images.keys()
        if not gone:
            continue
        # where a reader was led to the lost image, it must not be led back to an older one: that is for people to do
        withdrawn = {tag for tag in record.tags if _was_led_to(name, tag, record, gone, ledger, damage)}
        tags = {tag: known for tag, known in record.tags.items() if tag not in withdrawn}
        whole = forget(replace(record, tags=tags), there)
        repositories[name] = whole
        if not whole.images:
            del repositories[name]
        published = {
            digest for digest in gone if manifest_key(name, digest) in damage or _is_written(name, digest, ledger)
        }
        if never := sorted(digest.short for digest in gone - published):
            unfinished.append(f"{name}: forgotten, because it was never published completely: {', '.join(never)}")
        for digest in sorted(published):
            named = sorted(tag for tag in withdrawn if record.tags[tag].image == digest)
            lost.append(_loss(name, digest, named))
    return unfinished, lost


def remove_spoiled(target: Target, damage: Iterable[Key], records: Mapping[Key, KeyRecord]) -> None:
    """Delete the damaged content.

    The ledger is not saved for that: if it still claims what is gone, the next repair finds it missing. Raises
    TargetError.
    """
    with threads(target.properties.concurrency) as each:
        for _ in each(target.delete, [key for key in damage if is_content(key, records[key])]):
            pass


def broken_keys(ledger: Ledger, wanted: Container[Key], target: ReadableTarget) -> dict[Key, str]:
    """The manifests, tags and listings that lead to something which is not stored, with what that is.

    Those that are `wanted` were made from what is stored and are not read. Raises TargetError.
    """
    broken: dict[Key, str] = {}

    def is_stored(key: Key) -> bool:
        record = ledger.keys.get(key)
        if record is None or key in broken:
            return False
        return not record.is_pending or (is_content(key, record) and target.stat(key) is not None)

    repositories: set[str] = set()
    for key, record in sorted(ledger.keys.items(), key=lambda item: item[1].order):
        parsed = classify(key)
        if parsed is None or parsed.repository is None or parsed.kind not in _LEADS_SOMEWHERE or key in wanted:
            continue
        if record.is_pending and not target.stat(key):
            continue
        if parsed.kind is Kind.TAGS_LIST:
            lost = "a tag that is gone" if parsed.repository in repositories else None
        else:
            lost = _lost_successor(target, key, parsed, parsed.repository, is_stored, ledger.keys)
        if lost is None:
            continue
        broken[key] = f"leads to {lost}"
        repositories.add(parsed.repository)
        if parsed.kind in MANIFESTS and parsed.reference is not None:
            beside = [typed_key(parsed.repository, parsed.reference, media_type) for media_type in TYPED]
            beside.append(sidecar_key(parsed.repository, parsed.reference))
            if isinstance(parsed.reference, str):
                beside.append(tag_link_key(parsed.repository, parsed.reference))
            broken |= {other: broken[key] for other in beside if other in ledger.keys and other not in wanted}
    return broken


def _lost_successor(
    target: ReadableTarget,
    key: Key,
    parsed: ParsedKey,
    repository: str,
    is_stored: Callable[[Key], bool],
    known: Container[Key],
) -> str | None:
    """What a stored document leads to and is not stored, in words.

    Of an index, what the ledger has never `known` was not lost: its layout did not have it.
    """
    raw = read_bytes(target, key, limit=MAX_LISTING if parsed.digest is None else MAX_MANIFEST_SIZE)
    try:
        document = parse_document(raw, OCI_INDEX if parsed.kind is Kind.REFERRERS else "")
    except FieldError as error:
        return f"nothing that can be read ({error})"
    edges = successors(document)
    children = [child.digest for child in edges.documents]
    if parsed.kind is Kind.TAG and not is_reserved_tag(str(parsed.reference)):
        children.append(document.digest)
    if isinstance(document, Index) and parsed.kind is Kind.MANIFEST:
        for entry in document.manifests:
            places = manifest_key(repository, entry.digest), blob_key(repository, entry.digest)
            if not any(place in known for place in places):
                continue
            # a manifest may be a blob of an artifact, too, in which nobody looks for it
            as_manifest = is_document(entry) or places[0] in known
            if not (is_stored(places[0]) if as_manifest else is_stored(places[1])):
                return f"{entry.digest}, which is missing"
        return None
    for child in children:
        if not is_stored(manifest_key(repository, child)):
            return f"the manifest {child}, which is missing"
    for blob in edges.blobs:
        if not is_stored(blob_key(repository, blob.digest)):
            return f"the blob {blob.digest}, which is missing"
    return None


def _problem(target: ReadableTarget, key: Key, record: KeyRecord) -> str | None:
    hasher = record.digest.new_hasher()
    size = 0
    try:
        with target.open(key) as stream:
            for data in chunks(stream):
                hasher.update(data)
                size += len(data)
    except KeyMissingError:
        return None if record.is_pending else MISSING
    if hasher.hexdigest() == record.digest.hex:
        return None
    if size != record.size:
        return f"is damaged: it has {size:,} bytes, {record.size:,} were written"
    return f"is damaged: its {size:,} bytes have another digest"


def _was_led_to(
    repository: str,
    tag: str,
    record: RepositoryRecord,
    images: Set[Digest],
    ledger: Ledger,
    damage: Mapping[Key, str],
) -> bool:
    key = manifest_key(repository, tag)
    stored, image = ledger.keys.get(key), record.tags[tag].image
    return (
        image in images and stored is not None and stored.digest == image and (key in damage or not stored.is_pending)
    )


def _is_written(repository: str, digest: Digest, ledger: Ledger) -> bool:
    stored = ledger.keys.get(manifest_key(repository, digest))
    return stored is not None and not stored.is_pending


def _loss(repository: str, digest: Digest, tags: list[str]) -> str:
    named = f" (tag {', '.join(tags)})" if tags else ""
    return (
        f"{repository}: the image {digest.short}{named} was un-listed: some of its bytes are neither in a layout nor "
        "in the target; copy the image into its layout and publish again, or do without it"
    )
