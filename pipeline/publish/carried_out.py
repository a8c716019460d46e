"""Any run from the outside: under the target's lock, with a report of it that stays in the target."""

from collections.abc import Callable
from dataclasses import replace

from ..config import Config
from ..errors import ExitCode
from ..history.reports import keep_report
from ..history.store import LedgerStore
from ..progress import Progress
from ..targets.base import Target, TargetError
from .outcome import Outcome, Settings
from .run import Order


def carried_out(
    work: Callable[[Order], Outcome],
    config: Config,
    target: Target,
    settings: Settings,
    *,
    is_dry: bool = False,
    progress: Progress,
) -> Outcome:
    """Do `work`; unless it is dry, with the lock, and keep a report of what it did, or why it failed.

    Where the storage failed or the ledger could not be read, nothing more is written, and so no report. Raises what
    `work` raises, and TargetError.
    """
    order = Order(config=config, store=LedgerStore(target), settings=settings, progress=progress)
    if is_dry:
        return work(order)
    with target.lock(now=settings.now, wait=settings.wait) as lock:
        order = replace(order, lock=lock)
        try:
            outcome = work(order)
        except TargetError:
            raise
        except Exception as error:  # of a mistake of ours, too, the report must tell; it goes on its way
            if order.store.has_ledger:
                try:
                    _keep(order, error)
                except TargetError as failure:
                    error.add_note(f"no report of this run is kept: {failure}")
            raise
        if not outcome.is_idle or outcome.exit_code is not ExitCode.SUCCESS:
            _keep(order, outcome)
        return outcome


def _keep(order: Order, what: Outcome | Exception) -> None:
    if order.settings.report is not None:
        keep_report(order.target, order.settings.report(what), keep=order.config.report.keep)
