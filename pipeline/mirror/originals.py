"""The bytes of one repository at the source, of which what the target has already is not read again."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ..content import BytesContent, Content
from ..history.ledger import Ledger
from ..history.resolver import ContentResolver
from ..keys import Key, blob_key, manifest_key
from ..oci.digest import Digest
from ..targets.base import ContentChangedError, KeyMissingError, ReadableTarget, TargetError
from ..targets.stored import StoredContent

# Documents that are kept to be written without another request, of all repositories: of more, each is read once more.
MAX_KEPT: Final = 64 * 1024 * 1024
# A source that fails again and again is not asked for every blob that is left.
_MAX_FAILURES: Final = 3


@dataclass(slots=True)
class Room:
    """How many bytes may still be kept."""

    left: int = MAX_KEPT


@dataclass(slots=True, kw_only=True)
class Originals:
    """Documents and blobs of `repository` at `source`, as images are read from them (a `BlobSource`).

    `hidden` are manifests of platforms that nobody asked for. `read` are the documents that were read in this run, as
    far as there is `room` for them. `failures` counts the blobs that the source failed to give.
    """

    source: ReadableTarget
    repository: str
    own: Ledger
    resolver: ContentResolver
    room: Room
    failures: int = 0
    hidden: set[Digest] = field(default_factory=set)
    read: dict[Digest, bytes] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """For messages, in which the name of the repository says more than the source, of which there is one."""
        return Path(self.repository)

    def blob(self, digest: Digest) -> Content | None:
        """Raises TargetError."""
        if digest in self.hidden:
            return None
        if digest in self.read:
            return BytesContent(self.read[digest])
        if (here := self._here(digest)) is not None:
            return here
        for key in (manifest_key(self.repository, digest), blob_key(self.repository, digest)):
            stored = self.source.stat(key)
            if stored is not None:
                content = StoredContent(target=self.source, key=key, size=stored.size)
                return _Kept(content=content, digest=digest, originals=self)
        return None

    def keep(self, digest: Digest, data: bytes) -> None:
        if digest not in self.read and len(data) <= self.room.left:
            self.room.left -= len(data)
            self.read[digest] = data

    def is_here(self, digest: Digest) -> bool:
        """True for what the target has, and this repository has a right to."""
        return digest in self.resolver.found and digest in self.resolver.had.get(self.repository, ())

    def _here(self, digest: Digest) -> Content | None:
        if not self.is_here(digest):
            return None
        key = self.resolver.found[digest]
        return StoredContent(target=self.resolver.target, key=key, size=self.own.keys[key].size)

    def original(self, digest: Digest, size: int, *, is_document: bool) -> Content:
        """What is to be copied, as it lies at the source."""
        if digest in self.read:
            return BytesContent(self.read[digest])
        key = (manifest_key if is_document else blob_key)(self.repository, digest)
        return _Original(originals=self, key=key, size=size)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A document or a config, which is small, and kept once it was read."""

    content: Content
    digest: Digest
    originals: Originals

    @property
    def size(self) -> int:
        return self.content.size

    def open(self) -> BinaryIO:
        with self.content.open() as stream:
            # of what became larger meanwhile no more than was promised, and its digest tells
            data = stream.read(self.size)
        self.originals.keep(self.digest, data)
        return io.BytesIO(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Original:
    """A blob that may be gone by now, or that the source fails to give: then its image is left out, and the run goes on
    with the others."""

    originals: Originals
    key: Key
    size: int

    def open(self) -> BinaryIO:
        try:
            return self.originals.source.open(self.key)
        except KeyMissingError as error:
            raise ContentChangedError("is not at the source (any more)", key=self.key) from error
        except TargetError as error:
            self.originals.failures += 1
            if self.originals.failures > _MAX_FAILURES:
                raise
            raise ContentChangedError(f"could not be read at the source: {error.problem}", key=self.key) from error
