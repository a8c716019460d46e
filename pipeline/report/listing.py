"""What is published, as the ledger remembers it: `deltapress list`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..deltas.savings import Saving, distinct
from ..history.ledger import Ledger
from ..history.records.images import ImageRecord
from ..history.records.repositories import RepositoryRecord
from ..oci.digest import Digest
from ..oci.reference import is_reserved_tag
from ..quantities import format_size
from .lines import count, table, text_of
from .updates import saving_json


def repositories_text(ledger: Ledger) -> str:
    """A row for each repository."""
    if not ledger.repositories:
        return "Nothing is published."
    rows = [
        [name, count(len(_tags(record)), "tag"), count(len(record.images), "image"), format_size(_size(record))]
        for name, record in sorted(ledger.repositories.items())
    ]
    return text_of(table(rows, right={1, 2, 3}))


def repository_text(name: str, record: RepositoryRecord, savings: Sequence[Saving], pinned: Iterable[Digest]) -> str:
    """The tags of a repository; its images, the newest first, and the deltas that lead into them."""
    held = frozenset(pinned)
    return text_of(
        [
            f"{name}: {count(len(_tags(record)), 'tag')}, {count(len(record.images), 'image')}",
            *table(list(_tag_rows(record)), right=set()),
            "Images, the newest first:",
            *table(list(_image_rows(record, _into(record, savings), held)), right={2}),
        ]
    )


def listing_json(
    ledger: Ledger, names: Iterable[str], savings: Sequence[Saving], pinned: Mapping[str, Iterable[Digest]]
) -> dict[str, Any]:
    """All of it."""
    return {
        "exit_code": 0,
        "repositories": {
            name: _repository_json(
                ledger.repositories[name],
                [saving for saving in savings if saving.repository == name],
                frozenset(pinned.get(name, ())),
            )
            for name in names
        },
    }


def _repository_json(record: RepositoryRecord, savings: Sequence[Saving], pinned: frozenset[Digest]) -> dict[str, Any]:
    return {
        "tags": {
            tag: {
                "image": str(known.image),
                "moves": [move.to_json() for move in known.moves],
                "lost": known.lost.isoformat() if known.lost else None,
                "instead_of": str(known.instead_of) if known.instead_of else None,
            }
            for tag, known in _tags(record).items()
        },
        "images": [
            {
                "digest": str(image.digest),
                "created": image.created.isoformat() if image.created else None,
                "size": image.size,
                "pinned": image.digest in pinned,
                "platforms": [
                    {"platform": str(platform.platform), "manifest": str(platform.manifest), "size": platform.size}
                    for platform in image.platforms
                ],
            }
            for image in _newest_first(record)
        ],
        "updates": [saving_json(saving) for saving in distinct(savings)],
    }


def _tag_rows(record: RepositoryRecord) -> Iterator[list[str]]:
    for tag, known in _tags(record).items():
        notes = [f"since {known.moves[-1].since:%Y-%m-%d %H:%M}"]
        if known.has_moved:
            notes.append(f"before {known.moves[-2].image.short}")
        if known.instead_of is not None:
            notes.append("pointed here by hand")
        if known.lost is not None:
            notes.append(f"gone from the layout since {known.lost:%Y-%m-%d %H:%M}")
        yield [tag, known.image.short, ", ".join(notes)]


def _image_rows(
    record: RepositoryRecord, into: Mapping[Digest, Sequence[Saving]], pinned: frozenset[Digest]
) -> Iterator[list[str]]:
    for image in _newest_first(record):
        names = ", ".join(tag for tag, known in _tags(record).items() if known.image == image.digest)
        savings = into.get(image.digest, ())
        ready = sum(saving.deltas > 0 for saving in savings)
        yield [
            str(image.digest),
            f"{image.created:%Y-%m-%d %H:%M}" if image.created else "",
            format_size(image.size),
            names,
            f"deltas from {ready} of {count(len(savings), 'image')}" if savings else "",
            "pinned" if image.digest in pinned else "",
        ]


def _into(record: RepositoryRecord, savings: Sequence[Saving]) -> dict[Digest, list[Saving]]:
    """The updates into each image, on all of its platforms."""
    holders = {platform.manifest: image.digest for image in record.images.values() for platform in image.platforms}
    found: dict[Digest, list[Saving]] = {}
    for saving in distinct(savings):
        found.setdefault(holders[saving.target], []).append(saving)
    return found


def _newest_first(record: RepositoryRecord) -> list[ImageRecord]:
    """The ledger has them in the order in which they came."""
    return list(record.images.values())[::-1]


def _tags(record: RepositoryRecord) -> dict[str, Any]:
    return {tag: known for tag, known in sorted(record.tags.items()) if not is_reserved_tag(tag)}


def _size(record: RepositoryRecord) -> int:
    return sum({blob.digest: blob.size for image in record.images.values() for blob in image.blobs}.values())
