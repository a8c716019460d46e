"""What an entry of a tar says of a file beside its bytes: owner, times, device, extended attributes.

Sources: pax, "ustar Interchange Format" and "pax Header Block Keywords"; `SCHILY.xattr.` as star and Go write it. A
number that cannot be read counts as zero here: what is in the tar was accepted before, and a layer is not refused for a
time that nobody can read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from .forms import PaxRecords

_XATTR: Final = b"SCHILY.xattr."
_SECOND: Final = 10**9
_MAX_TIME: Final = 1 << 40  # seconds; beyond what any file system keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """`modified` in nanoseconds since 1970; `device` is a major and a minor number; `type` is the entry's flag."""

    uid: int
    gid: int
    modified: int
    device: tuple[int, int]
    type: bytes
    xattrs: Mapping[str, bytes]


def metadata_of(block: bytes, pax: PaxRecords) -> Metadata:
    """Read the header block of an entry, and its pax records, which are stronger."""
    records = dict(pax)
    return Metadata(
        uid=_decimal(records.get(b"uid"), _number(block[108:116])),
        gid=_decimal(records.get(b"gid"), _number(block[116:124])),
        modified=_nanoseconds(records.get(b"mtime"), _number(block[136:148])),
        device=(_number(block[329:337]), _number(block[337:345])),
        type=block[156:157],
        xattrs={
            key.removeprefix(_XATTR).decode("utf-8", "surrogateescape"): value
            for key, value in pax
            if key.startswith(_XATTR) and b"\0" not in key and key != _XATTR
        },
    )


def _number(field: bytes) -> int:
    """Octal digits, or base-256 where the first bit is set; a negative one is from before 1970, or a mistake."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") & ((1 << (8 * len(field) - 1)) - 1)
        return 0 if field[0] & 0x40 else value
    digits = field.strip(b" \0")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else 0


def _decimal(value: bytes | None, otherwise: int) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) < 12 else otherwise


def _nanoseconds(value: bytes | None, seconds: int) -> int:
    try:
        exact = Decimal((value or b"").decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        exact = Decimal(seconds)
    if not exact.is_finite() or abs(exact) > _MAX_TIME:
        return 0
    return int(exact * _SECOND)
