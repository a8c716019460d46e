"""Pure: what the layouts hold now + what the ledger remembers -> the history, and the series of versions in it.

A *version* is one distinct image. A *series* is an ordered list of versions with a latest one, into which deltas lead.

Rule 1. A tag that has ever moved is a series of its own: the images that it pointed to, in that order. So `stable` and
        `nightly` do not disturb each other.
Rule 2. The tags of a scope that name versions, which `order` tells, are one series, its *line*: all images that each of
        them pointed to, in the place of the tag. A release that was built again is in the line, and a series too.
Rule 3. The scopes of a repository are its `series` rules, each with the tags that match it and no earlier rule, and one
        for the tags that match none.
Rule 4. The latest is what the series points to now: a roll-back makes an old image the latest again, and so does the
        removal of the newest tag from its layout. What came after it counts as before it: clients have it.
Rule 5. A tag that its layout has lost stays a version: a layout that holds only today's image has a history all the
        same. A series whose last tag is lost says so; retention lets it age.
Rule 6. Signatures that cosign names by their image, and listings, are no versions.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain, pairwise

from ..oci.digest import Digest
from ..oci.media_types import INDEXES
from ..oci.reference import is_reserved_tag
from .order import line_of
from .records.images import ImageRecord, LayerRecord, PlatformRecord
from .records.repositories import Move, RepositoryRecord, TagRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one layout holds at this run: where each tag points, and the images, artifacts included.

    `broken` tags are there, but nobody can tell where they point; unless the observation `is_whole`, any other tag may
    be there too.
    """

    tags: Mapping[str, Digest]
    images: Mapping[Digest, ImageRecord]
    broken: Set[str] = frozenset()
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Distinct images, oldest first; the last is the latest. `name` is the tag, or the glob of the scope.

    `since` says for each version when it was first seen where it stands; the one before it was the latest until then.
    `lost` is when the last of its tags left the layout; None while the layout has one. `is_of_line` is true for the
    series of a single tag that is in a line, too: its latest is one build of a release, and not what is newest.
    """

    name: str
    versions: tuple[Digest, ...]
    since: tuple[datetime, ...]
    lost: datetime | None = None
    is_of_line: bool = False

    @property
    def latest(self) -> Digest:
        return self.versions[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reign:
    """From `since` until `until`, `image` was the latest of its series; never, where both are the same."""

    image: Digest
    since: datetime
    until: datetime


def advance(record: RepositoryRecord, seen: Observation, *, now: datetime) -> RepositoryRecord:
    """The record after this run has seen its layout; the same value when nothing moved."""
    tags = dict(record.tags)
    for tag, image in seen.tags.items():
        known = tags.get(tag)
        if known is None:
            tags[tag] = TagRecord(moves=(Move(image=image, since=now),))
        elif image not in {known.image, known.instead_of}:
            tags[tag] = TagRecord(moves=(*known.moves, Move(image=image, since=now)))
        elif known.lost is not None or (known.instead_of is not None and image == known.image):
            tags[tag] = replace(known, lost=None, instead_of=known.instead_of if image != known.image else None)
    for tag, known in record.tags.items():
        if seen.is_whole and tag not in seen.tags and tag not in seen.broken and known.lost is None:
            tags[tag] = replace(known, lost=now)
    images = dict(record.images)
    for digest, found in seen.images.items():
        images[digest] = _joined(images[digest], found) if digest in images else found
    return replace(record, tags=tags, images=images) if tags != record.tags or images != record.images else record


def _joined(old: ImageRecord, new: ImageRecord) -> ImageRecord:
    """What two layouts have of the same image: of an index, each may lack other manifests."""
    if not old.absent and not new.absent:
        return replace(new, platforms=_with_members(new.platforms, old.platforms))
    longer, shorter = sorted((old, new), key=lambda image: len(image.documents), reverse=True)
    have = {document.digest for document in longer.documents}
    more = [document for document in shorter.documents if document.digest not in have]
    blobs = {blob.digest: blob for blob in (*shorter.blobs, *longer.blobs)}
    either = (*shorter.platforms, *longer.platforms)
    platforms = {(image.manifest, image.platform): image for image in _with_members(either, either)}
    dates = [image.created for image in (old, new) if image.created is not None]
    # manifests before the indexes that may hold them, and the root last
    return replace(
        longer,
        documents=(*sorted(more, key=lambda document: document.media_type in INDEXES), *longer.documents),
        blobs=tuple(blobs.values()) if more else longer.blobs,
        platforms=tuple(platforms.values()) if more else _with_members(longer.platforms, either),
        subjects={**shorter.subjects, **longer.subjects},
        created=max(dates, default=None),
        absent=(old.absent | new.absent) - have - {document.digest for document in more},
    )


def _with_members(platforms: Iterable[PlatformRecord], others: Iterable[PlatformRecord]) -> tuple[PlatformRecord, ...]:
    """What was found out about their layers when those were read, which is not done again; and their configs."""
    others = tuple(others)
    known = {layer.digest for image in others for layer in image.layers if layer.is_one_member}
    configs = {image.manifest: image.config for image in others if image.config is not None}

    def told(layer: LayerRecord) -> LayerRecord:
        return replace(layer, is_one_member=True) if layer.digest in known else layer

    return tuple(
        replace(
            image,
            layers=tuple(map(told, image.layers)),
            config=image.config or configs.get(image.manifest),
        )
        for image in platforms
    )


def series_of(record: RepositoryRecord, scopes: Sequence[str] = ()) -> tuple[Series, ...]:
    """All series of a repository, in the order of its scopes and then of its tags. `scopes` are globs of tags."""
    members: dict[str, list[str]] = {scope: [] for scope in (*scopes, "*")}
    for tag, known in record.tags.items():
        if not is_reserved_tag(tag) and known.image in record.images:
            members[next(scope for scope in members if fnmatchcase(tag, scope))].append(tag)
    found: list[Series] = []
    for scope, tags in members.items():
        line = line_of(tags, record)
        if line:
            found.append(_line(scope, line, record))
        of_line = set(line)
        for tag in tags:
            if record.tags[tag].has_moved:
                single = _series(tag, record.tags[tag].moves, [tag], record)
                found.append(replace(single, is_of_line=tag in of_line))
    return tuple(found)


def losses(record: RepositoryRecord) -> dict[Digest, datetime]:
    """When the layout lost the last tag of each image that has lost one."""
    lost: dict[Digest, datetime] = {}
    for known in record.tags.values():
        if known.lost is not None:
            lost[known.image] = max(known.lost, lost.get(known.image, known.lost))
    return lost


def reigns(series: Series, lost: Mapping[Digest, datetime]) -> Iterator[Reign]:
    """Those of all versions before the latest, oldest first; `lost` are the `losses` of the record."""
    for (image, own), (_, since) in pairwise(zip(series.versions, series.since, strict=True)):
        # a version may come in before one that is there already: an old release that was built again
        yield Reign(image=image, since=own, until=max(own, since, lost.get(image, since)))


def forget(record: RepositoryRecord, there: Set[Digest]) -> RepositoryRecord:
    """Leave out each image of which a document or a blob is not `there`; its tags point to what they pointed to
    before."""
    images = {
        digest: image
        for digest, image in record.images.items()
        if all(part.digest in there for part in (*image.documents, *image.blobs))
    }
    if len(images) == len(record.images):
        return record
    lost = record.images.keys() - images.keys()
    tags = {}
    for tag, known in record.tags.items():
        moves: list[Move] = []
        for move in known.moves:
            if move.image not in lost and not (moves and moves[-1].image == move.image):
                moves.append(move)
        if moves:
            tags[tag] = replace(known, moves=tuple(moves))
    return replace(record, tags=tags, images=images)


def _line(scope: str, tags: Sequence[str], record: RepositoryRecord) -> Series:
    now = [tag for tag in tags if record.tags[tag].lost is None][-1:]
    moves = chain.from_iterable(record.tags[tag].moves for tag in tags)
    return _series(scope, chain(moves, (record.tags[tag].moves[-1] for tag in now)), tags, record)


def _series(name: str, moves: Iterable[Move], tags: Sequence[str], record: RepositoryRecord) -> Series:
    """Each image that is there once, where it came last."""
    found: dict[Digest, datetime] = {}
    for move in moves:
        if move.image in record.images:
            found.pop(move.image, None)
            found[move.image] = move.since
    lost = [record.tags[tag].lost for tag in tags]
    gone = [time for time in lost if time is not None]
    return Series(
        name=name,
        versions=tuple(found),
        since=tuple(found.values()),
        lost=max(gone) if len(gone) == len(lost) else None,
    )
