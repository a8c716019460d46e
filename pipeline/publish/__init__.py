"""The whole run: layouts -> history -> plan -> deltas -> tree -> target, under the target's lock.

    job         publish, dry run, prune, recall, remove, retract, tag, reconcile: which steps each takes, in which order
    carried_out any run from the outside: the lock, and the report that stays
    steps       what each step does to a run, whose state is in run
    begin       the ledger, after every layout that can be read was seen; each repository is tried alone (trial)
    removal     the ledger, after something was removed, retracted, put back or pointed
    rest        repositories of which a run has nothing to do or to say, and what wakes them;
                of what each comes, as a mark, is in origins
    rules       pure: by which rules each repository is published
    write       write a Tree to a Target, phase by phase
    prune       mark -> PrunePlan -> execute; whether the clock can be trusted with that is in clocks (pure)
    repair      what the storage has lost or spoiled: found, and decided what becomes of it
    rebuild     a lost ledger, from the tree
    reconcile   a listing of the target beside the ledger; both use ranks: the order of documents, told without one
    what_if     what another policy would cost and save
    outcome     how a run is to be carried out, and what came of it

Rule 1. One bad repository does not keep the others from being published, but in a run with one nothing is deleted.
Rule 2. By default an image does not wait for its deltas: images and tags are written, then deltas are made, then
        listed. With the order `deltas-first` a repository's tags are written last.
Rule 3. A proven delta is stored and remembered at once: a run that dies later does not make it again.
Rule 4. A run in which nothing changed writes nothing, the ledger included; if it failed, its report alone.
Rule 5. What a run that died left unfinished, and no layout has any more, is forgotten: it must not keep the next image
        from being published.
"""

from .job import dry_run, prune, recall, reconcile, remove, retract, run, tag
from .outcome import Outcome, Settings
from .what_if import Comparison, compare

__all__ = [
    "Comparison",
    "Outcome",
    "Settings",
    "compare",
    "dry_run",
    "prune",
    "recall",
    "reconcile",
    "remove",
    "retract",
    "run",
    "tag",
]
