"""Pure: which deltas are taken back, though the images stay, and how they stay so.

Rule 1. All deltas can be retracted, those of a repository, those into an image, those out of an old image, or a single
        one. What is retracted is not wanted: it is neither listed nor made.
Rule 2. The ledger remembers it by its name, which is what stands on the command line, until it is undone. A tag stands
        for whatever it points to. An old image is remembered by its digest, since what lies behind a tag may change. A
        single delta is remembered by its layers, too: they name it when its blob is long gone.
Rule 3. An image is retracted on each of its platforms, and under each index that holds it.
Rule 4. Nothing is deleted here. What no image wants any more is, after its grace period; until then an undo lists it
        again at once.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from ..errors import DeltapressError, ExitCode
from ..oci.digest import Digest, DigestError
from ..oci.reference import is_tag
from .ledger import Ledger
from .records.deltas import DeltaKey, RetractionRecord
from .records.repositories import RepositoryRecord
from .removal import Removable

_ALL: Final = "--all"
_SOURCE: Final = "--source"


class RetractionError(DeltapressError):
    """No deltas go by that name, or it says nothing clear."""

    exit_code = ExitCode.BAD_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Retractable:
    """What can be retracted: the deltas `of` a repository, a tag, an image or a delta's blob, and of these the ones out
    of the image `source`, a digest or a tag. With neither it is all of them."""

    of: Removable | None = None
    source: Digest | str | None = None

    @classmethod
    def named(cls, what: str | None, source: str | None, *, is_all: bool = False) -> Self:
        """Read `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`, and the digest or tag of an old image.

        All of the target is meant only when that is said, and nothing else. Raises RetractionError, and RemovalError
        for what names no part of a repository.
        """
        if is_all != (what is None and source is None):
            raise RetractionError(f"say whose deltas: either {_ALL}, or a repository and what of it, or {_SOURCE}")
        found = cls(
            of=Removable.parse(what) if what is not None else None,
            source=_reference(source) if source is not None else None,
        )
        if found.of is None and isinstance(found.source, str):
            raise RetractionError(f"{_SOURCE} {found.source} is a tag: name the repository that has it, too")
        return found

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read the name of a retraction. Raises what `named` raises."""
        if name == _ALL:
            return cls()
        what, flag, source = f" {name}".partition(f" {_SOURCE} ")
        return cls.named(what.strip() or None, source if flag else None)

    def __str__(self) -> str:
        parts = [] if self.of is None else [str(self.of)]
        parts += [] if self.source is None else [f"{_SOURCE} {self.source}"]
        return " ".join(parts) or _ALL


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a retraction covers in one repository; None stands for whatever there is, images are by their manifests."""

    name: str
    targets: Set[Digest] | None = None
    sources: Set[Digest] | None = None
    deltas: Set[DeltaKey] | None = None

    def covers(self, source: Digest, target: Digest, key: DeltaKey) -> bool:
        return (
            (self.targets is None or target in self.targets)
            and (self.sources is None or source in self.sources)
            and (self.deltas is None or key in self.deltas)
        )


def reaches(ledger: Ledger, repository: str) -> Iterator[Reach]:
    """What each retraction covers in `repository`, by the names that it has and had."""
    record = ledger.repositories[repository]
    for name, retraction in sorted(ledger.retractions.items()):
        what = Retractable.parse(name)
        if what.of is not None and what.of.repository not in (repository, *record.carried):
            continue
        into = None if what.of is None else _named(record, what.of)
        yield Reach(
            name=name,
            targets=None if into is None or retraction.deltas else _manifests(record, into),
            sources=None if what.source is None else _manifests(record, what.source),
            deltas=frozenset(retraction.deltas) if retraction.deltas else None,
        )


def settled(ledger: Ledger, what: Retractable) -> Retractable:
    """With the digest of an old image that is named by a tag. Raises RetractionError when there is no such tag."""
    if what.of is None or not isinstance(what.source, str):
        return what
    record = ledger.repositories.get(what.of.repository)
    known = record.tags.get(what.source) if record is not None else None
    if known is None:
        raise RetractionError(f"{what.of.repository} has no tag {what.source}; name the old image by its digest")
    return replace(what, source=known.image)


def retract(ledger: Ledger, what: Retractable, *, now: datetime) -> Ledger:
    """The ledger in which it is retracted; the same value when it was before. `what` is settled.

    Raises RetractionError when nothing is published by that name.
    """
    name = str(what)
    if name in ledger.retractions:
        return ledger
    record = RetractionRecord(since=now, deltas=() if what.of is None else _found(ledger, what.of))
    return replace(ledger, retractions={**ledger.retractions, name: record})


def take_back(ledger: Ledger, what: Retractable) -> Ledger:
    """The ledger in which it is retracted no longer. Raises RetractionError when it was not."""
    left = dict(ledger.retractions)
    if left.pop(str(what), None) is None:
        known = ", ".join(sorted(left)) or "nothing"
        raise RetractionError(f"{what} was not retracted; what was retracted: {known}")
    return replace(ledger, retractions=left)


def _found(ledger: Ledger, of: Removable) -> tuple[DeltaKey, ...]:
    """The deltas of a blob, if it is one that is named. Raises RetractionError when there is nothing of that name."""
    record = ledger.repositories.get(of.repository)
    if record is None:
        raise RetractionError(f"{of} is not published: there is no repository {of.repository} in the target")
    if record.mirrored_from is not None:
        raise RetractionError(
            f"{of.repository} is mirrored from {record.mirrored_from}, with the deltas that are listed there; "
            "retract them there, or mirror with --no-deltas"
        )
    if of.tag is not None and of.tag not in record.tags:
        raise RetractionError(f"{of} is not published: {of.repository} has no tag {of.tag}")
    if of.digest is None or _manifests(record, of.digest):
        return ()
    deltas = sorted(key for key, delta in ledger.deltas.items() if delta.digest == of.digest)
    if not deltas:
        raise RetractionError(
            f"{of} is neither an image nor a delta: name a manifest, an index or a delta's blob, as {of.repository} "
            "lists them"
        )
    return tuple(deltas)


def _named(record: RepositoryRecord, of: Removable) -> Digest | str | None:
    return of.tag if of.digest is None else of.digest


def _manifests(record: RepositoryRecord, image: Digest | str) -> frozenset[Digest]:
    """Of the image for each platform: that manifest, or those of an index, or of what a tag points to."""
    if isinstance(image, str):
        return _manifests(record, record.tags[image].image) if image in record.tags else frozenset()
    found: set[Digest] = set()
    for holder in record.images.values():
        manifests = {platform.manifest for platform in holder.platforms}
        if image in manifests:
            found.add(image)
        elif any(document.digest == image for document in holder.documents):
            found |= manifests
    return frozenset(found)


def _reference(text: str) -> Digest | str:
    if ":" not in text and is_tag(text):
        return text
    try:
        return Digest.parse(text)
    except DigestError as error:
        raise RetractionError(f"{_SOURCE} must be the digest or a tag of an image: {error}") from error
