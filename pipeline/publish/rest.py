"""Repositories at rest: nothing that a run would do or say about them can have changed since one did it.

Rule 1. A repository is at rest after a publish that had nothing to say about it and left nothing to do: all of its
        layout was read, its deltas are made or refused for good, no key of it is pending.
Rule 2. The root of the ledger remembers of what that came (`origins`). When that is another, or time has brought
        something to do (a grace period, `keep_for` or `sources_within` ends, or a month of `sources_monthly`), it is
        looked at again.
Rule 3. While all repositories of a target are at rest, a publish reads the root and what names the layouts' contents,
        and ends. When in doubt, it looks at everything.
"""

from datetime import datetime
from typing import Final

from ..config import Config, Repository
from ..deltas.plan import DeltaPlan
from ..history.documents import Rest, Root
from ..history.ledger import Ledger
from ..history.retention import end_of, next_release
from ..keys import PAGE_KEY, repository_of
from .begin import unconfigured_notes
from .origins import Origins
from .outcome import Outcome
from .rules import rules_of
from .run import Order, Run

# Of what no layout of ours is: whoever publishes it may know better.
_NOT_OURS: Final = "not ours"
_GONE: Final = "gone"


def outcome_at_rest(order: Order) -> Outcome | None:
    """What a publish comes to that has nothing to do; None where it must look. Raises TargetError."""
    config, settings = order.config, order.settings
    if settings.repair or settings.adopt or settings.force or settings.look:
        return None
    root = order.store.peek()
    if root is None or not _is_at_rest(root, config, now=settings.now):
        return None
    published = [name for name, rest in root.rests.items() if rest.seen != _GONE]
    caveats = order.lock.caveats if order.lock is not None else ()
    return Outcome(
        is_dry=False,
        is_at_rest=True,
        started=settings.now,
        ledger=Ledger(),
        plan=DeltaPlan(wanted=(), jobs=(), skipped=()),
        repositories=tuple(repository.name for repository in config.repositories),
        is_pruned=settings.prune,
        notes=(*unconfigured_notes(config, published), *caveats),
    )


def rests_after(run: Run) -> dict[str, Rest | None]:
    """Of each repository by what it is at rest after this publish, or None where it is not.

    A repository of another configuration goes on as its publisher has left it, if its document is what it was.
    """
    if not run.history.origins:
        return {}  # no publish: nobody has looked at the layouts
    restless = _restless(run)
    marks = _marks(run)
    rules = rules_of(run.order.config, run.ledger)
    found: dict[str, Rest | None] = {}
    for name in run.order.store.repositories:
        record = run.ledger.repositories.get(name)
        since, until = marks.get(name, (None, None))
        if record is not None:
            by = rules[name]
            release = next_release(record, by.scopes, policy=by.policy, now=run.order.settings.now)
            until = min((time for time in (until, release) if time is not None), default=None)
        if name in restless:
            found[name] = None
        elif name not in run.history.origins:
            if name not in run.order.store.at_rest:
                found[name] = Rest(seen=_GONE if record is None else _NOT_OURS, since=since, until=until)
        elif record is None or (origin := run.history.origins[name]) is None:
            found[name] = None
        else:
            found[name] = Rest(seen=origin, since=since, until=until)
    return found


def _is_at_rest(root: Root, config: Config, *, now: datetime) -> bool:
    is_settled = (
        root.rests.keys() == root.documents.keys()
        and not root.retractions
        and not any(record.is_pending or record.unreferenced for record in root.keys.values())
        and (PAGE_KEY in root.keys) == config.site.pages
        and all(rest.holds(now) for rest in root.rests.values())
    )
    if not is_settled:
        return False
    origins = Origins(config)
    return all(_is_as_seen(root, origins, repository) for repository in config.repositories)


def _is_as_seen(root: Root, origins: Origins, repository: Repository) -> bool:
    rest = root.rests.get(repository.name)
    return rest is not None and rest.seen == origins.mark_of(repository)


def _restless(run: Run) -> set[str]:
    """The repositories of which there is something to say, or to do."""
    failed = {failure.job.key for failure in run.failures}
    found = {want.repository for want in run.plan.wanted if want.key in failed}
    found |= {name for key, record in run.ledger.keys.items() if record.is_pending and (name := repository_of(key))}
    found |= run.history.failed.keys() | run.history.broken.keys() | run.history.bad.keys()
    ours = {repository.name for repository in run.order.config.repositories}
    # each line about a repository begins with its name
    return found | (ours & {line.partition(": ")[0] for line in (*run.notes, *run.tree.notes, *run.history.lost)})


def _marks(run: Run) -> dict[str, tuple[datetime, datetime]]:
    """Of each repository with unreferenced files since when the last of them is that, and until when the first stays.

    Before the former time a clock is wrong, and its marks are doubted.
    """
    grace_of = run.grace_of
    found: dict[str, tuple[datetime, datetime]] = {}
    for key, record in run.ledger.keys.items():
        if record.unreferenced is not None and (name := repository_of(key)) is not None:
            end = end_of(record.unreferenced, grace_of(key))
            last, first = found.get(name, (record.unreferenced, end))
            found[name] = max(record.unreferenced, last), min(end, first)
    return found
