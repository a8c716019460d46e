"""Where the ledger lies: one key of the target, written only when it changed, and only if it can be read again."""

from typing import Final

from ..content import BytesContent
from ..keys import JSON, LEDGER_KEY, MUTABLE, Headers
from ..oci.digest import Digest
from ..targets.base import KeyMissingError, ReadableTarget, Target, read_bytes
from .ledger import MAX_LEDGER_SIZE, Ledger, LedgerError, Lines

_HEADERS: Final = Headers(content_type=JSON, cache_control=MUTABLE)


class LedgerStore:
    """The ledger of one target, for the publisher that holds its lock."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._stored: Ledger | None = None
        self._lines = Lines()
        self.size = 0
        """Bytes of the stored ledger, 0 before it is loaded."""

    def load(self) -> Ledger | None:
        """None when there is none. Raises LedgerError, TargetError."""
        raw = _read(self.target)
        self._stored = Ledger.parse(raw) if raw is not None else None
        self.size = len(raw) if raw is not None else 0
        return self._stored

    def save(self, ledger: Ledger) -> bool:
        """Write `ledger` if it differs from the stored one, and say whether it did.

        Raises:
            LedgerError: `load` would refuse it.
            TargetError: the storage failed.
        """
        if ledger == self._stored:
            return False
        raw = ledger.serialise(self._lines)
        if len(raw) > MAX_LEDGER_SIZE:
            raise LedgerError(
                f"would have {len(raw):,} bytes, at most {MAX_LEDGER_SIZE:,} are read again, so it is left as it was; "
                "publish some of the repositories to another target"
            )
        self.size = len(raw)
        self.target.put(LEDGER_KEY, BytesContent(raw), _HEADERS, digest=Digest.of(raw))
        self._stored = ledger
        return True


def load_ledger(target: ReadableTarget) -> Ledger | None:
    """The ledger, for those who do not write it; None when there is none. Raises LedgerError, TargetError."""
    raw = _read(target)
    return Ledger.parse(raw) if raw is not None else None


def _read(target: ReadableTarget) -> bytes | None:
    try:
        return read_bytes(target, LEDGER_KEY, limit=MAX_LEDGER_SIZE)
    except KeyMissingError:
        return None
