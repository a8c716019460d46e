"""Serve a published directory over HTTP, for trying things: every header right, on the loopback by default.

Rules of this room:

1. Public are the keys of the tree that clients read (`v2/`, `index/`, the files of flatpak), feeds and HTML pages;
   everything else is 404.
2. Nothing is sent through a symbolic link, so no path leaves the root.
3. A file is opened once, and its type, digest and bytes all come from that handle. The media type of a manifest is
   therefore read from the manifest, not from the copies below `_deltapress/typed/`: type and bytes agree while a
   publisher replaces a tag, and a tree that was copied without the private folder can be served as well.
4. Validators are digests of content, never times: a tag that is replaced twice in one second is never "not modified".

The only importer of werkzeug.
"""

import hashlib
import json
import os
import socket
import stat
from collections.abc import Callable, Iterable
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlencode

from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from .errors import DeltapressError
from .keys import (
    HTML,
    IMMUTABLE,
    JSON,
    MANIFESTS,
    MUTABLE,
    OCTET_STREAM,
    PAGE_KEY,
    PING_KEY,
    Headers,
    Key,
    Kind,
    classify,
    common_headers,
    endpoint_of,
    is_page,
)
from .oci.digest import Digest
from .oci.fields import Fields, parse_json_object
from .oci.manifest import MAX_MANIFEST_SIZE, parse_document
from .oci.media_types import OCI_INDEX
from .oci.writing import write_index, write_json

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# distribution-spec, "Error Codes". Never NAME_UNKNOWN for referrers: oras-go gives up on it.
_UNKNOWN: Final = {
    "blobs": ("BLOB_UNKNOWN", "blob unknown to registry"),
    "manifests": ("MANIFEST_UNKNOWN", "manifest unknown to registry"),
    "referrers": ("MANIFEST_UNKNOWN", "manifest unknown to registry"),
    "tags": ("NAME_UNKNOWN", "repository name not known to registry"),
}

_FLATPAK: Final = {Kind.FLATPAK_INDEX, Kind.FLATPAK_ICON, Kind.FLATPAK_REPO, Kind.FLATPAK_REF}
_PAGES: Final = {Kind.PAGE, Kind.REPOSITORY_PAGE, Kind.REMOTE_PAGE, Kind.FEED}
_PUBLIC: Final = MANIFESTS | _FLATPAK | _PAGES | {Kind.BLOB, Kind.REFERRERS, Kind.TAGS_LIST, Kind.CATALOG}

_MAX_DIGITS: Final = 10  # of a number of tags
_TLS_HANDSHAKE: Final = b"\x16"  # the type of its first record (RFC 8446, 5.1)


class ServeError(DeltapressError):
    """The directory cannot be served, or its address cannot be used."""


def application(root: Path) -> "WSGIApplication":
    """The WSGI application that serves the published directory `root` read-only.

    Raises:
        ServeError: `root` is not a published directory.
    """
    root = root.resolve()
    if not (root / PING_KEY).is_file():
        raise ServeError(f"{root}: is not a published directory (it has no {PING_KEY}); publish into it first")

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return _answer(root, Request(environ))(environ, start_response)

    return answer


class Server:
    """A bound server. `run` answers requests until `stop` is called from another thread, or until Ctrl-C."""

    def __init__(self, url: str, server: BaseWSGIServer) -> None:
        self.url = url
        self._server = server

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.1)  # seconds until `stop` is seen

    def stop(self) -> None:
        """End `run`. Must not be called before it."""
        self._server.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


def serve(root: Path, *, host: str = "127.0.0.1", port: int = 0, log: Callable[[str], None] | None = None) -> Server:
    """Bind a threaded server for the published directory `root`; port 0 takes a free one. `log` gets a line a request.

    Raises:
        ServeError: `root` is not a published directory, or the address cannot be bound.
    """

    class Handler(WSGIRequestHandler):
        def handle_one_request(self) -> None:
            first: bytes = self.rfile.peek(1)[:1]  # type: ignore[attr-defined]  # it is a BufferedReader
            if first != _TLS_HANDSHAKE:
                super().handle_one_request()
                return
            # containerd tries TLS first, and goes on without only when the answer is one of HTTP
            self.wfile.write(b"HTTP/1.0 400 Bad Request\r\n\r\nThis server speaks HTTP without TLS.\n")
            self.close_connection = True

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            if log is not None:
                log(f"{self.address_string()} {ascii(self.requestline)[1:-1]} {int(code)} {size}")

        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name is werkzeug's
            if log is not None:
                log(message % args)

    answer = application(root)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # bound here and handed over: werkzeug ends the process when it cannot bind
        with socket.create_server((host, port), family=family) as bound:
            server = make_server(host, port, answer, threaded=True, request_handler=Handler, fd=bound.fileno())
    except OSError as error:
        raise ServeError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port") from error
    shown = f"[{host}]" if ":" in host else host
    return Server(f"http://{shown}:{server.port}", server)


