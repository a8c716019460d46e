"""A delta job as values: what goes in, and what comes out.

Rule 1. A job is plain data, and so is its result but for the bytes: it can be made in another thread, in another
        process or on another machine.
Rule 2. A result is one of three. `Made` and `Refused` are facts about the layers, and are remembered; `Failed` is an
        accident, is reported, and is tried again in the next run.
"""

from dataclasses import dataclass

from ..content import Content
from ..history.records import DeltaRecord
from .plan import DeltaJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A proven delta. `content` is its bytes, valid until the next result is taken."""

    job: DeltaJob
    record: DeltaRecord
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A lasting reason for no delta, which `record` states."""

    job: DeltaJob
    record: DeltaRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that must be looked at; it is tried again in the next run."""

    job: DeltaJob
    problem: str


Result = Made | Refused | Failed
