"""Pure: whether the time of a run may be believed, before it makes anything old enough to be deleted.

Rule 1. A mark that lies in the future was made by a wrong clock: it counts from now on.
Rule 2. A storage with a clock of its own is asked: where the two differ by more than an hour, nothing is deleted.
Rule 3. Where nobody has published for longer than the grace period, the clock may have jumped: what is marked waits
        once more, but each mark only once, or else who publishes rarely would never delete anything.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from ..history.ledger import Ledger
from ..keys import Key

TOLERANCE: Final = timedelta(hours=1)
# Between two nightly runs lies more than a short grace period, and no jump.
_USUAL_PAUSE: Final = timedelta(days=2)


def disagreement(now: datetime, clock: datetime | None, *, waited: timedelta) -> str | None:
    """Why nothing may be deleted, in words: `now`, older by up to `waited`, is not the storage's time."""
    if clock is None or now - TOLERANCE <= clock <= now + waited + TOLERANCE:
        return None
    return (
        f"the clock of this machine says {_text(now)}, that of the storage says {_text(clock)}; set the wrong one, "
        "or what is in its grace period could be deleted too early"
    )


def settle_marks(
    ledger: Ledger, grace_of: Callable[[Key], timedelta], *, now: datetime, last: datetime | None
) -> tuple[Ledger, str | None]:
    """Restart the count of marks that the time since the run before, which began at `last`, would make old by itself.

    Returns a line for the user where that happened for rule 3. The same value when nothing changed.
    """
    changed = {}
    is_silent = False
    for key, record in ledger.keys.items():
        since = record.unreferenced
        if since is None or since == now:
            continue
        silence = now - last if last is not None else timedelta(0)
        is_jump = silence > max(grace_of(key), _USUAL_PAUSE) and since != ledger.renewed
        is_silent |= is_jump
        if since > now or is_jump:
            changed[key] = replace(record, unreferenced=now)
    if not changed:
        return ledger, None
    settled = ledger.with_keys(changed)
    if not is_silent or last is None:
        return settled, None
    return replace(settled, renewed=now), (
        f"nobody has published here since {_text(last)}, unless a clock has jumped: the grace period of "
        f"{len(changed):,} unreferenced files starts again"
    )


def _text(time: datetime) -> str:
    return time.isoformat(sep=" ", timespec="minutes")
