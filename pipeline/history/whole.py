"""Pure: a ledger of schema 1, 2 or 3, one document for everything, which the first run that writes divides."""

from ..oci.fields import Fields
from .documents import read_deltas, read_keys, read_outlines, read_removals, read_retractions
from .ledger import Ledger
from .records.fields import read_time
from .records.repositories import RepositoryRecord


def read_whole(fields: Fields) -> Ledger:
    """Raises FieldError."""
    repositories = fields.object("repositories")
    return Ledger(
        repositories={name: RepositoryRecord.read(repositories.object(name)) for name in repositories.names()},
        outlines=read_outlines(fields.object("outlines")),
        deltas=read_deltas(fields),
        keys=read_keys(fields.object("keys")),
        removals=read_removals(fields),
        retractions=read_retractions(fields),
        renewed=read_time(fields, "renewed") if fields.has("renewed") else None,
    )
