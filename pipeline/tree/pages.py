"""The index page.

Rule 1. Names, tags and labels are untrusted text: the page's template is escaped throughout.
Rule 2. The page says nothing of the time of a run: it changes when what is published changes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..deltas.savings import Saving, distinct
from ..history.ledger import Ledger
from ..history.records import PlatformRecord, RepositoryRecord
from ..keys import PAGE_KEY, Key
from ..oci.digest import Digest
from ..oci.reference import is_reserved_tag
from ..quantities import format_share, format_size
from .remotes import offered_remotes, remote_of
from .templates import render


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """A tag as the page shows it. `size` is what a client without deltas downloads for a platform, in bytes."""

    tag: str
    digest: Digest
    platforms: tuple[tuple[str, int], ...]
    is_flatpak: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRow:
    """`is_offered`: it belongs to a flatpak remote, of which the page tells how to add it."""

    name: str
    is_offered: bool
    tags: tuple[TagRow, ...]
    savings: tuple[Saving, ...]


def page_files(ledger: Ledger, found: Sequence[Saving]) -> dict[Key, bytes]:
    """The index page: flatpak remotes, repositories, tags, digests, sizes, what each delta saves, how to pull."""
    by_repository: dict[str, list[Saving]] = {}
    for saving in found:
        by_repository.setdefault(saving.repository, []).append(saving)
    rows = [
        RepositoryRow(
            name=name,
            is_offered=remote_of(record, ledger) is not None,
            tags=tuple(_tags(record)),
            savings=distinct(by_repository.get(name, ())),
        )
        for name, record in sorted(ledger.repositories.items())
    ]
    variables = {"repositories": rows, "remotes": offered_remotes(ledger), "size": format_size, "share": format_share}
    page = render("index.html.j2", variables)
    return {PAGE_KEY: page.encode()}


def _tags(record: RepositoryRecord) -> Iterator[TagRow]:
    for tag, known in sorted(record.tags.items()):
        image = record.images.get(known.image)
        if image is not None and not is_reserved_tag(tag):
            yield TagRow(
                tag=tag,
                digest=known.image,
                platforms=tuple((str(platform.platform), platform.size) for platform in image.platforms),
                is_flatpak=any(map(_is_flatpak, image.platforms)),
            )


def _is_flatpak(platform: PlatformRecord) -> bool:
    return platform.is_flatpak
