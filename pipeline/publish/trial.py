"""What a repository would become, tried alone before it is taken up, so that what is wrong with one stays there.

Rule 1. It is planned and laid out as in a tree of its own. Where that fails, the others do not hear of it.
Rule 2. What is to be remembered of it must be readable again, and leave room for the others: no layout can make a
        ledger that the next run refuses.
"""

from ..config import Config
from ..deltas.plan import plan_deltas
from ..deltas.savings import savings
from ..errors import DeltapressError
from ..history.ledger import MAX_LEDGER_SIZE, Ledger, LedgerError
from ..history.records import RepositoryRecord
from ..targets.base import Properties
from ..tree.pages import page_files
from ..tree.static import assemble, check_case
from .rules import rules_of

MAX_REPOSITORY_SIZE = MAX_LEDGER_SIZE // 8
_KEY_LINE = 320  # bytes of a key's record in the ledger, at most, but for the key itself


class UnrecordableError(DeltapressError):
    """What a repository has become cannot be remembered."""


def try_out(name: str, ledger: Ledger, before: Ledger, *, config: Config, properties: Properties) -> int:
    """Plan and lay out the repository `name` of `ledger` alone; return by how many bytes it makes `before` larger.

    Raises:
        UnrecordableError: it would be too large a part of the ledger, or could not be read again.
        CollisionError: two names of it cannot stand in one tree.
    """
    record = ledger.repositories[name]
    used = {layer.diff_id for layer in record.layers()}
    outlines = {diff_id: outline for diff_id, outline in ledger.outlines.items() if diff_id in used}
    alone = Ledger(repositories={name: record}, outlines=outlines)
    size = _readable_size(name, alone)
    plan = plan_deltas(alone, {name: rules_of(config, alone)[name]}, generator="", options="")
    tree = assemble(alone, plan.wanted, extras={}, stores_headers=properties.stores_headers)
    if properties.folds_case:
        check_case(tree)
    page_files(alone, tuple(savings(alone, plan.wanted)))
    size += sum(len(key) + _KEY_LINE for key in tree.entries)
    if size > MAX_REPOSITORY_SIZE:
        raise UnrecordableError(
            f"repository {name} would take {size:,} bytes of the ledger, one may have {MAX_REPOSITORY_SIZE:,}; publish "
            "fewer of its tags (`tags`), keep fewer of its images (`keep`), or divide its layout"
        )
    known = sum(len(key) + _KEY_LINE for key in tree.entries if key in before.keys)
    return size - known - _size(name, before.repositories.get(name))


def no_room(name: str, growth: int, left: int) -> UnrecordableError:
    """The ledger may grow by `left` bytes and no more."""
    return UnrecordableError(
        f"repository {name} would make the ledger {growth:,} bytes larger, which then has room for {max(0, left):,}; "
        "publish some of the repositories to another target"
    )


def _readable_size(name: str, alone: Ledger) -> int:
    try:
        raw = alone.serialise()
        Ledger.parse(raw)
    except (LedgerError, ValueError, RecursionError) as error:
        problem = getattr(error, "problem", str(error))
        raise UnrecordableError(
            f"repository {name} cannot be remembered, since its record could not be read again: {problem}"
        ) from error
    return len(raw)


def _size(name: str, record: RepositoryRecord | None) -> int:
    return len(Ledger(repositories={name: record}).serialise()) if record is not None else 0
