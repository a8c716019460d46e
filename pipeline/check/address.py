"""Where a host is: a scheme, a name, a port. Registries have no more, for clients ask for /v2/ at the root."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from ..errors import DeltapressError, ExitCode

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252})")


class AddressError(DeltapressError):
    """A text that names no host."""

    exit_code = ExitCode.BAD_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """`host` is a name or an address, that of IPv6 in brackets; `port` None means that of the scheme."""

    scheme: str
    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `https://registry.example.org:8443`.

        Raises:
            AddressError: for anything else, and for a path behind it.
        """
        try:
            parts = urlsplit(text.strip())
            port = parts.port
        except ValueError as error:
            raise AddressError(f"{text[:80]!r} is no address of a host: {error}") from error
        name = parts.hostname or ""
        if parts.scheme not in {"http", "https"} or not (_NAME.fullmatch(name) or _is_ipv6(name)):
            raise AddressError(f"{text[:80]!r} is no address of a host; one is https://registry.example.org")
        if parts.username is not None or parts.password is not None:
            raise AddressError("an address must not hold credentials; only what is public can be checked")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise AddressError(
                f"{text[:80]!r}: clients ask for /v2/ at the root of a host; give the host alone, without a path"
            )
        return cls(scheme=parts.scheme, host=f"[{name}]" if ":" in name else name, port=port)

    @property
    def is_loopback(self) -> bool:
        """True for this very machine, which nobody between can listen to."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def registry(self) -> str:
        """As clients write it, before a repository."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.registry}"


def _is_ipv6(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).version == 6
    except ValueError:
        return False
