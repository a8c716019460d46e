"""Small objects, sent without the SDK's machinery: for one, that takes three times as long as signing and sending it.

Rule 1. The SDK sends the first object and is watched: where it goes, for which region it is signed, and by which name
        of a client. Where a proxy lies between, or where it signs in another way, all others are left to it.
Rule 2. Two answers are understood here: the object is stored, and its condition was not met. What ends in another way
        is done again by the SDK, which knows what an answer means, how long to wait and how often to try; and so is
        all that follows, for a server that is overloaded or whose clock differs needs that care.
"""

import base64
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, Timeout
from urllib3.exceptions import HTTPError

MAX_SIZE: Final = 1 << 20
"""Bytes: what is larger takes so long to send that it does not matter how."""

UNMET: Final = 412
"""The status of an answer to a write whose condition was not met."""

_OK: Final = 200
_SIGNED: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+)/s3/aws4_request,")
_CERTIFICATES: Final = ("deltapress_requests_ca_bundle", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """How the SDK sends objects: the URL before a name and that of the server, for which region, as whom."""

    url: str
    server: str
    region: str
    agent: str
    connections: HTTPConnectionPool


class _Signer(S3SigV4Auth):
    """It is told the digest of the body, for which it would prepare the whole request first."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])


class QuickPuts:
    """Sends small objects as the SDK's client would, once it has learned from that how. Usable from any thread."""

    def __init__(self, session: Session, config: Config) -> None:
        self._session, self._config = session, config
        self._watched: AWSPreparedRequest | None = None
        self._way: _Way | None = None
        self._is_given_up = False

    def watch(self, request: AWSPreparedRequest, **_: object) -> None:
        """Look at a request of the SDK for an object, before it is sent."""
        self._watched = request

    def learn(self, name: str) -> None:
        """The SDK has stored an object of this `name`."""
        request, self._watched = self._watched, None
        if request is None or self._way is not None or self._is_given_up:
            return
        url, end = request.url, quote(name, safe="/~")
        signed = _SIGNED.match(_text(request.headers.get("Authorization")))
        if not url.endswith(f"/{end}"):
            return  # it is another thread's
        if signed is None or get_environ_proxies(url):
            self._is_given_up = True
        else:
            self._way = _Way(
                url=url.removesuffix(end),
                server="{0.scheme}://{0.netloc}".format(urlsplit(url)),
                region=signed[1],
                agent=_text(request.headers.get("User-Agent")),
                connections=self._connections(url),
            )

    def put(
        self, name: str, data: bytes | bytearray, headers: Mapping[str, str], *, is_summed: bool
    ) -> BaseHTTPResponse | None:
        """Store `data` under `name`, with a CRC-32 if it `is_summed`.

        The answer is success or `UNMET`; there is none where the SDK has to do it.
        """
        way = self._way
        if way is None or self._is_given_up or len(data) > MAX_SIZE:
            return None
        sums = {"x-amz-checksum-crc32": base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()}
        url = way.url + quote(name, safe="/~")
        request = AWSRequest("PUT", url, headers={"User-Agent": way.agent, **headers, **(sums if is_summed else {})})
        request.context["sha256"] = sha256(data).hexdigest()
        try:
            _Signer(self._credentials, "s3", way.region).add_auth(request)
            answer: BaseHTTPResponse | None = way.connections.urlopen(
                "PUT",
                url.removeprefix(way.server),
                body=cast(bytes, data),
                headers=dict(request.headers.items()),
                retries=False,
                redirect=False,
            )
        except (BotoCoreError, HTTPError, OSError):
            answer = None
        if answer is not None and answer.status in {_OK, UNMET}:
            return answer
        self._is_given_up = True
        return None

    @property
    def _credentials(self) -> Any:
        """Those of this moment: some are renewed while a run goes on."""
        credentials: Credentials | None = self._session.get_credentials()
        return credentials and credentials.get_frozen_credentials()

    def _connections(self, url: str) -> HTTPConnectionPool:
        """To the server of `url`, with the SDK's time-outs, and the certificates that it trusts."""
        config: Any = self._config
        variable, environment = _CERTIFICATES
        self._session.session_var_map[variable] = (None, environment, None, None)
        own = self._session.get_config_variable("ca_bundle") or self._session.get_config_variable(variable)
        manager = PoolManager(
            maxsize=config.max_pool_connections,
            timeout=Timeout(connect=config.connect_timeout, read=config.read_timeout),
            cert_reqs="CERT_REQUIRED",
            ca_certs=get_cert_path(own or True),
        )
        return manager.connection_from_url(url)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
