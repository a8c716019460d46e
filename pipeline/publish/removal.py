"""The ledger, after somebody has removed, retracted, put back or pointed something: what the run that says so to the
target begins with.

No layout is looked at.
"""

from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from datetime import datetime

from ..config import Config
from ..deltas.plan import plan_deltas
from ..history.ledger import Ledger, LedgerError
from ..history.pointing import point
from ..history.removal import Removable, changes, put_back, remove
from ..history.resolver import ContentResolver, find_stored
from ..history.retraction import Retractable, RetractionError, retract, settled, take_back
from ..history.store import LedgerStore
from ..oci.digest import Digest
from .begin import History, load_history
from .outcome import Settings
from .prune import without_lost
from .repair import forget_lost
from .rules import rules_of

# from the ledger and the digests that the target holds to the changed one, and lines for the user
_Change = Callable[[Ledger, Set[Digest]], tuple[Ledger, list[str]]]


def history_of_removal(store: LedgerStore, what: Removable, settings: Settings, *, is_undo: bool) -> History:
    """What is remembered, after `what` was removed or put back.

    Raises what `load_history` raises, LedgerError when there is no ledger, and RemovalError when nothing goes by that
    name.
    """

    def change(before: Ledger, there: Set[Digest]) -> tuple[Ledger, list[str]]:
        after = put_back(before, what, there=there) if is_undo else remove(before, what, now=settings.now)
        return after, [f"{what.repository}: {line}" for line in changes(before, after, what.repository)]

    return _changed(store, settings, change)


def history_of_retraction(
    store: LedgerStore, what: Retractable, config: Config, settings: Settings, *, is_undo: bool
) -> History:
    """What is remembered, after deltas were retracted, or a retraction was taken back.

    Raises what `load_history` raises, LedgerError when there is no ledger, and RetractionError when no deltas go by
    that name.
    """

    def change(before: Ledger, _: Set[Digest]) -> tuple[Ledger, list[str]]:
        meant = settled(before, what)
        if is_undo:
            return take_back(before, meant), [f"{meant}: retracted no longer; the next publish makes what is not there"]
        after = retract(before, meant, now=settings.now)
        if after is before:
            return after, [f"{meant}: was retracted already"]
        _check_reach(after, meant, config, now=settings.now)
        return after, [*_out_of_reach(after, meant)]

    return _changed(store, settings, change)


def history_of_pointing(store: LedgerStore, what: Removable, image: Digest | str, settings: Settings) -> History:
    """What is remembered, after the tag `what` was pointed to another image.

    Raises what `load_history` raises, LedgerError when there is no ledger, and PointingError when one of them is not
    published.
    """

    def change(before: Ledger, _: Set[Digest]) -> tuple[Ledger, list[str]]:
        after = point(before, what.repository, what.tag or "", image, now=settings.now)
        return after, [f"{what} points there already"] if after is before else []

    return _changed(store, settings, change)


def _changed(store: LedgerStore, settings: Settings, change: _Change) -> History:
    loaded = load_history(store, settings)
    before = loaded.ledger
    if loaded.is_rebuilt:
        raise LedgerError("is missing or damaged, and says what was published; run `deltapress publish` first")
    for name, problem in sorted(loaded.bad.items()):
        raise LedgerError(f"does not tell what {name} has ({problem}); run `deltapress publish` first")
    found = find_stored(before, store.target)
    resolver = ContentResolver.of(store.target, before, found=found)
    after, notes = change(before, found.keys())
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


def _out_of_reach(ledger: Ledger, what: Retractable) -> Iterator[str]:
    """A line for each repository whose deltas are listed elsewhere, where those of all are meant."""
    for name, record in sorted(ledger.repositories.items()) if what.of is None else ():
        if record.mirrored_from is not None:
            yield f"{name}: is mirrored, and keeps its deltas; retract them at {record.mirrored_from}"


def _check_reach(ledger: Ledger, what: Retractable, config: Config, *, now: datetime) -> None:
    """Raises RetractionError when `what` is an image or a delta, and no delta that is wanted today goes by that name.

    Of a repository, or all, the deltas of tomorrow are meant too.
    """
    if what.source is None and (what.of is None or (what.of.tag is None and what.of.digest is None)):
        return
    alone = replace(ledger, retractions={str(what): ledger.retractions[str(what)]})
    if not plan_deltas(alone, rules_of(config, ledger), generator="", options="", now=now).retracted:
        raise RetractionError(
            f"no delta is wanted today that {what} would name. Name the image into which deltas lead, the one out of "
            "which they lead with --source, or the blob of one; `deltapress plan` shows them"
        )
