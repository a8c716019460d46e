"""What the ledger remembers of deltas: those that were made or refused, and those that were retracted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from ...oci.digest import DiffID, Digest
from ...oci.fields import Fields
from .fields import read_diff_id, read_time, write_time


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class DeltaKey:
    """What a delta is made from and to.

    `below` are the layers under the `from` layer whose files serve as sources too, lowest first: where the client has
    the whole image for certain. It is empty where only the files of the `from` layer itself are certain to be there.
    """

    from_diff_id: DiffID
    to_diff_id: DiffID
    below: tuple[DiffID, ...] = ()

    def __str__(self) -> str:
        return f"{self.from_diff_id.short} -> {self.to_diff_id.short}"

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            from_diff_id=read_diff_id(fields, "from"),
            to_diff_id=read_diff_id(fields, "to"),
            below=fields.diff_ids("below") if fields.has("below") else (),
        )

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"from": str(self.from_diff_id), "to": str(self.to_diff_id)}
        if self.below:
            found["below"] = [str(diff_id) for diff_id in self.below]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaRecord:
    """A delta that was made and proven, or the reason why there is none.

    `size` is in bytes, 0 when it was not even made; `digest` is None when it is not stored; `generator` and `options`
    say by which encoder: another one makes it again.
    """

    key: DeltaKey
    generator: str
    options: str
    size: int = 0
    digest: Digest | None = None
    refused: str | None = None

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            key=DeltaKey.read(fields),
            generator=fields.text("generator"),
            options=fields.text("options"),
            size=fields.size("size"),
            digest=fields.digest("digest") if fields.has("digest") else None,
            refused=fields.optional_text("refused"),
        )

    def to_json(self) -> dict[str, Any]:
        found = self.key.to_json() | {"generator": self.generator, "options": self.options, "size": self.size}
        if self.digest is not None:
            found["digest"] = str(self.digest)
        if self.refused is not None:
            found["refused"] = self.refused
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractionRecord:
    """When somebody retracted deltas; `deltas` are those that one blob was, where a single one was named."""

    since: datetime
    deltas: tuple[DeltaKey, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        deltas = fields.objects("deltas") if fields.has("deltas") else ()
        return cls(since=read_time(fields, "since"), deltas=tuple(map(DeltaKey.read, deltas)))

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"since": write_time(self.since)}
        if self.deltas:
            found["deltas"] = [key.to_json() for key in self.deltas]
        return found
