"""Pure: which tags moved, and from where to where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..oci.digest import Digest
from ..oci.reference import DELTA_INDEX, is_reserved_tag
from .ledger import Ledger
from .records.repositories import RepositoryRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMove:
    """A tag that now points to `new`; `old` is None for one that was not there before.

    `old_names` and `new_names` are the other tags of both images. `is_back`: it pointed to `new` once before.
    """

    repository: str
    tag: str
    old: Digest | None
    new: Digest
    old_names: tuple[str, ...] = ()
    new_names: tuple[str, ...] = ()
    is_back: bool = False


def moves_at(ledger: Ledger, now: datetime) -> Iterator[TagMove]:
    """Of all repositories, in the order of names."""
    for repository, record in sorted(ledger.repositories.items()):
        moved = {
            tag: known.moves[-2].image if known.has_moved else None
            for tag, known in record.tags.items()
            if known.moves[-1].since == now
        }
        yield from _moves(repository, record, moved)


def moves_between(before: Ledger, after: Ledger) -> Iterator[TagMove]:
    """The same, where the moves came from elsewhere, with their own times."""
    for repository, record in sorted(after.repositories.items()):
        former = before.repositories.get(repository, RepositoryRecord()).tags
        olds = {tag: former[tag].image if tag in former else None for tag in record.tags}
        yield from _moves(repository, record, {tag: old for tag, old in olds.items() if old != record.tags[tag].image})


def last_move(record: RepositoryRecord) -> datetime | None:
    """When a tag moved last, or was new: one that people use, and not one under which a signature, say, is kept."""
    return max((known.moves[-1].since for tag, known in record.tags.items() if not is_reserved_tag(tag)), default=None)


def _moves(repository: str, record: RepositoryRecord, moved: Mapping[str, Digest | None]) -> Iterator[TagMove]:
    """Those of the tags in `moved`, each with where it led before; a mirror has a tag for the listing of deltas."""
    names: dict[Digest, list[str]] = {}
    for tag, known in record.tags.items():
        names.setdefault(known.image, []).append(tag)
    for tag, old in sorted(moved.items()):
        if tag == DELTA_INDEX:
            continue
        new = record.tags[tag].image
        yield TagMove(
            repository=repository,
            tag=tag,
            old=old,
            new=new,
            old_names=tuple(names.get(old, ())) if old is not None else (),
            new_names=tuple(name for name in names[new] if name != tag),
            is_back=new in (move.image for move in record.tags[tag].moves[:-1]),
        )
