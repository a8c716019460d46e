"""Pure: which tags moved at a moment, and from where to where."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..oci.digest import Digest
from .ledger import Ledger
from .records import RepositoryRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class TagMove:
    """A tag that points to `new` since that moment; `old` is None for one that was not there before.

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
        yield from _moves(repository, record, now)


def _moves(repository: str, record: RepositoryRecord, now: datetime) -> Iterator[TagMove]:
    moved = [(tag, known.moves) for tag, known in sorted(record.tags.items()) if known.moves[-1].since == now]
    if not moved:
        return
    names: dict[Digest, list[str]] = {}
    for tag, known in record.tags.items():
        names.setdefault(known.image, []).append(tag)
    for tag, moves in moved:
        earlier = [move.image for move in moves[:-1]]
        old, new = earlier[-1] if earlier else None, moves[-1].image
        yield TagMove(
            repository=repository,
            tag=tag,
            old=old,
            new=new,
            old_names=tuple(names.get(old, ())) if old is not None else (),
            new_names=tuple(name for name in names[new] if name != tag),
            is_back=new in earlier,
        )
