"""The whole run: layouts -> history -> plan -> deltas -> tree -> target, under the target's lock.

    outcome    how a run is to be carried out, and what came of it
    history    the ledger, after every layout that can be read was seen
    publisher  publish, dry run, prune, reconcile

Rule 1. One bad repository does not keep the others from being published, but in a run with one nothing is deleted.
Rule 2. By default an image does not wait for its deltas: images and tags are written, then deltas are made, then
        listed. With the order `deltas-first` a repository's tags are written last.
Rule 3. A proven delta is stored and remembered at once: a run that dies later does not make it again.
Rule 4. A run in which nothing changed writes nothing, the ledger included.
Rule 5. What a run that died left unfinished, and no layout has any more, is forgotten: it must not keep the next image
        from being published.
"""

from .outcome import Outcome, Settings
from .publisher import dry_run, prune, reconcile, run

__all__ = ["Outcome", "Settings", "dry_run", "prune", "reconcile", "run"]
