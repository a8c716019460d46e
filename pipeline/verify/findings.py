"""What is collected on the way through a tree."""

from dataclasses import dataclass, field
from typing import Final, Self

from ..deltas.formats.contract import ListedDelta
from ..history.records.deltas import DeltaKey
from ..history.records.images import LayerRecord
from ..history.resolver import LayerLocator
from ..keys import Key, blob_key
from ..oci.digest import DiffID, Digest
from ..text import one_line

_MAX_PROBLEM: Final = 1000  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that a client, or the next publish, would stumble over."""

    key: str
    problem: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDelta:
    """A delta as a client finds it; `key` is its blob. The `pair` `is_exact` where what lists it says from which layers
    it was made, and not from which one alone."""

    key: Key
    digest: Digest
    pair: DeltaKey
    is_exact: bool = False

    @classmethod
    def of(cls, delta: ListedDelta, repository: str) -> Self:
        key = blob_key(repository, delta.blob.digest)
        return cls(key=key, digest=delta.blob.digest, pair=delta.key, is_exact=delta.is_exact)

    @property
    def identity(self) -> tuple[Key, DiffID, DiffID]:
        """The same for a delta that several formats list, however much each says of it."""
        return self.key, self.pair.from_diff_id, self.pair.to_diff_id


@dataclass(slots=True)
class Findings:
    """Problems, and what later checks need: where each layer lies, which deltas are listed, which layers as they are
    beside them (each with its blob), and for which of what is listed there is nothing to compare it with."""

    problems: list[Problem] = field(default_factory=list)
    layers: dict[DiffID, LayerLocator] = field(default_factory=dict)
    deltas: list[FoundDelta] = field(default_factory=list)
    whole: set[tuple[Key, LayerRecord]] = field(default_factory=set)
    unproven: list[str] = field(default_factory=list)

    def complain(self, key: str, problem: str) -> None:
        # what a tree holds may be anybody's text
        self.problems.append(Problem(key=one_line(key), problem=one_line(problem, most=_MAX_PROBLEM)))
