"""Covers that were found, kept for the other deltas that make the same tar.

Old versions of an image hold mostly the same files: one that only the newest version changed is matched with the same
old file for every delta.

Rule 1. A cover depends on the two contents alone, so they are the key, by their digest.
Rule 2. Who asks while somebody else is still searching searches too: a task waits for no other.
Rule 3. What is kept has a bound. What does not fit is found again.
"""

import hashlib
import threading

from .cover import CoverArray
from .matchers import Matcher

_MOST_KEPT = 16 << 20  # bytes
_ENTRY = 300  # bytes that one takes beside its numbers


class CoverMemory:
    """Covers by what they were found in. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._covers: dict[bytes, CoverArray] = {}
        self._left = _MOST_KEPT

    def get(self, key: bytes) -> CoverArray | None:
        """What was put under `key`."""
        return self._covers.get(key)

    def put(self, key: bytes, cover: CoverArray) -> None:
        """Keep `cover`, if there is room for it."""
        with self._lock:
            size = cover.nbytes + _ENTRY
            if key not in self._covers and size <= self._left:
                self._left -= size
                self._covers[key] = cover


class Remembering:
    """A `Matcher` that asks another one only for what is not in `memory` yet."""

    def __init__(self, matcher: Matcher, memory: CoverMemory) -> None:
        self._matcher = matcher
        self._memory = memory

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        """What the other one finds, or has found."""
        key = b"".join((type(self._matcher).__name__.encode(), _digest(old), _digest(new)))
        cover = self._memory.get(key)
        if cover is None:
            cover = self._matcher.cover(old, new)
            self._memory.put(key, cover)
        return cover

    def memory(self, old: int, new: int) -> int:
        """What the other one needs."""
        return self._matcher.memory(old, new)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()
