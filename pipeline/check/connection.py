"""Requests to the host that is looked at: the door of urllib3.

Rule 1. The host is not trusted: requests, bytes and time are bounded, redirects too. What was spent is counted. Time
        is looked at whenever bytes come, so that headers may not drip either.
Rule 2. An answer is shown as it came. Nothing is decoded, and each redirect is noted.
Rule 3. A request that was made is not made again: who asks a second time gets the first answer.
Rule 4. A certificate that clients would refuse is noted once; then the rest is looked at without it.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning, SSLError

from .. import __version__
from ..content import CHUNK
from ..errors import DeltapressError, ExitCode
from ..oci.manifest import MAX_MANIFEST_SIZE
from ..oci.media_types import INDEXES, MANIFESTS
from ..text import innermost_reason, one_line
from .address import Address
from .answers import Answer

MAX_REQUESTS: Final = 2_000
MAX_BYTES: Final = 256 << 20  # bytes of documents
MAX_HOPS: Final = 5
_TIMEOUT: Final = urllib3.Timeout(connect=10, read=30)  # seconds without a byte
_DEADLINE: Final = 120.0  # seconds for one answer, from its first line to the end of its body
_MAX_HEADER: Final = 1000  # characters
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_ACCEPT: Final = ", ".join((*sorted(INDEXES | MANIFESTS), "*/*"))
_AGENT: Final = f"deltapress/{__version__}"
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class HostError(DeltapressError):
    """The host cannot be looked at."""

    exit_code = ExitCode.TARGET_FAILED


class SpentError(DeltapressError):
    """No more requests are made, or no more bytes read, in this run."""


class _NoAnswerError(Exception):
    """Why no answer came; it becomes the `problem` of one."""


class Host:
    """One host, asked one thing after the other."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.requests = 0
        self.bytes = 0
        self.max_requests = MAX_REQUESTS
        self.certificate_problem: str | None = None
        self._answers: dict[object, Answer] = {}
        self._pool = _pool(ssl.create_default_context())

    @property
    def answers(self) -> list[Answer]:
        """All that came so far, in the order of the requests."""
        return [*self._answers.values()]

    def connect(self) -> Answer:
        """Ask for /v2/ for the first time.

        Raises:
            HostError: nobody answers, or only to who has credentials.
        """
        answer = self.ask("/v2/")
        if not answer.status:
            raise HostError(f"{self.address}: {answer.problem}")
        if answer.status in {401, 407}:
            raise HostError(
                f"{self.address}: asks for credentials ({answer.status}); only what is public can be checked"
            )
        return answer

    def get(self, path: str, *, limit: int = MAX_MANIFEST_SIZE, **headers: str) -> Answer:
        """GET `path`, and read at most `limit` bytes. Header names are written with `_`."""
        return self.ask(path, limit=limit, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def head(self, path: str) -> Answer:
        return self.ask(path, method="HEAD")

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        limit: int = MAX_MANIFEST_SIZE,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Answer:
        """The answer to one request; one of status 0 where none came. `path` begins with a slash, and may have a query.

        Raises:
            SpentError: the bounds of this run are reached.
        """
        asked = (method, path, limit, *sorted(headers.items()))
        if asked not in self._answers:
            try:
                self._answers[asked] = self._ask(method, path, limit, headers)
            except _NoAnswerError as error:
                self._answers[asked] = Answer(
                    method=method, path=path, status=0, headers=(), is_whole=False, problem=str(error)
                )
        return self._answers[asked]

    def look(self, path: str) -> Answer:
        """Status and length, though HEAD may not be answered as GET is."""
        answer = self.head(path)
        return answer if answer.is_ok and answer.length is not None else self.get(path, limit=0)

    def close(self) -> None:
        self._pool.clear()

    def _ask(self, method: str, path: str, limit: int, headers: Mapping[str, str]) -> Answer:
        response, hops = self._follow(method, path, headers)
        body, problem = bytearray(), None
        try:
            while len(body) <= limit and (
                piece := response.read(min(CHUNK, limit + 1 - len(body)), decode_content=False)
            ):
                body += piece
        except (HTTPError, OSError) as error:
            problem = f"its body breaks off ({innermost_reason(error)})"
        finally:
            # a body that was read to its end leaves the connection to the next request
            if problem is None and len(body) <= limit:
                response.release_conn()
            else:
                response.close()
        self.bytes += len(body)
        if self.bytes > MAX_BYTES:
            raise SpentError(f"documents of more than {MAX_BYTES:,} bytes were read")
        return Answer(
            method=method,
            path=path,
            status=response.status,
            headers=tuple(
                (name.lower(), one_line(value, most=_MAX_HEADER)) for name, value in response.headers.items()
            ),
            body=bytes(body[:limit]),
            is_whole=len(body) <= limit and problem is None,
            hops=hops,
            problem=problem,
        )

    def _follow(
        self, method: str, path: str, headers: Mapping[str, str]
    ) -> tuple[urllib3.BaseHTTPResponse, tuple[str, ...]]:
        url = f"{self.address}{path}"
        hops: list[str] = []
        while True:
            response = self._request(method, path, url, headers)
            location = response.headers.get("location")
            if response.status not in _REDIRECTS or location is None or len(hops) == MAX_HOPS:
                return response, tuple(hops)
            response.close()
            url = _joined(url, location)
            hops.append(one_line(url, most=_MAX_HEADER))
            if not url.startswith(("http://", "https://")):
                raise _NoAnswerError(f"redirects to {hops[-1]}, which no client follows")

    def _request(self, method: str, path: str, url: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        if self.requests >= self.max_requests:
            raise SpentError(f"{self.requests:,} requests were made")
        self.requests += 1
        sent = {"User-Agent": _AGENT, "Accept": _ACCEPT, "Accept-Encoding": "identity", **headers}
        try:
            return self._pool.urlopen(
                method, url, headers=sent, redirect=False, retries=False, preload_content=False, timeout=_TIMEOUT
            )
        except SSLError as error:
            if self.certificate_problem is None and "CERTIFICATE_VERIFY_FAILED" in str(error):
                self.certificate_problem = innermost_reason(error)
                self._pool = _pool(_without_verification())
                return self._request(method, path, url, headers)
            raise _NoAnswerError(f"TLS fails ({innermost_reason(error)}); does it speak plain http there?") from error
        except (HTTPError, OSError, UnicodeError) as error:
            raise _NoAnswerError(f"cannot be reached ({innermost_reason(error)})") from error


class _InTime(io.RawIOBase):
    """What comes from a socket, until the deadline: http.client would wait for the end of a line as long as single
    bytes come in time."""

    def __init__(self, inner: io.RawIOBase) -> None:
        self._inner, self._deadline = inner, time.monotonic() + _DEADLINE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]  # Buffer: 3.12
        if time.monotonic() > self._deadline:
            raise TimeoutError(f"takes more than {_DEADLINE:.0f} s")
        return self._inner.readinto(buffer)

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: object, **named: object) -> None:
        super().__init__(sock, *arguments, **named)  # type: ignore[arg-type]  # whatever http.client gives it
        self.fp = io.BufferedReader(_InTime(self.fp.detach()))


class _Plain(HTTPConnection):
    response_class = _Response


class _Secure(HTTPSConnection):
    response_class = _Response


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:  # it is no URL
        return location


def _pool(context: ssl.SSLContext) -> urllib3.PoolManager:
    manager = urllib3.PoolManager(num_pools=4, maxsize=1, ssl_context=context)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return manager


def _without_verification() -> ssl.SSLContext:
    # said once, as a failure of every client, not at each request; what else is wrong shall be known, too
    urllib3.disable_warnings(InsecureRequestWarning)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
