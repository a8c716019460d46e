"""Sizes and durations as people write them, `8GiB` and `7d`: one parser each, for configuration and command line; and
sizes and shares as people read them."""

import re
from typing import TYPE_CHECKING, Final

from .errors import DeltapressError, ExitCode

if TYPE_CHECKING:
    from datetime import timedelta

_SIZE: Final = r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([kKMGT]?i?B)"  # not compiled yet: most runs read none
_FACTORS: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}

_DURATION: Final = r"([0-9]{1,9}) ?([smhdw])"
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST: Final = 36500 * 86400  # a century: further values are typing errors, and overflow dates


class QuantityError(DeltapressError):
    """A text that is not a size, or not a duration."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, text: str, wanted: str) -> None:
        self.text = text[:40]
        super().__init__(f"must be {wanted}, not {self.text!r}")


def parse_size(text: str) -> int:
    """Read a size in bytes: a number and B, KiB, MiB, GiB, TiB or the decimal kB, MB, GB, TB.

    Raises:
        QuantityError: for anything else, and for less than one byte.
    """
    match = re.fullmatch(_SIZE, text)
    if match is None or match[2] not in _FACTORS or (size := int(float(match[1]) * _FACTORS[match[2]])) < 1:
        raise QuantityError(text, 'a size such as "8GiB" or "500MB"')
    return size


def parse_duration(text: str) -> "timedelta":
    """Read a whole number and one of s, m, h, d, w. Zero is a duration; at most a century.

    Raises:
        QuantityError: for anything else.
    """
    from datetime import timedelta  # here, because who only reads sizes (`patch`) should not wait for it

    match = re.fullmatch(_DURATION, text)
    if match is None or int(match[1]) > _LONGEST // (unit := _UNITS[match[2]]):
        raise QuantityError(text, 'a duration such as "7d", "36h" or "0s", of at most 36500 days')
    return timedelta(seconds=int(match[1]) * unit)


def format_size(size: int) -> str:
    """Bytes for people, in powers of 1024, three figures: `812 B`, `4.02 MiB`."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    digits = 0 if unit == "B" or value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def format_share(part: int, whole: int) -> str:
    """`part` of `whole` for people, in tenths of a percent and rounded down: `99.9 %`.

    So 100 % is all of it; what is less than a tenth of a percent, and not nothing, is `< 0.1 %`. Nothing of nothing is
    0 %.
    """
    tenths = 1000 * part // whole if whole else 0
    return "< 0.1 %" if part and not tenths else f"{tenths // 10}.{tenths % 10} %"


def format_seconds(seconds: float) -> str:
    """A time for people: `0.4 s`, `12 s`, `3 min 20 s`, `1 h 2 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"
