"""The one door of urllib3 for registries: single requests with their retries and redirects, its errors translated once.

Retries of a request, their pauses and `Retry-After` are urllib3's. Redirects are followed here, because a header that
is for one host (Authorization) must not reach another.
"""

import threading
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError, ProxyError
from urllib3.util import Retry, Timeout

from ... import __version__
from ...text import innermost_reason, one_line
from ..base import TargetError
from .certificates import tls_context
from .options import HTTPOptions

_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_BACKOFF: Final = 0.5  # seconds; doubled with each attempt
_MAX_SHOWN: Final = 200  # characters of what another machine says
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class UnreachableError(TargetError):
    """No answer came at all."""


class BrokenBodyError(TargetError):
    """The connection broke in the middle of a body."""


class Answer:
    """An answer whose body is still to be read. Close it."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str, options: HTTPOptions) -> None:
        self._response, self._url, self._options = response, url, options
        self._began, self._received = time.monotonic(), 0
        self.status = response.status

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """Every value of a header that may stand there several times."""
        return self._response.headers.getlist(name)

    @property
    def size(self) -> int | None:
        """The bytes of the body, where the server says so."""
        text = self.header("Content-Length") or ""
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 19 else None

    def read(self, size: int) -> bytes:
        """At most `size` bytes as they were sent, as soon as there are some, none at the end.

        Raises:
            BrokenBodyError: the connection broke.
            TargetError: they come too slowly.
        """
        try:
            # not `read`, which goes on until there are `size` bytes, however slowly they drip
            data = self._response.read1(size, decode_content=False)
        except (HTTPError, OSError) as error:
            raise BrokenBodyError(f"{host_of(self._url)}: the connection broke ({innermost_reason(error)})") from error
        self._received += len(data)
        seconds = time.monotonic() - self._began
        if data and seconds > self._options.read_timeout and self._received < seconds * self._options.slowest:
            raise TargetError(
                f"{host_of(self._url)}: sent {self._received:,} bytes in {seconds:.0f} s, which is too slow; try later"
            )
        return data

    def close(self) -> None:
        self._response.close()
        self._response.release_conn()


class Connections:
    """Requests to any host, by the options of one run. Safe for threads."""

    def __init__(self, options: HTTPOptions) -> None:
        self._options = options
        self._pools: dict[tuple[str, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """The first answer that is no redirect. `authorization` goes no further than to the host of `url`.

        Raises:
            UnreachableError: the host cannot be reached.
            TargetError: it leads round in circles, or to what is no address.
        """
        origin = _origin(url)
        for _ in range(_MAX_REDIRECTS + 1):
            sent = dict(headers or {})
            if authorization is not None and _origin(url) == origin:
                sent["Authorization"] = authorization
            answer = self._send(method, url, sent, form)
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or not location or form is not None:
                return answer
            answer.close()
            following = joined(url, location)
            if urlsplit(following).scheme not in ("https", urlsplit(url).scheme):
                raise TargetError(f"{host_of(url)}: leads from https to {one_line(following, most=_MAX_SHOWN)}")
            url = following
        raise TargetError(f"{host_of(url)}: leads from one address to another, more than {_MAX_REDIRECTS} times")

    def _send(self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None) -> Answer:
        sent = {"User-Agent": f"deltapress/{__version__}", "Accept-Encoding": "identity", **headers}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        retries = _Retry(
            total=self._options.attempts - 1,
            other=0,  # of TLS: it would not be otherwise the next time
            redirect=False,
            status_forcelist=_BUSY,
            allowed_methods=None,  # nothing that is asked here changes anything
            raise_on_status=False,
            backoff_factor=_BACKOFF,
        )
        retries.longest = self._options.longest_pause
        try:
            response = self._pool(url).request(
                method,
                url,
                headers=sent,
                body=None if form is None else urlencode(form),
                retries=retries,
                redirect=False,
                preload_content=False,
                decode_content=False,
                enforce_content_length=True,
                timeout=Timeout(connect=self._options.connect_timeout, read=self._options.read_timeout),
            )
        except (HTTPError, OSError, ValueError) as error:
            raise UnreachableError(f"{host_of(url)}: {_reason_of(error)}") from error
        return Answer(response, url, self._options)

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.netloc
        if scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in host:
            raise TargetError(f"{one_line(url, most=_MAX_SHOWN)}: is no address of http or https without credentials")
        with self._lock:
            if (scheme, host) not in self._pools:
                self._pools[scheme, host] = self._new_pool(scheme, host)
            return self._pools[scheme, host]

    def _new_pool(self, scheme: str, host: str) -> urllib3.PoolManager:
        context = tls_context(self._options, host) if scheme == "https" else None
        proxy = self._options.proxies.get(scheme)
        if proxy and not proxy_bypass(host, dict(self._options.proxies)):
            login = urlsplit(proxy).netloc.rpartition("@")[0]
            headers = urllib3.make_headers(proxy_basic_auth=login) if login else None
            try:
                return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context, maxsize=8)
            except (HTTPError, ValueError):
                # not quoted, not even by a cause: it may hold a password
                raise TargetError(
                    f"the proxy for {scheme} has no address that can be read; correct {scheme}_proxy in the "
                    "environment to http://HOST:PORT"
                ) from None
        return urllib3.PoolManager(ssl_context=context, maxsize=8)


class _Retry(Retry):
    """Retries that wait no longer than `longest` seconds, whatever the server asks for."""

    longest: float = 60

    def new(self, **changed: object) -> "_Retry":
        retry = super().new(**changed)
        retry.longest = self.longest
        return retry

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        try:
            asked = super().get_retry_after(response)
        except InvalidHeader:
            return None
        return None if asked is None else min(asked, self.longest)


def joined(url: str, said: str) -> str:
    """The address that a server means by `said` where it answers for `url`. Raises TargetError for what is none."""
    try:
        following = urljoin(url, said)
        urlsplit(following)
    except ValueError as error:
        raise TargetError(f"{host_of(url)}: leads to {one_line(said, most=_MAX_SHOWN)}, which is no address") from error
    return following


def host_of(url: str) -> str:
    """For messages: the host of a URL, with its port."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS.get(parts.scheme)


def _reason_of(error: Exception) -> str:
    """What went wrong with a connection, and what to do."""
    said = innermost_reason(error, most=_MAX_SHOWN)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"its certificate is not trusted ({said}); give the authority's certificate"
    if "CERTIFICATE_REQUIRED" in said:
        return "wants a client's certificate; give one"
    if "WRONG_VERSION_NUMBER" in said or "record layer failure" in said:
        return "does not speak https; without TLS, name it http://… (`pull` and `bundle`: --from http://…)"
    through = ", through the proxy" if isinstance(error, MaxRetryError) and isinstance(error.reason, ProxyError) else ""
    return f"cannot be reached{through} ({said})"
