"""What the ledger remembers of the keys that were written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ...oci.digest import Digest
from ...oci.fields import Fields
from .fields import read_time, write_time


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What was written under a key.

    `headers` is the fingerprint of those that were stored with it; `order` that of its writing, which deletion
    reverses. While `is_pending` it is about to be written or deleted, and nothing is certain. Since `unreferenced`
    nothing has led to it.
    """

    digest: Digest
    size: int
    order: tuple[int, int]
    headers: str = ""
    is_pending: bool = False
    unreferenced: datetime | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            digest=fields.digest("digest"),
            size=fields.size("size"),
            order=(fields.size("phase"), fields.size("rank") if fields.has("rank") else 0),
            headers=fields.text("headers", ""),
            is_pending=fields.has("pending"),
            unreferenced=read_time(fields, "unreferenced") if fields.has("unreferenced") else None,
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"digest": str(self.digest), "size": self.size, "phase": self.order[0]}
        if self.order[1]:
            found["rank"] = self.order[1]
        if self.headers:
            found["headers"] = self.headers
        if self.is_pending:
            found["pending"] = True
        if self.unreferenced is not None:
            found["unreferenced"] = write_time(self.unreferenced)
        return found
