"""What the strings of a configuration mean.

Each function reads the text of one kind of value, and raises a DeltapressError that says what it must be.
"""

import re
from collections.abc import Callable
from typing import Any, Final, cast, get_args

from ..efforts import Effort
from ..limits import Limits
from ..oci.digest import Digest, DigestError
from ..oci.flatpak import MAX_NAME, is_branch, is_remote_name
from ..oci.reference import TAG_RULE, is_reserved_tag, is_tag
from ..quantities import QuantityError, parse_duration, parse_size
from ..targets.s3.options import MAX_PART, MIN_PART
from .toml import UnfitError
from .values import FormatName, Order

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
# containers-transports(5)
_TRANSPORT: Final = re.compile(r"(containers-storage|dir|docker(-archive|-daemon)?|oci(-archive)?|ostree|sif):(//)?")
# no user and no path: a password would end up in messages, and a bucket at the root is what clients need
_ENDPOINT: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?/?")
_LINK: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[A-Za-z0-9._~+,=:@%/-]*)?")
_OUR_CACHING: Final = frozenset({"public", "private", "no-store", "no-cache", "max-age", "immutable", "no-transform"})
_PERCENT: Final = re.compile(r"(\d{1,3})%", re.ASCII)


def parse_layout(text: str) -> str:
    if match := _TRANSPORT.match(text):
        raise UnfitError(
            f"must be the path of a layout, without {match[0]!r} in front, which is skopeo's syntax; choose tags with "
            "`tags`, and fetch an image with `skopeo copy docker://… oci:DIRECTORY:TAG`"
        )
    if text.startswith("~"):
        raise UnfitError("must be a path; `~` is not expanded here")
    return parse_text(text)


def parse_text(text: str) -> str:
    if not text or _CONTROL.search(text):
        raise UnfitError(f"must be a text without control characters, not {text[:80]!r}")
    return text


def parse_tag(text: str) -> str:
    if not is_tag(text):
        raise UnfitError(f"must be a valid tag, not {text[:80]!r}: {TAG_RULE}")
    if is_reserved_tag(text):
        raise UnfitError(f"must be another tag than {text[:80]!r}, which is reserved for listings")
    return text


def parse_pin(text: str) -> str:
    if is_tag(text) and not is_reserved_tag(text):
        return text
    try:
        return str(Digest.parse(text))
    except DigestError as error:
        raise UnfitError(f"must be a tag, or a digest such as sha256:… with 64 digits, not {text[:80]!r}") from error


def parse_order(text: str) -> Order:
    return cast(Order, parse_choice(text, Order))


def parse_format(text: str) -> FormatName:
    return cast(FormatName, parse_choice(text, FormatName))


def parse_choice(text: str, literal: Any) -> Any:
    """`text`, if it is one of those of a Literal type."""
    choices = get_args(literal)
    if text not in choices:
        *others, last = map(repr, choices)
        raise UnfitError(f"must be {', '.join(others)} or {last}, not {text[:40]!r}")
    return text


def parse_endpoint(text: str) -> str:
    if not _ENDPOINT.fullmatch(text):  # not repeated: it may hold a password
        raise UnfitError("must be a URL of scheme, host and port alone, such as http://127.0.0.1:9000")
    return text


def parse_cache_control(text: str) -> str:
    for directive in text.split(","):
        name = directive.partition("=")[0].strip().lower()
        if name in _OUR_CACHING or not name.isascii() or not name.replace("-", "").isalnum():
            raise UnfitError(
                f"must hold only directives that deltapress does not set, such as s-maxage=60, not {name[:40]!r}"
            )
    return parse_text(text)


def parse_part_size(text: str) -> int:
    size = parse_size(text)
    if not MIN_PART <= size <= MAX_PART:
        raise UnfitError(f"must be from 5MiB to 5GiB, not {text!r}")
    return size


def parse_timeout(text: str) -> int:
    seconds = int(parse_duration(text).total_seconds())
    if not 1 <= seconds <= 3600:
        raise UnfitError(f"must be from 1s to 1h, not {text!r}")
    return seconds


def parse_metrics_file(text: str) -> str:
    """The collector of Prometheus passes over any other name, and says nothing."""
    if not text.endswith(".prom"):
        raise UnfitError(f"must be the path of a file whose name ends with .prom, not {text[:80]!r}")
    return parse_text(text)


def or_empty(parse: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: text and parse(text)


def parse_remote(text: str) -> str:
    if not is_remote_name(text):
        raise UnfitError(f"must be letters, digits, '.', '_' and '-', at most {MAX_NAME}, not {text[:80]!r}")
    return text


def parse_branch(text: str) -> str:
    if not is_branch(text):
        raise UnfitError(f"must be the name of a branch, such as stable, not {text[:80]!r}")
    return text


def parse_public_url(text: str) -> str:
    """Without the `oci+` that flatpak wants in front."""
    return parse_address(text.removeprefix("oci+"))


def parse_address(text: str) -> str:
    """Without the slash at its end."""
    return parse_link(text).rstrip("/")


def parse_link(text: str) -> str:
    if not _LINK.fullmatch(text):  # not repeated: it may hold a password
        raise UnfitError("must be an address such as https://flatpak.example.org/some/path, without user, ? and #")
    return text


def parse_budget(text: str) -> int | None:
    try:
        return None if text == "unlimited" else parse_size(text)
    except QuantityError as error:
        raise QuantityError(text, 'a size such as "500MiB", or "unlimited"') from error


def parse_effort(text: str) -> Effort:
    return cast(Effort, parse_choice(text, Effort))


def parse_memory(text: str) -> tuple[int | None, float]:
    """Bytes, or a share of the machine's: the two forms of `Limits`."""
    if match := _PERCENT.fullmatch(text):
        if 1 <= int(match[1]) <= 100:
            return None, int(match[1]) / 100
        raise UnfitError(f"must be from 1% to 100%, not {text!r}")
    try:
        return parse_size(text), Limits().memory_share
    except QuantityError as error:
        raise QuantityError(text, 'a size such as "8GiB", or a share of the machine\'s such as "50%"') from error
