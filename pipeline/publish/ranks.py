"""In which order the manifests of a tree are written and deleted where no ledger says it.

Within a phase manifests are written before the indexes that lead to them. That no key tells, so the documents are read.
"""

from collections.abc import Iterable

from ..keys import Key, Kind, classify, manifest_key
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, Index, parse_document
from ..targets.base import KeyMissingError, ReadableTarget, TooLargeError, read_bytes


def document_ranks(target: ReadableTarget, keys: Iterable[Key]) -> dict[Key, int]:
    """For each manifest or index by digest among `keys`, and what lies beside it, a rank above that of all it leads to.

    What cannot be read leads to nothing. Raises TargetError.
    """
    copies: dict[Key, list[Key]] = {}
    repositories: dict[Key, str] = {}
    for key in keys:
        parsed = classify(key)
        if parsed is None or parsed.repository is None or parsed.digest is None:
            continue
        if parsed.kind in {Kind.MANIFEST, Kind.TYPED_COPY, Kind.SIDECAR}:
            manifest = manifest_key(parsed.repository, parsed.digest)
            copies.setdefault(manifest, []).append(key)
            repositories[manifest] = parsed.repository
    left = {manifest: _children(target, repositories[manifest], found) for manifest, found in copies.items()}
    ranks: dict[Key, int] = {}
    rank = 0
    while left:
        # digests make no circle, but damage may
        free = {manifest for manifest, children in left.items() if not children & left.keys()} or set(left)
        ranks |= {key: rank for manifest in free for key in copies[manifest]}
        left = {manifest: children for manifest, children in left.items() if manifest not in free}
        rank += 1
    return ranks


def _children(target: ReadableTarget, repository: str, copies: Iterable[Key]) -> frozenset[Key]:
    for key in copies:
        try:
            document = parse_document(read_bytes(target, key, limit=MAX_MANIFEST_SIZE), "")
        except (FieldError, TooLargeError, KeyMissingError):
            continue  # a sidecar, or damaged, or gone
        # whatever their media types say: clients look at the content, too
        entries = document.manifests if isinstance(document, Index) else ()
        return frozenset(manifest_key(repository, entry.digest) for entry in entries)
    return frozenset()
