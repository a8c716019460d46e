"""What a repository would become, tried alone before it is taken up, so that what is wrong with one stays there.

Rule 1. It is planned and laid out as in a tree of its own. Where that fails, the others do not hear of it.
Rule 2. What is to be remembered of it must be readable again: no layout can make a ledger that the next run refuses.
"""

from typing import Final

from ..config.values import Site
from ..deltas.plan import Rules, plan_deltas
from ..deltas.savings import savings
from ..errors import DeltapressError
from ..history.documents import MAX_DOCUMENT_SIZE, Part, divide
from ..history.ledger import Ledger
from ..oci.fields import FieldError
from ..targets.base import Properties
from ..tree.pages import page_files
from ..tree.static import assemble, check_case

# What is not yet known of it needs room too: its deltas, and what was published earlier and is in its grace period.
MAX_REPOSITORY_SIZE: Final = MAX_DOCUMENT_SIZE // 2
_KEY_LINE: Final = 320  # bytes of a key's record in the ledger, at most, but for the key itself


class UnrecordableError(DeltapressError):
    """What a repository has become cannot be remembered."""


def try_out(name: str, ledger: Ledger, rules: Rules, *, site: Site, properties: Properties) -> None:
    """Plan and lay out the repository `name` of `ledger` alone. What that costs does not depend on the others.

    Raises:
        UnrecordableError: it would be too large a part of the ledger, or could not be read again.
        CollisionError: two names of it cannot stand in one tree.
    """
    record = ledger.repositories[name]
    used = {layer.diff_id for layer in record.layers()}
    outlines = {diff_id: ledger.outlines[diff_id] for diff_id in used if diff_id in ledger.outlines}
    alone = Ledger(repositories={name: record}, outlines=outlines)
    size = _readable_size(name, alone)
    plan = plan_deltas(alone, {name: rules}, generator="", options="")
    tree = assemble(alone, plan.wanted, extras={}, stores_headers=properties.stores_headers)
    if properties.folds_case:
        check_case(tree)
    if site.pages:
        page_files(alone, tuple(savings(alone, plan.wanted)), site)
    size += sum(len(key) + _KEY_LINE for key in tree.entries)
    if size > MAX_REPOSITORY_SIZE:
        raise UnrecordableError(
            f"repository {name} would take {size:,} bytes of the ledger, one may have {MAX_REPOSITORY_SIZE:,}; publish "
            "fewer of its tags (`tags`), keep fewer of its images (`keep`), or divide its layout"
        )


def _readable_size(name: str, alone: Ledger) -> int:
    try:
        raw = divide(alone)[0][name].serialise(name)
        Part.parse(name, raw)
    except (FieldError, ValueError, RecursionError) as error:
        raise UnrecordableError(
            f"repository {name} cannot be remembered, since its record could not be read again: {error}"
        ) from error
    return len(raw)
