"""The steps of a run, each of which changes its state; `job` puts them in order."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from ..config import Config
from ..deltas.budget import within_budget
from ..deltas.executor import ThreadExecutor, make_deltas
from ..deltas.job import DeltaJob, Failed, Made, Refused, Result
from ..deltas.make import Workshop
from ..deltas.plan import DeltaPlan, Wanted, plan_deltas
from ..deltas.savings import savings
from ..history.ledger import Ledger
from ..history.records.deltas import DeltaKey
from ..history.records.keys import KeyRecord
from ..keys import Key, Phase, blob_key, repository_of, tags_key
from ..progress import Silent
from ..scratch import remove_dead, scratch_folder
from ..tardiff.encoder import GENERATOR, EncoderOptions
from ..tardiff.pool import Pool
from ..targets.base import LockInfo
from ..tree.pages import page_files
from ..tree.servers import server_files
from ..tree.static import Entry, assemble, blob_entry, check_case, still_there
from .adopt import ForeignFilesError, foreign_keys, without_foreign_page
from .clocks import disagreement, settle_marks
from .prune import PrunePlan, TooMuchError, check_share, execute, forget_deltas, mark, plan_prune, plan_removal, unmark
from .repair import broken_keys, remove_spoiled
from .rest import rests_after
from .rules import rules_of
from .run import Run
from .write import key_record, plan_writes, put_entries, write_entries

Step = Callable[[Run], None]


def plan_jobs(run: Run) -> None:
    """Decide which deltas should exist, and which of them must be made."""
    run.plan = planned(run.order.config, run.ledger, now=run.order.settings.now)


def planned(config: Config, ledger: Ledger, *, now: datetime) -> DeltaPlan:
    """The deltas that should exist by `config`, and those that must be made."""
    rules, options = rules_of(config, ledger), EncoderOptions(effort=config.effort)
    plan = plan_deltas(ledger, rules, generator=GENERATOR, options=options.key, now=now)
    return within_budget(plan, rules, ledger.deltas)


def mention_retracted(run: Run) -> None:
    """Say for which deltas nothing is made, because somebody has retracted them."""
    for name, count in run.plan.retracted_counts().items():
        run.notes.append(
            f"{count:,} delta{'s are' if count > 1 else ' is'} neither listed nor made, since "
            f"{run.ledger.retractions[name].since:%Y-%m-%d %H:%M}: `deltapress retract --undo {name}` takes that back"
        )


def assemble_tree(run: Run) -> None:
    """Lay out what should be published, with the deltas that are there by now. Raises CollisionError."""
    properties = run.order.target.properties
    if run.server_files is None:
        run.server_files = server_files(stores_headers=properties.stores_headers)
    extras = dict(run.server_files)
    if (site := run.order.config.site).pages:
        extras |= page_files(run.ledger, tuple(savings(run.ledger, run.plan.wanted)), site)
    run.tree = assemble(run.ledger, run.plan.wanted, extras=extras, stores_headers=properties.stores_headers)
    if properties.folds_case:
        check_case(run.tree)


def spare_foreign_page(run: Run) -> None:
    """Forget the page that somebody has put in the place of ours, where we were told to write none."""
    if not run.order.config.site.pages:
        run.ledger = without_foreign_page(run.order.target, run.ledger)


def refuse_foreign(run: Run) -> None:
    """Stop before somebody else's files are overwritten. Raises ForeignFilesError."""
    if (error := _foreign(run)) is not None:
        raise error


def mention_foreign(run: Run) -> None:
    """Say for what a publish would stop."""
    if (error := _foreign(run)) is not None:
        run.notes.append(f"publish would refuse this: {error}")


def _foreign(run: Run) -> ForeignFilesError | None:
    if run.order.settings.adopt:
        return None
    target = run.order.target
    keys = foreign_keys(target, run.tree, run.history.ledger, present=run.history.present)
    return ForeignFilesError(keys, target.url) if keys else None


def plan_writing(run: Run) -> None:
    """Say what would be written."""
    stores_headers = run.order.target.properties.stores_headers
    run.writes = plan_writes(run.tree, run.ledger, stores_headers=stores_headers, again=run.history.misserved)


def write_images(run: Run) -> None:
    """Write what does not wait for deltas."""
    waiting = {known.name for known in run.order.config.repositories if known.policy.order == "deltas-first"}

    def is_ready(entry: Entry) -> bool:
        if entry.phase <= Phase.REFERRERS:
            return True
        return not waiting if entry.repository is None else entry.repository not in waiting

    _write(run, is_ready)


