"""Pure: a repository that goes on under another name.

Rule 1. What was published by the old name is history of the new one: its tags with all their moves, and its images. So
        deltas lead from what clients of the old name have.
Rule 2. It is carried over once; what retention lets go then does not come back.
Rule 3. The old name stays published as it was, for the clients that have not changed theirs, until it is removed.
"""

from collections.abc import Mapping
from dataclasses import replace

from .records.repositories import RepositoryRecord, TagRecord


def carry_over(
    record: RepositoryRecord, formerly: tuple[str, ...], repositories: Mapping[str, RepositoryRecord]
) -> RepositoryRecord:
    """The record that goes on from those of its former names, the oldest first; the same value when it has already."""
    names = [name for name in formerly if name in repositories and name not in record.carried]
    for name in reversed(names):
        record = _going_on(record, repositories[name])
    return replace(record, carried=(*record.carried, *names)) if names else record


def _going_on(new: RepositoryRecord, old: RepositoryRecord) -> RepositoryRecord:
    tags = {tag: _moved_on(known, new.tags.get(tag)) for tag, known in old.tags.items()}
    return replace(
        new,
        tags={**tags, **{tag: new.tags[tag] for tag in new.tags if tag not in tags}},
        images={**old.images, **new.images},
    )


def _moved_on(old: TagRecord, new: TagRecord | None) -> TagRecord:
    if new is None:
        return old
    again = new.moves[0].image == old.image
    return replace(new, moves=(*old.moves, *(new.moves[1:] if again else new.moves)))
