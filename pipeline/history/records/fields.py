"""The fields of records that JSON has no type for: times and digests. What reads them raises FieldError."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from ...oci.digest import DiffID, Digest, DigestError
from ...oci.fields import Fields

T = TypeVar("T")


def read_time(fields: Fields, name: str) -> datetime:
    """An RFC 3339 time with its zone."""
    text = fields.text(name)
    try:
        value = datetime.fromisoformat(text)
    except ValueError as error:
        raise fields.error(name, f"must be a time, not {text[:40]!r}") from error
    if value.tzinfo is None:
        raise fields.error(name, f"must be a time with a time zone, not {text[:40]!r}")
    return value


def write_time(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def read_pulls(fields: Fields) -> dict[Digest, int]:
    """How often each image manifest was pulled: the names are digests."""
    return {parse_digest(fields, name): fields.size(name) for name in fields.names()}


def read_diff_id(fields: Fields, name: str) -> DiffID:
    return parse_diff_id(fields, fields.text(name), name)


def parse_digest(fields: Fields, text: str, name: str | None = None) -> Digest:
    """`text` is a member of `fields` under `name`, or the name of a member itself."""
    return _parsed(fields, text, name, Digest.parse)


def parse_diff_id(fields: Fields, text: str, name: str | None = None) -> DiffID:
    """As `parse_digest`."""
    return _parsed(fields, text, name, DiffID.parse)


def _parsed(fields: Fields, text: str, name: str | None, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except DigestError as error:
        raise fields.error(name or text, str(error)) from error
