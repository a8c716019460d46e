"""Ledgers as earlier versions wrote them: everything in one document."""

import json

from pipeline.history.ledger import Ledger
from pipeline.history.records.fields import write_time


def whole(ledger: Ledger, schema: int) -> bytes:
    """Schema 3, or 2, which knew no retractions, or 1, which knew neither rules nor removals."""
    repositories = {name: record.to_json() for name, record in ledger.repositories.items()}
    document = {
        "schema": schema,
        "repositories": repositories,
        "outlines": {str(diff_id): outline.to_json() for diff_id, outline in ledger.outlines.items()},
        "deltas": [delta.to_json() for delta in ledger.deltas.values()],
        "keys": {key: record.to_json() for key, record in ledger.keys.items()},
    }
    if ledger.renewed is not None:
        document["renewed"] = write_time(ledger.renewed)
    if schema == 1:
        for record in repositories.values():
            record.pop("rules", None)
    else:
        document["removals"] = {name: removal.to_json() for name, removal in ledger.removals.items()}
    if schema == 3:
        document["retractions"] = {name: record.to_json() for name, record in ledger.retractions.items()}
    return json.dumps(document).encode()
