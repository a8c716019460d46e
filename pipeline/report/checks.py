"""What `verify` and `prune --reconcile` found, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from ..publish.reconcile import Reconciliation
from ..verify import Verification
from .lines import count, text_of


def reconciliation_text(found: Reconciliation) -> str:
    """What the listing of a target shows that the ledger does not."""
    lines = [f"Listed {count(found.total, 'file')}."]
    lines += [f"  {key}  somebody else's, left as it is" for key in found.foreign]
    lines += [
        f"  {key}  unknown, {'deleted' if found.is_deleted else 'looks like a published file'}" for key in found.stray
    ]
    if found.stray and not found.is_deleted:
        lines.append(f"--force deletes the {count(len(found.stray), 'unknown file')} that look like published ones.")
    if not (found.foreign or found.stray or found.missing):
        lines.append("The ledger knows all of them, and nothing is missing.")
    return text_of(lines)


def missing_keys(found: Reconciliation) -> Iterator[str]:
    """What the ledger knows and the target has not, one line each."""
    for key in found.missing:
        yield f"{key}: is missing, and the ledger says that it was written; run `deltapress publish --repair`"


def reconciliation_json(found: Reconciliation) -> dict[str, Any]:
    """All that `prune --reconcile` found and did."""
    return {
        "exit_code": int(found.exit_code),
        "keys": found.total,
        "stray": list(found.stray),
        "foreign": list(found.foreign),
        "missing": list(found.missing),
        "deleted": found.is_deleted,
    }


def verification_text(found: Verification) -> str:
    """What `verify` looked at; the problems are not in it."""
    lines = [
        f"Read {count(found.keys, 'file')}: {count(found.manifests, 'manifest')}, {count(found.blobs, 'blob')}.",
        f"Applied {count(found.applied, 'delta')}.",
        *found.unproven,
        f"{count(len(found.problems), 'problem')}." if found.problems else "Nothing is wrong.",
    ]
    return text_of(lines)


def verification_json(found: Verification) -> dict[str, Any]:
    """All that `verify` found."""
    return {
        "exit_code": int(found.exit_code),
        "keys": found.keys,
        "blobs": found.blobs,
        "manifests": found.manifests,
        "deltas": found.deltas,
        "applied": found.applied,
        "unproven": list(found.unproven),
        "problems": [{"key": problem.key, "problem": problem.problem} for problem in found.problems],
    }
