"""What a server wants to see: the WWW-Authenticate headers of a 401 (RFC 9110, section 11.6.1)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_SCHEME: Final = re.compile(r"\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s+|$|(?=,))")
_PARAMETER: Final = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)')
_MAX_HEADER: Final = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """A scheme, in lower case, and its parameters: of `bearer`, `realm`, `service` and `scope`."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Every challenge that can be read; what is no challenge is left out."""
    found: list[Challenge] = []
    for header in headers:
        rest = header[:_MAX_HEADER]
        while (scheme := _SCHEME.match(rest)) is not None:
            rest = rest[scheme.end() :]
            parameters: dict[str, str] = {}
            while (parameter := _PARAMETER.match(rest)) is not None:
                name, quoted, plain = parameter.groups()
                value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters.setdefault(name.lower(), value)
                rest = rest[parameter.end() :]
            found.append(Challenge(scheme=scheme[1].lower(), parameters=parameters))
            rest = rest.lstrip(", ")
    return found
