"""Pure: what somebody takes out of publication, and how it stays out.

Rule 1. A repository, a tag, or an image can be removed. With a tag go the images that no other tag points to or has
        pointed to. With an image go the indexes that hold it; a tag that points to it points to what it pointed to
        before, and goes where there is nothing before. What is attached to an image goes with it.
Rule 2. The ledger remembers it by its name, so that a layout which still has it does not bring it back: a tag whatever
        it points to, an image whatever its tag, a repository though it is configured.
Rule 3. It remembers too what was taken. An undo puts that back, as far as its bytes are still there; the rest comes
        from the layout with the next publish.
Rule 4. Nothing is deleted here. What nothing names any more is, after its grace period.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from ..errors import DeltapressError, ExitCode
from ..oci.digest import Digest, DigestError
from ..oci.reference import NameGrammarError, attached_to, check_repository, is_tag
from .attached import with_attached
from .ledger import Ledger
from .records.repositories import RemovalRecord, RepositoryRecord, TagRecord
from .versions import Observation, forget


class RemovalError(DeltapressError):
    """Something cannot be removed or put back by that name."""

    exit_code = ExitCode.BAD_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """What can be removed: a repository, or of it a tag or an image."""

    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `REPOSITORY`, `REPOSITORY:TAG` or `REPOSITORY@DIGEST`. Raises RemovalError."""
        name, at, digest = text.partition("@")
        name, colon, tag = name.partition(":")
        try:
            if colon and (at or not is_tag(tag)):
                raise RemovalError(f"{text[:300]!r} is no REPOSITORY:TAG and no REPOSITORY@DIGEST")
            return cls(
                repository=check_repository(name),
                tag=tag if colon else None,
                digest=Digest.parse(digest) if at else None,
            )
        except (NameGrammarError, DigestError) as error:
            raise RemovalError(str(error)) from error

    def __str__(self) -> str:
        if self.digest is not None:
            return f"{self.repository}@{self.digest}"
        return self.repository if self.tag is None else f"{self.repository}:{self.tag}"


def remove(ledger: Ledger, what: Removable, *, now: datetime) -> Ledger:
    """The ledger in which it is not published; the same value when it was removed before.

    Raises RemovalError when nothing is published by that name.
    """
    name = str(what)
    if name in ledger.removals:
        return ledger
    record = ledger.repositories.get(what.repository)
    if record is None:
        raise RemovalError(f"{name} is not published: there is no repository {what.repository} in the target")
    left = _without(record, what)
    repositories = {key: value for key, value in ledger.repositories.items() if key != what.repository}
    if left is not None:
        repositories[what.repository] = left
    removal = RemovalRecord(since=now, taken=record if left is None else _difference(record, left))
    return replace(ledger, repositories=repositories, removals={**ledger.removals, name: removal})


def put_back(ledger: Ledger, what: Removable, *, there: Set[Digest]) -> Ledger:
    """The ledger in which it may be published again, and is, as far as its bytes are `there`.

    Raises RemovalError when it was not removed by that name.
    """
    name = str(what)
    removals = dict(ledger.removals)
    removal = removals.pop(name, None)
    if removal is None:
        known = ", ".join(sorted(removals)) or "nothing"
        raise RemovalError(f"{name} was not removed; what was removed: {known}")
    if what.repository in removals:
        raise RemovalError(f"{name} cannot be put back alone: {what.repository} was removed; put that back first")
    record = ledger.repositories.get(what.repository)
    whole = forget(removal.taken if record is None else _joined(record, removal.taken), there)
    repositories = dict(ledger.repositories)
    if whole.images:
        repositories[what.repository] = whole
    return replace(ledger, repositories=repositories, removals=removals)


def changes(before: Ledger, after: Ledger, repository: str) -> Iterator[str]:
    """A line for each tag of a repository that came, went or moved, and one for its images."""
    old, new = (ledger.repositories.get(repository, RepositoryRecord()) for ledger in (before, after))
    for tag in sorted(old.tags.keys() | new.tags.keys()):
        was, known = old.tags.get(tag), new.tags.get(tag)
        if known is None:
            yield f"the tag {tag} is published no longer"
        elif was is None or was.image != known.image:
            yield f"the tag {tag} points to {known.image.short} again"
    if gone := len(old.images.keys() - new.images.keys()):
        yield f"{gone} image{'s are' if gone > 1 else ' is'} published no longer"
    if come := len(new.images.keys() - old.images.keys()):
        yield f"{come} image{'s are' if come > 1 else ' is'} published again"
    if old == new and before is after:
        yield "was removed already"
    elif old == new:
        yield "nothing of it is there to be published again; the next publish takes it from its layout"