def write_all(run: Run) -> None:
    """Write whatever the target lacks of the tree."""
    _write(run, lambda _: True)


def _write(run: Run, is_ready: Callable[[Entry], bool]) -> None:
    run.ledger = unmark(run.ledger, run.tree)
    stores_headers = run.order.target.properties.stores_headers
    again = run.done.misserved.keys() - run.done.written.sizes.keys()
    missing = plan_writes(run.tree, run.ledger, stores_headers=stores_headers, again=again)
    entries = tuple(entry for entry in missing if is_ready(entry))
    resolver = run.history.resolver
    for want in run.plan.wanted:
        record = run.ledger.deltas.get(want.key)
        if record is not None and record.digest is not None and want.accepts(record):
            resolver.grant(want.repository, record.digest)
    run.ledger, written = write_entries(run.order.store, entries, run.ledger, resolver, progress=run.order.progress)
    run.done.written += written


def remove_damage(run: Run) -> None:
    """Delete the content that is not what its name says, so that it can be written anew."""
    run.done.damage |= run.history.damage
    run.done.misserved |= run.history.misserved
    remove_spoiled(run.order.target, run.history.damage, run.ledger.keys)


def remove_broken(run: Run) -> None:
    """Delete what nobody can use, and the tree goes on without."""
    if run.history.is_rebuilt:
        return
    run.done.broken |= broken_keys(run.ledger, run.tree.entries, run.order.target)
    found = (*run.history.damage, *run.done.broken)
    doubtful = run.history.bad
    gone = [
        key
        for key in found
        if key in run.ledger.keys and key not in run.tree.entries and repository_of(key) not in doubtful
    ]
    removal = plan_removal(run.ledger, dict.fromkeys(gone), now=run.order.settings.now)
    run.ledger = execute(run.order.store, removal, run.ledger, progress=run.order.progress)


def make_missing_deltas(run: Run) -> None:
    """Make the deltas of the plan. A proven one is stored and remembered at once."""
    wants: dict[DeltaKey, list[Wanted]] = {}
    for want in run.plan.wanted:
        wants.setdefault(want.key, []).append(want)
    keys: dict[Key, KeyRecord] = {}
    for result in _results(run):
        match result:
            case Made():
                run.made.append(result.record)
                _mention(run, result)
                keys |= _store_delta(run, result, wants[result.job.key])
            case Refused():
                run.refused.append(result.record)
                _mention(run, result)
                run.order.store.note(result.record, ())
            case Failed():
                run.failures.append(result)
            case _:
                assert_never(result)
    run.ledger = run.ledger.with_deltas([*run.made, *run.refused]).with_keys(keys)


def settle_budget(run: Run) -> None:
    """Drop the deltas for which there is no room, now that their sizes are known."""
    limits = (rules.policy.max_deltas for rules in rules_of(run.order.config, run.ledger).values())
    if run.made and any(limit is not None for limit in limits):
        after = planned(run.order.config, run.ledger, now=run.order.settings.now)
        run.plan = replace(after, jobs=run.plan.jobs)


def _mention(run: Run, result: Made | Refused) -> None:
    if result.lost_sources:
        note = f"layer {result.job.key.from_diff_id.short}: {result.lost_sources}"
        if note not in run.notes:  # several deltas may be made from one layer
            run.notes.append(note)


def _store_delta(run: Run, result: Made, wants: Iterable[Wanted]) -> Mapping[Key, KeyRecord]:
    """Store the delta wherever it will be listed, after the journal has said so; the keys that have it then."""
    digest = result.record.digest
    names = sorted({want.repository for want in wants if want.accepts(result.record)})
    run.order.store.note(result.record, names)
    if digest is None or not names:
        return {}
    entries = [blob_entry(name, digest, result.record.size) for name in names]
    resolver, target = run.history.resolver, run.order.target
    run.done.written += put_entries(target, entries, resolver, new={digest: result.content}, progress=Silent())
    return {entry.key: key_record(entry, target.properties.stores_headers) for entry in entries}


def _results(run: Run) -> Iterator[Result]:
    if not run.plan.jobs:
        remove_dead(run.order.settings.temporary)
        return
    order, settings = run.order, run.order.settings
    resolver = run.history.resolver
    resolver.refresh(run.ledger)
    options = EncoderOptions(effort=order.config.effort)
    jobs = [
        DeltaJob.of(planned, resolver.locate, options=options, limits=order.config.limits) for planned in run.plan.jobs
    ]
    with (
        scratch_folder(settings.temporary) as directory,
        Pool(workers=settings.jobs, memory=settings.memory) as pool,
        ThreadExecutor(Workshop(resolver=resolver, directory=directory, pool=pool)) as executor,
    ):
        yield from make_deltas(jobs, executor, progress=order.progress)


