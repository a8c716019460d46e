"""A delta job as values: what goes in, and what comes out.

Rule 1. A job is plain data, and so is its result but for the bytes: it can be made in another thread, in another
        process or on another machine. Where its layers are is a locator, which a `ContentResolver` follows.
Rule 2. A result is one of three. `Made` and `Refused` are facts about verified layers, and are remembered; `Failed` is
        damage, a lack of something, or a mistake: it is reported, and tried again in the next run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ..content import Content
from ..history.records.deltas import DeltaKey, DeltaRecord
from ..history.records.images import LayerRecord
from ..history.resolver import LayerLocator
from ..limits import Limits
from ..oci.digest import Digest
from ..tardiff.encoder import GENERATOR, EncoderOptions
from .plan import PlannedDelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaJob:
    """A delta to make. `sources` are the layers to extract, lowest first; the last one is the `from` layer.

    A delta of more than `max_size` bytes is refused; `limits` bound an uncompressed layer.
    """

    key: DeltaKey
    sources: tuple[LayerLocator, ...]
    layer: LayerLocator
    max_size: int
    options: EncoderOptions
    limits: Limits

    @classmethod
    def of(
        cls,
        planned: PlannedDelta,
        locate: Callable[[LayerRecord], LayerLocator],
        *,
        options: EncoderOptions,
        limits: Limits,
    ) -> "DeltaJob":
        """What a plan wants, with the places of its layers."""
        return cls(
            key=planned.key,
            sources=tuple(map(locate, planned.sources)),
            layer=locate(planned.layer),
            max_size=planned.max_size,
            options=options,
            limits=limits,
        )

    def record(self, *, size: int = 0, digest: Digest | None = None, refused: str | None = None) -> DeltaRecord:
        """What is remembered of the job: a delta of `size` bytes, or why there is none."""
        return DeltaRecord(
            key=self.key, generator=GENERATOR, options=self.options.key, size=size, digest=digest, refused=refused
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A proven delta. `content` is its bytes, valid until the next result is taken.

    `lost_sources` says what of the old layers could not be used, and why; empty where nothing was lost.
    """

    job: DeltaJob
    record: DeltaRecord
    content: Content
    lost_sources: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A lasting reason for no delta, which `record` states. `lost_sources` is as in `Made`."""

    job: DeltaJob
    record: DeltaRecord
    lost_sources: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that must be looked at; it is tried again in the next run."""

    job: DeltaJob
    problem: str


Result = Made | Refused | Failed
