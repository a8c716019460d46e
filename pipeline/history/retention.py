"""Pure: which images of a repository stay published, and which are left out and age away.

Rule 1. A tag that its layout has holds its image.
Rule 2. So do the policy's `keep` newest versions of each series; `keep_tags`, the globs of tags that are held though
        their layout has lost them; `keep_for`, the time for which an image stays after it was replaced as the latest of
        its series, or its tag was lost, whatever came later; and the repository's `pins`.
Rule 3. What is attached to an image (a signature, an SBOM) is held as long as the image.
Rule 4. What is left out here is not deleted, but ceases to be named; the grace period begins then.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import pairwise

from ..config.values import Policy
from ..oci.digest import Digest
from ..oci.reference import attached_to
from .records import RepositoryRecord
from .versions import series_of


def retain(
    record: RepositoryRecord, scopes: Sequence[str] = (), *, policy: Policy, pins: Sequence[str] = (), now: datetime
) -> RepositoryRecord:
    """The record without what no rule holds. A lost tag goes when its image goes."""
    # without a lost tag the others may be ordered by another rule: what the next run would leave out goes at once
    while (smaller := _retained(record, scopes, policy, pins, now)) is not record:
        record = smaller
    return record


def pinned_images(record: RepositoryRecord, pin: str) -> frozenset[Digest]:
    """The images that a pin means: the one that a tag points to, or those that are or contain a digest."""
    if pin in record.tags:
        return frozenset({record.tags[pin].image} & record.images.keys())
    return frozenset(
        digest
        for digest, image in record.images.items()
        if any(str(document.digest) == pin for document in image.documents)
    )


def _retained(
    record: RepositoryRecord, scopes: Sequence[str], policy: Policy, pins: Sequence[str], now: datetime
) -> RepositoryRecord:
    held = {
        known.image
        for tag, known in record.tags.items()
        if known.lost is None or any(fnmatchcase(tag, glob) for glob in policy.keep_tags)
    }
    for series in series_of(record, scopes):
        held.update(series.versions[-policy.keep :])
    held.update(image for image, until in _replaced(record, scopes) if now - until < policy.keep_for)
    for pin in pins:
        held |= pinned_images(record, pin)
    return _only(record, held | set(_attached(record, held)))


def _attached(record: RepositoryRecord, held: Set[Digest]) -> Iterator[Digest]:
    """The images that are attached to something in `held`, or to each other: by their subject, or by a tag that is made
    of its digest, as cosign's are."""
    by_subject: dict[Digest, list[Digest]] = {}
    for digest, image in record.images.items():
        if image.subject is not None:
            by_subject.setdefault(image.subject, []).append(digest)
    for tag, known in record.tags.items():
        if (subject := attached_to(tag)) is not None and known.image in record.images:
            by_subject.setdefault(subject, []).append(known.image)
    waiting = [digest for digest in held if digest in record.images]
    while waiting:
        for document in record.images[waiting.pop()].documents:
            attached = by_subject.pop(document.digest, ())
            yield from attached
            waiting.extend(attached)


def _replaced(record: RepositoryRecord, scopes: Sequence[str]) -> Iterator[tuple[Digest, datetime]]:
    """Each image that is not the latest of a series, and until when it was that or had a tag in its layout."""
    lost: dict[Digest, datetime] = {}
    for known in record.tags.values():
        if known.lost is not None:
            lost[known.image] = max(known.lost, lost.get(known.image, known.lost))
    for series in series_of(record, scopes):
        for (older, _), (_, since) in pairwise(zip(series.versions, series.since, strict=True)):
            yield older, max(since, lost.get(older, since))


def _only(record: RepositoryRecord, held: Set[Digest]) -> RepositoryRecord:
    images = {digest: image for digest, image in record.images.items() if digest in held}
    tags = {}
    for tag, known in record.tags.items():
        if known.image in images:
            moves = tuple(move for move in known.moves if move.image in images)
            # a tag that has moved stays a series of its own, even when only one of its images is left
            tags[tag] = replace(known, moves=moves if len(moves) > 1 or not known.has_moved else known.moves[-2:])
    if tags == record.tags and images.keys() == record.images.keys():
        return record
    return replace(record, tags=tags, images=images)
