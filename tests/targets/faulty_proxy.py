"""A proxy before an S3 server that spoils chosen requests, and keeps a list of all of them.

Requests are passed on as they are, the Host included, because that is signed.
"""

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

# What becomes of a request:
#   busy     503 SlowDown, and the server never sees it
#   expired  403 ExpiredToken, likewise
#   hang     no answer until the proxy ends
#   slow     the answer comes after a while
#   drop     the connection ends before the server has seen it
#   lost     the server carries it out, and the connection ends before the answer
#   cut      half of the answer's body arrives
#   unknown  501 NotImplemented, as Swift says to a conditional write; the server never sees it
#   echo     400 with all that identifies the sender in its text; echo-refused is the same with 403
Fault = Literal["busy", "expired", "hang", "slow", "drop", "lost", "cut", "unknown", "echo", "echo-refused"]

_ANSWERS: Final = {
    "busy": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "expired": (403, b"<Error><Code>ExpiredToken</Code><Message>token TOKEN-S3CR3T expired</Message></Error>"),
    "unknown": (501, b"<Error><Code>NotImplemented</Code><Message>A header is not implemented.</Message></Error>"),
}
_CHECKSUM: Final = re.compile("x-amz-(checksum-|sdk-checksum-|trailer)", re.IGNORECASE)
_WHILE: Final = 0.3  # seconds
_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`number` counts from 1; `query` is what follows the '?'; `condition` is that of a conditional one;
    `has_checksum` says that there is one, and `attempt` which one the SDK says that it is: none where it was not asked.

    `sent` and `received` are the bytes of the two bodies; of a request that was spoiled, none were received.
    """

    number: int
    method: str
    path: str
    query: str
    condition: str | None
    sent: int
    received: int = 0
    has_checksum: bool = False
    attempt: str | None = None


class FaultyProxy:
    """`fault` is asked about each request; None lets it pass."""

    def __init__(self, upstream: int) -> None:
        self.requests: list[Request] = []
        self.fault: Callable[[Request], Fault | None] = lambda _: None
        self._upstream = upstream
        self._ending = threading.Event()
        self._counting = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:  # the client has gone away, as it should from a connection that hangs
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

            def _handle(self) -> None:
                proxy._handle(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815  # the names that http.server calls

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self._server.server_port}"

    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.method not in {"GET", "HEAD"}]

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        path, _, query = handler.path.partition("?")
        with self._counting:
            request = Request(
                number=len(self.requests) + 1,
                method=handler.command,
                path=path,
                query=query,
                condition=handler.headers.get("If-Match", handler.headers.get("If-None-Match")),
                sent=len(body),
                has_checksum=any(_CHECKSUM.match(name) for name in handler.headers),
                attempt=handler.headers.get("amz-sdk-request"),
            )
            self.requests.append(request)
        fault = self.fault(request)
        if fault in _ANSWERS:
            status, text = _ANSWERS[fault]
            _answer(handler, status, {"Content-Type": "application/xml"}, text, len(text))
            return
        if fault in {"echo", "echo-refused"}:
            said = " ".join(f"{name}={value}" for name, value in handler.headers.items())
            text = f"<Error><Code>AuthorizationFailed</Code><Message>{said}</Message></Error>".encode()
            status = 400 if fault == "echo" else 403
            _answer(handler, status, {"Content-Type": "application/xml"}, text, len(text))
            return
        if fault in {"hang", "slow"}:
            self._ending.wait(_WHILE if fault == "slow" else None)
        if fault in {"hang", "drop"}:
            handler.close_connection = True
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=60)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.lower() not in _HOP | {"expect"}:
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        with self._counting:
            self.requests[request.number - 1] = replace(request, received=len(data))
        if fault == "lost":
            handler.close_connection = True
            return
        size = int(response.headers.get("Content-Length", len(data)))  # of a HEAD, what the GET would have
        headers = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
        if fault == "cut":
            data = data[: len(data) // 2]
            handler.close_connection = True
        _answer(handler, response.status, headers, data, size)


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, size: int) -> None:
    handler.send_response_only(status)
    for name, value in headers.items():
        if name.lower() not in _HOP:
            handler.send_header(name, value)
    if status not in {204, 304}:
        handler.send_header("Content-Length", str(size))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@contextmanager
def faulty_proxy(upstream: int) -> Iterator[FaultyProxy]:
    """Before the server at the port `upstream`."""
    proxy = FaultyProxy(upstream)
    thread = threading.Thread(target=proxy._server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy._ending.set()
        proxy._server.shutdown()
        thread.join()
        proxy._server.server_close()
