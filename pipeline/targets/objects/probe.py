"""Whether a store gives back what it was given.

Rule 1. A gateway that does not know how an SDK sends a body (in signed chunks, with a checksum behind them) may take
        it, answer 200, and keep the framing as a part of the object; another forgets headers. Nobody notices but
        clients. So a store is believed only after an object was read back and compared, before anything is published.
Rule 2. The store is asked once, but the SDK before it may change any day. So the lock, which every run writes, is read
        back too, unless its ETag is the MD5 of what was sent (as it is where nothing is encrypted by a key of its own).
"""

import hashlib
from typing import Final

from ...keys import MUTABLE, Key
from ...oci.media_types import OCI_INDEX
from ..base import KeyMissingError, TargetError
from .store import ObjectHeaders, ObjectStore

PROBE: Final = b'{"probe": "deltapress"}\n'
PROBE_HEADERS: Final = ObjectHeaders(
    content_type=OCI_INDEX, cache_control=MUTABLE, metadata={"deltapress-probe": "sha256:0123456789abcdef"}
)
_MORE: Final = 4096  # bytes of framing, at most, that are read beside what was sent
_MAX_SHOWN: Final = 100  # characters of a header


class AlteredError(TargetError):
    """The store keeps something else than it was sent."""


def check_kept(store: ObjectStore, key: Key, data: bytes, headers: ObjectHeaders, *, etag: str = "") -> None:
    """Compare what the store has under `key`, which was put there with this `etag`, with what was sent.

    Raises:
        AlteredError: it differs.
        TargetError: the storage failed.
    """
    if etag == hashlib.md5(data, usedforsecurity=False).hexdigest():
        return
    try:
        info, body = store.get(key)
    except KeyMissingError:
        raise AlteredError(f"was stored just now and is not there (target {store.url})", key=key) from None
    try:
        kept = b""
        while len(kept) <= len(data) + _MORE and (piece := body.read(len(data) + _MORE + 1 - len(kept))):
            kept += piece
    finally:
        body.close()
    if kept != data:
        framing = ", with the framing of the transfer around them" if data in kept else ""
        raise AlteredError(
            f"the server keeps {info.size:,} bytes{framing}, where {len(data):,} were sent; every object would be "
            f"damaged, so nothing was published. {store.remedy} (target {store.url})",
            key=key,
        )
    for name, sent, found in _compared(headers, info.headers):
        if found != sent:
            keeps_headers = "Use a server that keeps the headers of objects, and no proxy that changes them"
            raise AlteredError(
                f"the server keeps {name} {found[:_MAX_SHOWN]!r}, where {sent!r} was sent; clients would misread what "
                f"they are served, so nothing was published. {store.remedy if _is_encoding(name) else keeps_headers} "
                f"(target {store.url})",
                key=key,
            )


def _is_encoding(name: str) -> bool:
    """True for what comes from the way in which a body was sent, as its framing does."""
    return name == "Content-Encoding"


def _compared(sent: ObjectHeaders, found: ObjectHeaders) -> list[tuple[str, str, str]]:
    return [
        ("Content-Type", sent.content_type, found.content_type),
        ("Cache-Control", sent.cache_control, found.cache_control),
        ("Content-Encoding", sent.content_encoding or "", found.content_encoding or ""),
        *((f"the metadata {name}", value, found.metadata.get(name, "")) for name, value in sent.metadata.items()),
    ]