def is_removed(ledger: Ledger, repository: str) -> bool:
    """True for a repository that was removed as a whole."""
    return repository in ledger.removals


def admitted(
    seen: Observation, removals: Mapping[str, RemovalRecord], repositories: Iterable[str]
) -> tuple[Observation, tuple[str, ...]]:
    """What may be published of what a layout holds, and a line for each tag that may not.

    `repositories` are the names that the repository has and had: what was removed by an old one stays out by the new.
    """
    names = tuple(repositories)
    marks = [what for what in map(Removable.parse, removals) if what.repository in names]
    by_tag = {what.tag: what for what in marks if what.tag is not None}
    by_digest = {what.digest: what for what in marks if what.digest is not None}
    if not by_tag and not by_digest:
        return seen, ()
    out = {
        digest: what
        for digest, image in seen.images.items()
        for document in image.documents
        if (what := by_digest.get(document.digest)) is not None
    }
    tags = {tag: image for tag, image in seen.tags.items() if tag not in by_tag and image not in out}
    # it is there, so it is not lost: what it pointed to before stays
    barred = {tag for tag, image in seen.tags.items() if image in out}
    notes = tuple(
        f"{tag} is in the layout, but {what} was removed; `deltapress remove --undo {what}` takes that back"
        for tag, image in seen.tags.items()
        if (what := by_tag.get(tag) or out.get(image)) is not None
    )
    images = {digest: image for digest, image in seen.images.items() if digest not in out}
    return replace(seen, tags=tags, images=images, broken=seen.broken | barred), notes


def _without(record: RepositoryRecord, what: Removable) -> RepositoryRecord | None:
    """None when nothing is left. Raises RemovalError when there is nothing of that name."""
    if what.tag is not None:
        return _without_tag(record, what, what.tag)
    if what.digest is not None:
        return _without_image(record, what, what.digest)
    return None


def _without_tag(record: RepositoryRecord, what: Removable, tag: str) -> RepositoryRecord | None:
    if tag not in record.tags:
        raise RemovalError(f"{what} is not published: {what.repository} has no tag {tag}")
    tags = {name: known for name, known in record.tags.items() if name != tag}
    others = {move.image for known in tags.values() for move in known.moves}
    return _left(record, tags, {move.image for move in record.tags[tag].moves} - others)


def _without_image(record: RepositoryRecord, what: Removable, digest: Digest) -> RepositoryRecord | None:
    images = {
        image.digest
        for image in record.images.values()
        if any(document.digest == digest for document in image.documents)
    }
    if not images:
        raise RemovalError(f"{what} is not published: {what.repository} has no such image")
    there = record.images.keys() - images
    tags = {tag: _moved_back(known, there) for tag, known in record.tags.items()}
    return _left(record, {tag: known for tag, known in tags.items() if known is not None}, images)


def _moved_back(known: TagRecord, there: Set[Digest]) -> TagRecord | None:
    """The tag where it last pointed to what is `there`; None when it never did."""
    if known.image in there:
        return known
    kept = [move for move in known.moves if move.image in there]
    if not kept:
        return None
    moves = [
        move for move, before in zip(kept, [None, *kept], strict=False) if before is None or move.image != before.image
    ]
    # a tag that has moved stays one that has moved, see `retention`
    return replace(known, moves=tuple(moves) if moves[0] == known.moves[0] else (known.moves[0], *moves))


def _left(record: RepositoryRecord, tags: Mapping[str, TagRecord], images: Set[Digest]) -> RepositoryRecord | None:
    """The record with these tags only, without `images` and what is attached to nothing else."""
    held = {move.image for tag, known in tags.items() if attached_to(tag) is None for move in known.moves} - images
    gone = with_attached(record, images) - with_attached(record, held)
    left = {digest: image for digest, image in record.images.items() if digest not in gone}
    if not left:
        return None
    return replace(record, tags={tag: known for tag, known in tags.items() if known.image in left}, images=left)


def _difference(before: RepositoryRecord, after: RepositoryRecord) -> RepositoryRecord:
    return RepositoryRecord(
        tags={tag: known for tag, known in before.tags.items() if after.tags.get(tag) != known},
        images={digest: image for digest, image in before.images.items() if digest not in after.images},
    )


def _joined(record: RepositoryRecord, taken: RepositoryRecord) -> RepositoryRecord:
    """What was taken stands before what came since. A tag that has moved on stays where it is."""
    tags = {tag: known for tag, known in taken.tags.items() if tag not in record.tags}
    for tag, known in record.tags.items():
        before = taken.tags.get(tag)
        was_only_moved_back = before is not None and set(known.moves) <= set(before.moves)
        tags[tag] = before if before is not None and was_only_moved_back else known
    return replace(record, tags=tags, images={**taken.images, **record.images})
