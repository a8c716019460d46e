"""A published tree, or a part of one, from one place to another: what is at the source is published at the target.

    selection    pure: what of the source is mirrored
    source       what a source shows, be it a tree with its ledger, a tree without one, or any registry
    originals    the bytes of one repository at the source, of which what the target has already is not read again
    reading      one repository: its images, what is attached to them, its deltas
    mirrored     pure: what of that is whole and belongs together -> the record of the repository
    job          the run, of the publisher's own steps

Rule 1. The target is an ordinary one, with a ledger of its own: the same order of writes, the same grace, locks, limits
        and refusals. Nothing is copied past them.
Rule 2. The source is believed only where to look. Each document is parsed, each byte compared with its digest, and
        nothing is listed of which a part is missing. A ledger of the source saves requests, and decides nothing.
Rule 3. Bytes that have a digest are never changed: an index that lacks platforms stays as it is. Deltas are adopted
        with their documents. Only a listing that would name what is not mirrored is written anew.
Rule 4. What of the source is broken stays at the target as it was mirrored before, and nothing is deleted in that run.
"""

from .job import MirrorError, mirror
from .selection import Selection, SelectionError

__all__ = ["MirrorError", "Selection", "SelectionError", "mirror"]
