"""Pure: a tag that somebody points to another image by hand, as to roll back.

Rule 1. It points only to an image that its repository has published, and only a tag that is there is moved.
Rule 2. It stays there as long as the layout has under that tag what it pointed to before: the bad image does not come
        back with the next run, however often the tag is pointed elsewhere. When the layout has another one, the tag
        follows it again.
Rule 3. The tags of a mirror are its source's: the next run would take them back there without a word.
"""

from dataclasses import replace
from datetime import datetime

from ..errors import DeltapressError, ExitCode
from ..oci.digest import Digest
from .ledger import Ledger
from .records.repositories import Move, RepositoryRecord


class PointingError(DeltapressError):
    """A tag cannot be pointed there."""

    exit_code = ExitCode.BAD_CONFIGURATION


def point(ledger: Ledger, repository: str, tag: str, image: Digest | str, *, now: datetime) -> Ledger:
    """The ledger in which `tag` points to `image`, a digest or another tag; the same value where it did before.

    Raises PointingError when one of them is not published, or is mirrored.
    """
    record = ledger.repositories.get(repository)
    if record is None:
        raise PointingError(f"{repository} is not published")
    if record.mirrored_from is not None:
        raise PointingError(
            f"{repository} is mirrored from {record.mirrored_from}, whose tags it has; point {tag} there, and mirror it"
        )
    known = record.tags.get(tag)
    if known is None:
        raise PointingError(f"{repository} has no tag {tag}; it has {_some(record)}")
    digest = _image(record, repository, image)
    if known.image == digest:
        return ledger
    # pointed a second time, it still stands in the place of the same one
    theirs = known.image if known.instead_of is None else known.instead_of
    moved = replace(
        known, moves=(*known.moves, Move(image=digest, since=now)), instead_of=theirs if theirs != digest else None
    )
    changed = replace(record, tags={**record.tags, tag: moved})
    return replace(ledger, repositories={**ledger.repositories, repository: changed})


def _image(record: RepositoryRecord, repository: str, image: Digest | str) -> Digest:
    if isinstance(image, str):
        if image not in record.tags:
            raise PointingError(f"{repository} has no tag {image}; it has {_some(record)}")
        return record.tags[image].image
    if image not in record.images:
        raise PointingError(
            f"{repository}@{image} is no image that is published; `deltapress list {repository}` shows them"
        )
    return image


def _some(record: RepositoryRecord) -> str:
    names = sorted(record.tags)
    return ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
