"""Pure: which tags of a scope name versions of one line, and in which order.

Rule 1. A tag that never moved names a version. One that moved does if its name is that of a version: a semantic version
        without a pre-release part, or with one that counts (`1.1`, `2.0.0-rc.1`); or the name of another tag but for
        the numbers in it (`release-1.1` beside `release-1.2`). So a release that was built again under its name stays
        where it was, and `latest`, `nightly` and `2-slim` do not disturb.
Rule 2. Semantic versions decide the order if every tag has one, its own or that of another tag for the same image: so a
        `latest` that has not moved yet disturbs nothing.
Rule 3. Otherwise what was first seen in a later run is newer, whatever it says of itself: builds that are reproducible
        state a time of creation that means nothing, and clocks of builders differ.
Rule 4. Even then a version never stands behind a higher one: those of the tags that have a semantic version of two
        numbers at least take the places of these tags in its order. One tag that is no version (`pr-7`) must not make a
        security release of an old branch the latest. A single number may be anything: a date, a part of a hash.
Rule 5. What one run saw first is ordered by the times of creation, if every image of it states one that may be true,
        else as its layout lists it.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

import semver

from ..oci.digest import Digest
from .records.repositories import RepositoryRecord

_NUMBER: Final = re.compile(r"[0-9]+")
# Container images are younger: what says that it is older was given a fixed time (SOURCE_DATE_EPOCH, often 0 or 1).
_FIRST_IMAGES: Final = datetime(2013, 1, 1, tzinfo=UTC)


def line_of(tags: Sequence[str], record: RepositoryRecord) -> list[str]:
    """Those of `tags`, all of one scope, that name versions of its line: the oldest first."""
    shapes: dict[str, int] = {}
    for tag in tags:
        shapes[_shape(tag)] = shapes.get(_shape(tag), 0) + 1
    members = [
        tag
        for tag in tags
        if not record.tags[tag].has_moved or _is_release(tag) or ("#" in _shape(tag) and shapes[_shape(tag)] > 1)
    ]
    return _in_order(members, record)


def _shape(tag: str) -> str:
    """The tag with `#` for each number; no legal tag has one."""
    return _NUMBER.sub("#", tag)


def _is_release(tag: str) -> bool:
    version = _semantic_version(tag)
    return version is not None and (version.prerelease is None or _NUMBER.search(version.prerelease) is not None)


def _in_order(tags: Sequence[str], record: RepositoryRecord) -> list[str]:
    """Sorting is stable throughout: what a rule does not tell apart stays in the order in which it was first seen."""
    versions = _versions(tags, record)
    if len(versions) == len(tags):
        return sorted(tags, key=versions.__getitem__)

    def first_seen(tag: str) -> datetime:
        return record.tags[tag].moves[0].since

    runs = groupby(sorted(tags, key=first_seen), key=first_seen)
    seen = [tag for _, run in runs for tag in _of_one_run(list(run), record)]
    numbered = {tag for tag in tags if "." in tag and _semantic_version(tag) is not None}
    in_order = iter(sorted((tag for tag in seen if tag in numbered), key=versions.__getitem__))
    return [next(in_order) if tag in numbered else tag for tag in seen]


def _versions(tags: Sequence[str], record: RepositoryRecord) -> dict[str, semver.Version]:
    """The semantic version of each tag that has one."""
    own = {tag: version for tag in tags if (version := _semantic_version(tag)) is not None}
    of_image: dict[Digest, semver.Version] = {}
    for tag, version in own.items():
        image = record.tags[tag].image
        of_image[image] = max(version, of_image.get(image, version))
    lent = {tag: of_image[record.tags[tag].image] for tag in tags if record.tags[tag].image in of_image}
    return lent | own


def _of_one_run(tags: list[str], record: RepositoryRecord) -> list[str]:
    times = dict(_times_of_creation(tags, record))
    return sorted(tags, key=times.__getitem__) if len(times) == len(tags) else tags


def _times_of_creation(tags: Sequence[str], record: RepositoryRecord) -> Iterator[tuple[str, datetime]]:
    """For each tag that has one; that of the image which is left of those that it pointed to, the oldest of them."""
    for tag in tags:
        images = (record.images.get(move.image) for move in record.tags[tag].moves)
        created = next((image.created for image in images if image is not None), None)
        if created is not None and created >= _FIRST_IMAGES:
            yield tag, created


def _semantic_version(tag: str) -> semver.Version | None:
    """`1.2.3`, `v1.2.3`, `1.2` and `1`, with pre-release and build parts; a tag writes `+` as `_`."""
    text = tag.removeprefix("v").replace("_", "+", 1)
    try:
        return semver.Version.parse(text, optional_minor_and_patch=True)
    except ValueError:
        return None
