"""The ledger, after something was removed or put back: what the run that says so to the target begins with."""

from dataclasses import replace

from ..history.ledger import LedgerError
from ..history.removal import Removable, changes, put_back, remove
from ..history.resolver import ContentResolver, find_stored
from ..history.store import LedgerStore
from .begin import History, load_history
from .outcome import Settings
from .prune import without_lost
from .repair import forget_lost


def history_of_removal(store: LedgerStore, what: Removable, settings: Settings, *, is_undo: bool) -> History:
    """What is remembered, after `what` was removed or put back. No layout is looked at.

    Raises what `load_history` raises, LedgerError when there is no ledger, and RemovalError when nothing goes by that
    name.
    """
    loaded = load_history(store, settings)
    before = loaded.ledger
    if loaded.is_rebuilt:
        raise LedgerError("is missing or damaged, and says what was published; run `deltapress publish` first")
    found = find_stored(before, store.target)
    resolver = ContentResolver.of(store.target, before, found=found)
    after = put_back(before, what, there=found.keys()) if is_undo else remove(before, what, now=settings.now)
    notes = [f"{what.repository}: {line}" for line in changes(before, after, what.repository)]
    repositories = dict(after.repositories)
    # a run that was killed may have left images of which not all is there: their layouts bring the rest
    unfinished, lost = forget_lost(repositories, resolver, ledger=after, damage={})
    return replace(
        loaded,
        ledger=replace(after, repositories=repositories, deltas=without_lost(after.deltas, found)),
        resolver=resolver,
        notes=(*notes, *unfinished),
        lost=tuple(lost),
    )
