"""What a host answered to one request, as it came: nothing decoded, nothing followed silently."""

import io
from dataclasses import dataclass
from typing import Final

from ..compression import CompressionError, decompressed

# how what is encoded begins (RFC 1952, RFC 8878)
_MAGIC: Final = {"gzip": (b"\x1f\x8b",), "x-gzip": (b"\x1f\x8b",), "zstd": (b"\x28\xb5\x2f\xfd",)}
_MAX_NUMBER: Final = 18  # digits of a length that can be true


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The last answer to a request, behind its redirects; of `status` 0 where none came.

    headers: names in lower case, in their order; a name may come more than once.
    body: what came of it, raw, at most as many bytes as were asked for; `is_whole` says whether that is all.
    hops: where redirects led to, as URLs. A `status` of 3xx is one that was not followed.
    problem: why the body ended early, or None.
    """

    method: str
    path: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    is_whole: bool = True
    hops: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_ok(self) -> bool:
        return self.status == 200 and self.problem is None

    def header(self, name: str) -> str | None:
        """All values of a header as one, None where it is missing (RFC 9110, section 5.2)."""
        values = [value.strip() for known, value in self.headers if known == name]
        return ", ".join(values) if values else None

    @property
    def content_type(self) -> str:
        """As it stands there, with its parameters; empty where it is missing."""
        return self.header("content-type") or ""

    @property
    def media_type(self) -> str:
        """The type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """Content-Length in bytes; None where it is missing or none."""
        return number(self.header("content-length"))

    @property
    def encoding(self) -> str | None:
        """The Content-Encoding, where there is one that changes the bytes."""
        encoding = (self.header("content-encoding") or "").lower()
        return encoding if encoding not in {"", "identity"} else None

    def decoded(self, *, limit: int) -> bytes | None:
        """The body as clients see it that undo its Content-Encoding; None where that is not possible."""
        if self.encoding is None:
            return self.body
        if not self.body.startswith(_MAGIC.get(self.encoding, ())):
            return None
        try:
            with decompressed(io.BytesIO(self.body), max_bytes=limit) as stream:
                return stream.read()
        except CompressionError:
            return None

    @property
    def cache_rules(self) -> dict[str, str]:
        """The directives of Cache-Control: names in lower case, values without quotes, empty where there is none."""
        found = {}
        for part in (self.header("cache-control") or "").split(","):
            name, _, value = part.partition("=")
            if name.strip():
                found[name.strip().lower()] = value.strip().strip('"')
        return found

    @property
    def said(self) -> str:
        """For people: status and type, as in `403 text/html`."""
        return f"{self.status} {self.content_type or 'without a type'}" if not self.problem else self.problem


def number(text: str | None) -> int | None:
    """A number that a header holds; None for anything else."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > _MAX_NUMBER:
        return None
    return int(text)