def _answer(root: Path, request: Request) -> Response:
    key = _public_key(request.path)
    if request.method not in {"GET", "HEAD"}:
        refused = _error(405, "UNSUPPORTED", "this registry is read-only")
        refused.headers["Allow"] = "GET, HEAD"
        return refused
    file = None if key is None else _open(root, key)
    if file is None and _is_referrers(key):
        # of what nothing is known, nothing is attached to (distribution-spec, "Listing Referrers")
        return Response(write_index([]), content_type=OCI_INDEX, headers={"Cache-Control": MUTABLE})
    if key is None or file is None:
        return _error(404, *_UNKNOWN[endpoint_of(request.path.lstrip("/")) or "manifests"])
    try:
        if _is_tags_list(key) and request.args.keys() & {"n", "last"}:
            with file:
                return _some_tags(key, file.read(), request)
        return _found(key, file, request)
    except DeltapressError as error:
        file.close()
        return _error(500, "MANIFEST_INVALID", f"{key}: {error}")
    except RequestedRangeNotSatisfiable as error:
        size = os.fstat(file.fileno()).st_size
        file.close()
        return Response(status=error.code, headers={"Content-Range": f"bytes */{size}", "Cache-Control": MUTABLE})


def _public_key(path: str) -> Key | None:
    """The key that a request path asks for, or None for what is not public."""
    if path in {"/v2", "/v2/"}:
        return PING_KEY
    if path == "/":
        return PAGE_KEY
    key = Key(path.removeprefix("/"))
    parsed = classify(key)
    is_public = is_page(key) if parsed is None else parsed.kind in _PUBLIC
    return key if is_public and "\0" not in key else None


def _is_referrers(key: Key | None) -> bool:
    parsed = None if key is None else classify(key)
    return parsed is not None and parsed.kind is Kind.REFERRERS


def _is_tags_list(key: Key) -> bool:
    parsed = classify(key)
    return parsed is not None and parsed.kind is Kind.TAGS_LIST


def _some_tags(key: Key, raw: bytes, request: Request) -> Response:
    """At most `n` tags, those after `last` (distribution-spec, "Listing Tags"); an `n` that is no number is no bound.

    Raises:
        FieldError: the stored list is none.
    """
    fields = Fields(parse_json_object(raw, max_objects=None))
    last, asked = request.args.get("last"), request.args.get("n", "")
    tags = [tag for tag in sorted(fields.list_of_texts("tags")) if last is None or tag > last]
    count = min(int(asked), len(tags)) if asked.isdecimal() and len(asked) < _MAX_DIGITS else len(tags)
    shown = tags[:count]
    response = Response(write_json({"name": fields.text("name"), "tags": shown}), content_type=JSON)
    response.headers["Cache-Control"] = MUTABLE
    if shown and count < len(tags):
        response.headers["Link"] = f'</{key}?{urlencode({"n": count, "last": shown[-1]})}>; rel="next"'
    return response


def _open(root: Path, key: Key) -> BufferedReader | None:
    """The file of `key`, or None where there is no regular file on a path free of symbolic links."""
    path = root / key
    try:
        if os.path.realpath(path, strict=True) != str(path):
            return None
        # non-blocking: a fifo in a foreign directory must not hold the thread
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        return None
    return file


def _found(key: Key, file: BufferedReader, request: Request) -> Response:
    headers = _headers(key, file)
    size = os.fstat(file.fileno()).st_size
    response = Response(
        wrap_file(request.environ, file), headers={"Content-Length": str(size)}, direct_passthrough=True
    )
    response.headers["Content-Type"] = headers.content_type
    response.headers["Cache-Control"] = headers.cache_control
    if headers.digest is not None:
        response.headers["Docker-Content-Digest"] = str(headers.digest)
    response.set_etag(str(headers.digest or _digest_of(file)))
    response.make_conditional(request.environ, accept_ranges=True, complete_length=size)
    response.headers.pop("Date", None)  # the server adds it to every answer
    return response


def _headers(key: Key, file: BufferedReader) -> Headers:
    """What `key` is served with; a manifest's type, and the digest behind a tag, are taken from the bytes in hand."""
    parsed = classify(key)
    if parsed is None:
        return Headers(content_type=HTML, cache_control=MUTABLE)
    if (common := common_headers(parsed.kind)) is not None:
        return common
    if parsed.kind in MANIFESTS:
        document = parse_document(file.read(MAX_MANIFEST_SIZE + 1))
        file.seek(0)
        return Headers(
            content_type=document.media_type,
            cache_control=MUTABLE if parsed.digest is None else IMMUTABLE,
            digest=parsed.digest or document.digest,
        )
    if parsed.kind is Kind.BLOB:
        return Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=parsed.digest)
    return Headers(content_type=OCI_INDEX if parsed.kind is Kind.REFERRERS else JSON, cache_control=MUTABLE)


def _digest_of(file: BufferedReader) -> Digest:
    hasher = hashlib.file_digest(file, "sha256")
    file.seek(0)
    return Digest.of_hasher("sha256", hasher)


def _error(status: int, code: str, message: str) -> Response:
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    return Response(body, status=status, content_type=JSON, headers={"Cache-Control": MUTABLE})
