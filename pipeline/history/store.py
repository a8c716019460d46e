"""Where the ledger lies: one key of the target, written only when it changed."""

from typing import Final

from ..content import BytesContent
from ..keys import JSON, LEDGER_KEY, MUTABLE, Headers
from ..oci.digest import Digest
from ..targets.base import KeyMissingError, ReadableTarget, Target, read_bytes
from .ledger import MAX_LEDGER_SIZE, Ledger, Lines

_HEADERS: Final = Headers(content_type=JSON, cache_control=MUTABLE)


class LedgerStore:
    """The ledger of one target, for the publisher that holds its lock."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._stored: Ledger | None = None
        self._lines = Lines()

    def load(self) -> Ledger | None:
        """None when there is none. Raises LedgerError, TargetError."""
        self._stored = load_ledger(self.target)
        return self._stored

    def save(self, ledger: Ledger) -> bool:
        """Write `ledger` if it differs from the stored one, and say whether it did. Raises TargetError."""
        if ledger == self._stored:
            return False
        raw = ledger.serialise(self._lines)
        self.target.put(LEDGER_KEY, BytesContent(raw), _HEADERS, digest=Digest.of(raw))
        self._stored = ledger
        return True


def load_ledger(target: ReadableTarget) -> Ledger | None:
    """The ledger, for those who do not write it; None when there is none. Raises LedgerError, TargetError."""
    try:
        raw = read_bytes(target, LEDGER_KEY, limit=MAX_LEDGER_SIZE)
    except KeyMissingError:
        return None
    return Ledger.parse(raw)
