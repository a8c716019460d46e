"""A small registry over a real socket, whose habits a test chooses: those of the public ones, and bad ones.

It serves a published directory, key by key. Nothing of the program is used to answer.
"""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

USER: Final = "robot"
PASSWORD: Final = "S3CR3T"  # of a server that lives as long as a test
BASIC: Final = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
IDENTITY: Final = "IDENTITY-S3CR3T"


@dataclass(slots=True)
class Asked:
    """A request. `sent` are the bytes of the body that the reader took."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    sent: int = 0


@dataclass(slots=True, kw_only=True)
class Registry:
    """Its habits. `asked` are the requests so far.

    auth: None, "basic", "token" (anonymous readers get one too) or "users" (a token for users alone).
    page: how many entries a list has. elsewhere: where blobs really lie. cuts: how many bytes come of each answer
    before the connection ends. drip: the seconds between two bytes. busy: how many 429 come first. prefix: what stands
    before `v2/`.
    """

    root: Path
    auth: str | None = None
    page: int | None = None
    elsewhere: str | None = None
    cuts: int | None = None
    drip: float = 0.0
    busy: int = 0
    prefix: str = "/"
    knows_ranges: bool = True
    knows_referrers: bool = True
    answers_head: bool = True
    says_digests: bool = True
    missing: int = 404
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{self.prefix}".rstrip("/")

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def paths(self, method: str = "GET") -> list[str]:
        return [asked.path for asked in self.asked if asked.method == method]


@contextmanager
def running(registry: Registry, context: ssl.SSLContext | None = None) -> Iterator[Registry]:
    class Handler(_Handler):
        site = registry

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            registry.scheme = "https"
        registry.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
        pass

    def do_HEAD(self) -> None:
        if not self.site.answers_head:
            self._note()
            self._send(405, b"")
            return
        self.do_GET()

    def do_POST(self) -> None:
        self._note()
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = form.get("refresh_token") == [IDENTITY] and form.get("grant_type") == ["refresh_token"]
        self._send(200 if good else 401, b'{"access_token": "USER-TOKEN"}')

    def do_GET(self) -> None:
        self._note()
        site, (path, _, query) = self.site, self.path.partition("?")  # before a proxy, the path is a whole URL
        if path == "/token":
            self._token()
        elif site.busy:
            site.busy -= 1
            self._send(429, b"", **{"Retry-After": "0"})
        elif not path.startswith(site.prefix):
            self._send(404, b"")
        elif (refused := self._challenge()) is not None:
            self._send(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who?"}]}', **{"WWW-Authenticate": refused})
        else:
            self._key(path.removeprefix(site.prefix), parse_qs(query))

    def _note(self) -> None:
        parts = urlsplit(self.path)
        self._asked = Asked(self.command, parts.path, parse_qs(parts.query), dict(self.headers))
        self.site.asked.append(self._asked)

    def _write(self, data: bytes) -> None:
        if not self.site.drip:
            self.wfile.write(data)
            return
        with suppress(OSError):  # who reads it has had enough
            for place in range(len(data)):
                self.wfile.write(data[place : place + 1])
                time.sleep(self.site.drip)

    def _challenge(self) -> str | None:
        sent = self.headers.get("Authorization")
        if self.site.auth == "basic":
            return None if sent == BASIC else 'Basic realm="here"'
        if self.site.auth is None:
            return None
        good = {"Bearer USER-TOKEN"} | ({"Bearer ANYBODY"} if self.site.auth == "token" else set())
        realm = f"{self.site.scheme}://{self.site.host}/token"
        scope = "repository:team/app:pull,push"
        return None if sent in good else f'Bearer realm="{realm}",service="here, or there",scope="{scope}"'

    def _token(self) -> None:
        sent = self.headers.get("Authorization")
        if sent == BASIC:
            self._send(200, b'{"token": "USER-TOKEN"}')
        elif sent is None and self.site.auth == "token":
            self._send(200, b'{"access_token": "ANYBODY"}')
        else:
            self._send(401, b"{}")

    def _key(self, key: str, query: dict[str, list[str]]) -> None:
        site, path = self.site, self.site.root / key
        if key == "v2/":
            self._send(200, b"{}")
        elif "/referrers/" in key and not site.knows_referrers:
            self._send(404, b"")
        elif not path.is_file():
            self._send(site.missing, b"<Error><Code>AccessDenied</Code></Error>")
        elif "/blobs/" in key and site.elsewhere is not None:
            self._send(307, b"", Location=f"{site.elsewhere}/{key}?signature=1")
        elif site.page is not None and (key.endswith(("tags/list", "_catalog")) or "/referrers/" in key):
            self._page(key, path.read_bytes(), query)
        else:
            self._content(key, path.read_bytes())

    def _page(self, key: str, data: bytes, query: dict[str, list[str]]) -> None:
        document = json.loads(data)
        member = next(name for name in ("tags", "repositories", "manifests") if name in document)
        start = int(query.get("last", ["0"])[0])
        end = start + (self.site.page or 1)
        more = end < len(document[member])
        document[member] = document[member][start:end]
        link = {"Link": f'<{self.site.prefix}{key}?last={end}>; rel="next"'} if more else {}
        self._send(200, json.dumps(document).encode(), **link)

    def _content(self, key: str, data: bytes) -> None:
        headers, status = {"Content-Type": "application/octet-stream"}, 200
        if "/manifests/" in key:
            headers["Content-Type"] = json.loads(data).get("mediaType", "application/json")
            if self.site.says_digests:
                headers["Docker-Content-Digest"] = f"sha256:{hashlib.sha256(data).hexdigest()}"
        wanted = re.fullmatch(r"bytes=([0-9]+)-", self.headers.get("Range", ""))
        if wanted and self.site.knows_ranges:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        self._send(status, data, **headers)

    def _send(self, status: int, data: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, text in {**headers, **self.site.headers}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._asked.sent = len(data)
        if self.site.cuts is not None and len(data) > self.site.cuts:
            self.wfile.write(data[: self.site.cuts])
            self.close_connection = True
        else:
            self._write(data)


def make_certificates(folder: Path) -> None:
    """In `folder`: the authority `ca.crt`; `server.crt` for 127.0.0.1 and `client.cert` by it, each with its key."""
    folder.mkdir()
    new = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key"]
    for name, key, more in (
        ("ca.crt", "ca.key", []),
        ("server.crt", "server.key", ["-addext", "subjectAltName=IP:127.0.0.1", *signed]),
        ("client.cert", "client.key", signed),
    ):
        usage = [] if name == "ca.crt" else ["-addext", "basicConstraints=CA:FALSE"]
        command = [*new, "-x509", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", name, *more, *usage]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
