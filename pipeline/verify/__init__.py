"""Read a whole published tree as its clients do, and say everything that is wrong with it.

    findings     the problems, and what is collected on the way
    repository   one repository: digests, references, listings
    deltas       every listed delta, applied again
    tree         all of it: verify()

Rule 1. Nothing is believed that the publisher wrote down: every blob and manifest is hashed, every reference followed,
        every delta applied again.
Rule 2. All problems are reported, not the first; nothing is repaired here.
Rule 3. What the ledger knows and the tree has not is a problem too: the next publish would rely on it.
"""

from .findings import Problem
from .tree import Verification, verify

__all__ = ["Problem", "Verification", "verify"]
