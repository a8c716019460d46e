"""Reports of past runs, in the private part of a target: the last few, counted from 1.

Rule 1. A report is written before the range that names it, and deleted before the range forgets it. So a run that dies
        in between leaves nothing behind that a later one does not overwrite or delete.
Rule 2. A range that cannot be read counts as none: reports are for people, and must keep nothing from being published.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..content import BytesContent
from ..keys import JSON, MUTABLE, REPORTS_KEY, Headers, Key, report_key
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..targets.base import KeyMissingError, ReadableTarget, Target, TooLargeError, read_bytes

MAX_KEPT: Final = 1000
MAX_REPORT_SIZE: Final = 4 << 20
_MAX_RANGE_SIZE: Final = 1 << 10
_MAX_NUMBER: Final = 999_999_999
_NONE: Final = range(1, 1)
_SCHEMA: Final = 1
_BY_REPOSITORY: Final = frozenset({"repositories", "retracted"})  # maps that grow as lists do
# a bucket keeps the headers, though nobody is served this
_HEADERS: Final = Headers(content_type=JSON, cache_control=MUTABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableReport:
    """What is there in place of the report of a run."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"{report_key(self.number)}: cannot be read: {self.problem}"


def keep_report(target: Target, report: Mapping[str, Any], *, keep: int) -> None:
    """Add a report, whose member `run` becomes its number, and delete all but the last `keep`; with 0, all of them.

    For the publisher that holds the lock. Raises TargetError.
    """
    kept = _read_range(target)
    number = kept.stop
    staying = range(max(number + 1 - keep, kept.start), number + 1)
    if staying:
        _put(target, report_key(number), _fitted({"schema": _SCHEMA, "run": number, **report}))
    for gone in kept:
        if gone not in staying:
            target.delete(report_key(gone))
    if staying:
        _put(target, REPORTS_KEY, _json({"schema": _SCHEMA, "first": staying[0], "last": staying[-1]}))
    elif kept:
        target.delete(REPORTS_KEY)


def read_reports(target: ReadableTarget, count: int) -> Iterator[Mapping[str, Any] | UnreadableReport]:
    """The last `count` reports, the newest first; those that are gone are passed over. Raises TargetError."""
    for number in reversed(_read_range(target)[-count:]):
        try:
            report = parse_json_object(read_bytes(target, report_key(number), limit=MAX_REPORT_SIZE))
            if Fields(report).integer("run") != number:
                raise FieldError("run", f"must be {number}")
            yield report
        except KeyMissingError:  # a publisher has deleted it since, or died when it had
            continue
        except (FieldError, TooLargeError) as error:
            yield UnreadableReport(number=number, problem=str(error))


def report_keys(target: ReadableTarget) -> frozenset[Key]:
    """All keys under which reports are kept. Raises TargetError."""
    kept = _read_range(target)
    return frozenset({REPORTS_KEY, *map(report_key, kept)}) if kept else frozenset()


def _read_range(target: ReadableTarget) -> range:
    try:
        fields = Fields(parse_json_object(read_bytes(target, REPORTS_KEY, limit=_MAX_RANGE_SIZE)))
        first, last = fields.integer("first"), fields.integer("last")
    except (KeyMissingError, TooLargeError, FieldError):
        return _NONE
    return range(first, last + 1) if 1 <= first <= last < _MAX_NUMBER and last - first < MAX_KEPT else _NONE


def _fitted(report: Mapping[str, Any]) -> bytes:
    """The report as JSON, small enough to be read again: perhaps without its longest lists, which `left_out` names."""
    raw = _json(report)
    left_out: list[str] = []
    for _, way in sorted(_long_parts(report, ()), reverse=True):
        if len(raw) <= MAX_REPORT_SIZE:
            break
        left_out.append(".".join(way))
        report = _emptied(report, way)
        raw = _json({**report, "left_out": left_out})
    return raw


def _long_parts(value: Mapping[str, Any], way: tuple[str, ...]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """How long each list is as text, and each map that is not read by its members' names, with the names to it."""
    for name, member in value.items():
        if isinstance(member, list) or name in _BY_REPOSITORY:
            yield len(_json(member)), (*way, name)
        elif isinstance(member, dict):
            yield from _long_parts(member, (*way, name))


def _emptied(value: Mapping[str, Any], way: tuple[str, ...]) -> Mapping[str, Any]:
    name, *rest = way
    member = value[name]
    return {**value, name: _emptied(member, tuple(rest)) if rest else type(member)()}


def _put(target: Target, key: Key, raw: bytes) -> None:
    target.put(key, BytesContent(raw), _HEADERS, digest=Digest.of(raw))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
