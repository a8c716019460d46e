"""Digests of stored bytes, and DiffIDs of uncompressed layers.

Rule 1. A `Digest` in hand is valid: only `Digest.parse` and `Digest.of` make one.
Rule 2. Only sha256 and sha512 are known; the spec registers no others that clients read (image-spec, descriptor.md,
        "Registered algorithms").
Rule 3. A `DiffID` is another type, so that the type checker stops a mix-up of compressed and uncompressed.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol, Self

from ..errors import DeltapressError

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_LOWER_HEX = re.compile(r"[0-9a-f]+")


class DigestError(DeltapressError):
    """A text that is not a digest. `text` holds at most 80 characters of it."""

    def __init__(self, text: str) -> None:
        self.text = text[:80]
        super().__init__(
            f"{self.text!r} is not a digest; one is sha256:<64 lower-case hex digits>, or sha512: with 128"
        )


class Hasher(Protocol):
    """What hashlib's objects have in common, as far as it is used here."""

    def update(self, data: bytes | bytearray | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True, order=True)
class _Hash:
    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `sha256:<64 lower-case hex digits>` (or sha512, 128 digits).

        Raises:
            DigestError: for anything else.
        """
        algorithm, colon, encoded = text.partition(":")
        if not colon or _HEX_LENGTH.get(algorithm) != len(encoded) or not _LOWER_HEX.fullmatch(encoded):
            raise DigestError(text)
        return cls(algorithm, encoded)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The sha256 of `data`."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    @classmethod
    def of_hasher(cls, algorithm: str, hasher: Hasher) -> Self:
        """What `hasher`, made by `new_hasher` of a hash of that algorithm, has seen so far."""
        return cls(algorithm, hasher.hexdigest())

    def new_hasher(self) -> Hasher:
        """An empty hasher of this algorithm."""
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @property
    def short(self) -> str:
        """For people: enough of it to find the rest."""
        return f"{self.algorithm}:{self.hex[:12]}…"


class Digest(_Hash):
    """The digest of bytes as they are stored and served: a blob, a manifest, an index."""

    __slots__ = ()


class DiffID(_Hash):
    """The digest of a layer's uncompressed tar (image-spec, config.md, "Layer DiffID")."""

    __slots__ = ()