def mark_unreferenced(run: Run) -> None:
    """Note since when nothing leads to what the tree does not have."""
    run.ledger = mark(run.ledger, run.tree, now=run.order.settings.now)


def delete_at_once(run: Run) -> None:
    """Delete what was removed, now or before, by the name that must not wait, and what was made of it: what other names
    lead to stays."""
    what = run.order.at_once
    removal = run.ledger.removals.get(str(what))
    if what is None or removal is None:
        return
    moments = {run.order.settings.now, removal.since}
    keys = [
        key
        for key, record in run.ledger.keys.items()
        if record.unreferenced in moments and repository_of(key) == what.repository
    ]
    gone = plan_removal(run.ledger, keys, now=run.order.settings.now)
    is_dry = run.order.lock is None
    if not is_dry:
        run.ledger = execute(run.order.store, gone, run.ledger, progress=run.order.progress)
    run.notes.append(f"{what}: {'would delete' if is_dry else 'deleted'} {len(keys):,} files, without a grace period")
    blobs = {blob.digest for image in removal.taken.images.values() for blob in image.blobs}
    if shared := sum(blob_key(what.repository, digest) in run.tree.entries for digest in blobs):
        run.notes.append(f"{what}: {shared:,} of its {len(blobs):,} blobs stay, since other images have them, too")


def settle_clock(run: Run) -> None:
    """Let marks count anew that a jump of the clock would make old."""
    lock = run.order.lock or LockInfo()
    run.ledger, note = settle_marks(run.ledger, run.grace_of, now=run.order.settings.now, last=lock.last)
    if note is not None:
        run.notes.append(note)


def plan_deletion(run: Run) -> None:
    """Decide what may go of what is marked, and whether anything may."""
    doubtful = run.history.bad
    run.deletion = plan_prune(
        run.ledger,
        run.grace_of,
        now=run.order.settings.now,
        spared=lambda key: bool(doubtful) and repository_of(key) in doubtful,
    )
    run.prune_problem = _doubt(run) if run.deletion.remove and run.order.settings.prune else None


def _doubt(run: Run) -> str | None:
    """Why everything must stay, in words."""
    settings, lock = run.order.settings, run.order.lock or LockInfo()
    if run.history.is_rebuilt:
        return "the ledger was rebuilt in this run"
    if run.history.unread:
        return run.history.unread
    waited = timedelta(seconds=settings.wait)
    if (problem := disagreement(settings.now, lock.clock, waited=waited)) is not None:
        return problem
    if not settings.force:
        try:
            check_share(_not_asked_for(run), run.order.config.max_delete)
        except TooMuchError as error:
            return str(error)
    return None


def _not_asked_for(run: Run) -> PrunePlan:
    """The deletion without the repositories that somebody removed by their names: those are no mistake."""
    stones = (stone for stone in run.deletion.remove if repository_of(stone.key) not in run.ledger.removals)
    return replace(run.deletion, remove=tuple(stones))


def delete(run: Run) -> None:
    """Delete as planned, where nothing speaks against it."""
    if run.prune_problem is not None or not run.order.settings.prune:
        return
    run.ledger = execute(run.order.store, run.deletion, run.ledger, progress=run.order.progress)
    run.is_pruned = True
    # of a repository that was removed, the empty list of tags was to stand as long as anything else did
    removed = run.ledger.removals.keys() - run.ledger.repositories.keys() - set(still_there(run.ledger))
    lists = [key for key in map(tags_key, removed) if key in run.ledger.keys]
    removal = plan_removal(run.ledger, dict.fromkeys(lists), now=run.order.settings.now)
    run.ledger = execute(run.order.store, removal, run.ledger, progress=Silent())


def forget_unwanted(run: Run) -> None:
    """Forget the deltas that no image wants, once their blobs are gone too."""
    # what has no room would be made again every night if its size were forgotten
    known = (*run.plan.wanted, *run.plan.over_budget)
    run.ledger = forget_deltas(run.ledger, (want.key for want in known))


def save(run: Run) -> None:
    """Remember it all, and which repositories are at rest."""
    run.order.store.save(run.ledger, rests_after(run))


def save_loaded(run: Run) -> None:
    """Remember it all, unless the ledger was rebuilt: only a publish, which has seen the layouts, begins a new one."""
    if not run.history.is_rebuilt:
        save(run)
