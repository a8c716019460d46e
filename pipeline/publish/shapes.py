"""What a key is, told without a ledger: ours or somebody else's, and when a publisher writes it.

Rule 1. By its shape alone a key is ours; that says nothing of its bytes.
Rule 2. Within a phase manifests are written before the indexes that lead to them. That no key tells, so the documents
        are read.
"""

from collections.abc import Iterable
from typing import Final

from ..keys import (
    FLATPAK_INDEX_KEY,
    PAGE_KEY,
    PING_FOLDER_KEY,
    PING_KEY,
    PRIVATE,
    TYPED,
    Key,
    Phase,
    parse_key,
    server_key,
)
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, Index, parse_document
from ..oci.reference import is_repository, is_tag
from ..targets.base import KeyMissingError, ReadableTarget, TooLargeError, read_bytes

_CONTENT: Final = {"blobs": Phase.BLOBS, "manifests": Phase.MANIFESTS, "referrers": Phase.REFERRERS}
_COMMON: Final = frozenset({PING_KEY, PING_FOLDER_KEY, PAGE_KEY, FLATPAK_INDEX_KEY, Key(".htaccess")})
_SERVERS: Final = server_key("")


def phase_of(key: Key) -> Phase | None:
    """When a publisher writes a key of this shape; None for what no publisher writes."""
    if key in _COMMON or key.startswith(_SERVERS):
        return Phase.LISTINGS
    manifest = _manifest_beside(key)
    parsed = parse_key(manifest or key)
    if parsed is None or not is_repository(parsed.repository):
        return None
    if manifest is not None and parsed.kind != "manifests":
        return None
    if parsed.kind == "tags":
        return Phase.LISTINGS if parsed.digest is None else None
    if parsed.digest is None:
        return Phase.TAGS if parsed.kind == "manifests" and is_tag(parsed.name) else None
    return _CONTENT.get(parsed.kind)


def document_ranks(target: ReadableTarget, keys: Iterable[Key]) -> dict[Key, int]:
    """For each manifest or index by digest among `keys`, and what lies beside it, a rank above that of all it leads to.

    What cannot be read leads to nothing. Raises TargetError.
    """
    copies: dict[Key, list[Key]] = {}
    for key in keys:
        manifest = _manifest_beside(key) or key
        parsed = parse_key(manifest)
        if parsed is not None and parsed.kind == "manifests" and parsed.digest is not None:
            copies.setdefault(Key(manifest), []).append(key)
    left = {manifest: _children(target, manifest, found) for manifest, found in copies.items()}
    ranks: dict[Key, int] = {}
    rank = 0
    while left:
        # digests make no circle, but damage may
        free = {manifest for manifest, children in left.items() if not children & left.keys()} or set(left)
        ranks |= {key: rank for manifest in free for key in copies[manifest]}
        left = {manifest: children for manifest, children in left.items() if manifest not in free}
        rank += 1
    return ranks


def _children(target: ReadableTarget, manifest: Key, copies: Iterable[Key]) -> frozenset[Key]:
    for key in copies:
        try:
            document = parse_document(read_bytes(target, key, limit=MAX_MANIFEST_SIZE), "")
        except (FieldError, TooLargeError, KeyMissingError):
            continue  # a sidecar, or damaged, or gone
        folder = manifest.rpartition("/")[0]
        entries = document.manifests if isinstance(document, Index) else ()
        return frozenset(Key(f"{folder}/{entry.digest}") for entry in entries)
    return frozenset()


def _manifest_beside(key: Key) -> str | None:
    """The manifest of which `key` is the typed copy or the sidecar; any tag for the access file of them all."""
    for folder in TYPED.values():
        if key.startswith(prefix := f"{PRIVATE}/typed/{folder}/"):
            return key.removeprefix(prefix)
    place, _, name = key.rpartition("/")
    if place.endswith("/manifests/.web") and name.endswith(".meta"):
        return f"{place.removesuffix('/.web')}/{name.removesuffix('.meta')}"
    if place.endswith("/manifests") and name == ".htaccess":
        return f"{place}/any"
    return None
