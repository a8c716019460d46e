"""Pure: what became of the tags of a repository, newest first: the entries of its feed (RFC 4287)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...history.records.repositories import RepositoryRecord
from ...oci.digest import Digest
from ...oci.reference import is_reserved_tag

_MOST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """From `since` on, `tag` led to `image`, and not to `before` any more, where it was there before. `id` is the same
    for ever (RFC 4151)."""

    id: str
    tag: str
    image: Digest
    since: datetime
    before: Digest | None


def feed_id(repository: str, host: str) -> str:
    return f"tag:{host},2026:deltapress:{repository}"


def feed_entries(repository: str, record: RepositoryRecord, host: str) -> Sequence[FeedEntry]:
    """At most 50. `host` is the authority of their ids."""
    found = [
        FeedEntry(
            id=f"{feed_id(repository, host)}:{tag}@{move.image}/{move.since:%Y%m%dT%H%M%SZ}",
            tag=tag,
            image=move.image,
            since=move.since,
            before=before.image if before is not None else None,
        )
        for tag, known in record.tags.items()
        if not is_reserved_tag(tag)
        for before, move in zip((None, *known.moves), known.moves, strict=False)
    ]
    return sorted(found, key=lambda entry: (entry.since, entry.tag), reverse=True)[:_MOST]
