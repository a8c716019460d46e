"""What two files have in common: one library a file, all behind `Matcher`.

Rule 1. A matcher answers with a cover and knows nothing of operations, files or compression.
Rule 2. What it answers is checked (`cover`) before it is used; it can be wrong, but it cannot do harm.
Rule 3. The same two inputs give the same cover, whatever runs beside it.
"""

from typing import Protocol

from ..cover import CoverArray


class Matcher(Protocol):
    """Finds what `new` has in common with `old`. Stateless; called from any thread."""

    def cover(self, old: bytes, new: bytes) -> CoverArray:
        """What of `new` is worth making from `old`."""
        ...

    def memory(self, old: int, new: int) -> int:
        """Upper bound of the bytes allocated by `cover` for inputs of these sizes, the inputs included."""
        ...
