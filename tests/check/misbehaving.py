"""A server of a published directory that does one thing wrong: `serve`'s own answers, and one defect behind them."""

import gzip
import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from pipeline.oci.media_types import OCI_INDEX, OCI_MANIFEST
from pipeline.serve import application

PAGE: Final = b"<!doctype html><title>An application of one page</title>"
EMPTY: Final = hashlib.sha256().hexdigest()
Defect = Callable[[Request, Response], Response | None]


@contextmanager
def serving(root: Path, defect: Defect | None = None, *, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server of `root` on a free port; `defect` changes an answer, or gives another one."""
    inner = application(root)

    def spoiled(environ, start_response):  # type: ignore[no-untyped-def]
        environ["deltapress.root"] = str(root)
        request = Request(environ)
        answer = Response.from_app(inner, environ, buffered=True)
        answer = (defect(request, answer) if defect is not None else None) or answer
        return answer(environ, start_response)

    server = make_server("127.0.0.1", 0, spoiled, threaded=True, request_handler=_Silent, ssl_context=tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the name is werkzeug's
        pass


# --- what a request is for


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def root_of(request: Request) -> Path:
    """The published directory."""
    return Path(request.environ["deltapress.root"])


def is_manifest(request: Request) -> bool:
    return "/manifests/" in request.path


def is_tag(request: Request) -> bool:
    return is_manifest(request) and "sha256" not in request.path and "_deltaindex" not in request.path


def is_digest(request: Request) -> bool:
    return is_manifest(request) and "/sha256:" in request.path


def is_blob(request: Request) -> bool:
    return "/blobs/" in request.path


def is_referrers(request: Request) -> bool:
    return "/referrers/" in request.path


def is_referrers_tag(request: Request) -> bool:
    return "/manifests/sha256-" in request.path


def is_listing(request: Request) -> bool:
    return request.path.endswith(("/tags/list", "/_catalog", "/index/static"))


# --- what is done to an answer


def typed(media_type: str | None, on: Callable[[Request], bool] = is_manifest) -> Defect:
    def defect(request: Request, answer: Response) -> None:
        if on(request) and answer.status_code == 200:
            del answer.headers["Content-Type"]
            if media_type is not None:
                answer.headers["Content-Type"] = media_type

    return defect


def suffixed(on: Callable[[Request], bool]) -> Defect:
    """A charset behind the right type."""

    def defect(request: Request, answer: Response) -> None:
        if on(request):
            answer.headers["Content-Type"] += "; charset=utf-8"

    return defect


def refused(
    status: int, on: Callable[[Request], bool], *, code: str | None = None, body: bytes = b"", method: str | None = None
) -> Defect:
    """Another answer, with `body`, or a registry's error."""

    def defect(request: Request, answer: Response) -> Response | None:
        if not on(request) or method not in {None, request.method}:
            return None
        if code is not None:
            return Response(
                json.dumps({"errors": [{"code": code, "message": ""}]}), status=status, content_type="application/json"
            )
        return Response(body, status=status, content_type="text/html")

    return defect


def missing_is(status: int, body: bytes = b"", on: Callable[[Request], bool] = lambda request: True) -> Defect:
    """Another answer than 404, where that would be given; `serve` gives an empty list for unknown referrers."""

    def defect(request: Request, answer: Response) -> Response | None:
        is_empty = is_referrers(request) and request.path.endswith(EMPTY)
        if on(request) and (answer.status_code == 404 or is_empty):
            return Response(body, status=status, content_type="text/html")
        return None

    return defect


def header(name: str, value: str | None, on: Callable[[Request], bool], *, method: str | None = None) -> Defect:
    """A header that is there, or None: one that is not."""

    def defect(request: Request, answer: Response) -> None:
        if on(request) and answer.status_code in {200, 206} and method in {None, request.method}:
            answer.headers.pop(name, None)
            if value is not None:
                answer.headers[name] = value

    return defect


def without_length(request: Request, answer: Response) -> None:
    if is_manifest(request) and request.method == "HEAD":
        answer.automatically_set_content_length = False
        answer.headers.pop("Content-Length", None)


def rewritten(on: Callable[[Request], bool], change: Callable[[bytes], bytes]) -> Defect:
    """Other bytes, of their own length."""

    def defect(request: Request, answer: Response) -> None:
        if on(request) and answer.status_code == 200 and request.method == "GET":
            answer.set_data(change(answer.get_data()))

    return defect


def with_json(on: Callable[[Request], bool], change: Callable[[Any], object]) -> Defect:
    def changed(raw: bytes) -> bytes:
        document = json.loads(raw)
        change(document)
        return json.dumps(document).encode()

    return rewritten(on, changed)


def compressed(on: Callable[[Request], bool], *, unasked: bool = False, other: bytes = b"") -> Defect:
    """Compressed on the way, to who takes it or to everybody; `other` bytes come with it."""

    def defect(request: Request, answer: Response) -> None:
        takes = "gzip" in request.headers.get("Accept-Encoding", "")
        if on(request) and answer.status_code == 200 and (takes or unasked):
            if request.method == "GET":
                answer.set_data(gzip.compress(answer.get_data() + other))
            else:
                answer.automatically_set_content_length = False
                answer.headers.pop("Content-Length", None)
            answer.headers["Content-Encoding"] = "gzip"

    return defect


def without_ranges(request: Request, answer: Response) -> Response | None:
    """The whole, whatever part is asked for."""
    if not is_blob(request) or answer.status_code != 206:
        return None
    return Response((root_of(request) / request.path.lstrip("/")).read_bytes(), content_type="application/octet-stream")


def wrong_ranges(request: Request, answer: Response) -> None:
    if is_blob(request) and answer.status_code == 206:
        answer.set_data(bytes(len(answer.get_data())))


def also_in_capitals(request: Request, answer: Response) -> Response | None:
    """A tag under its name in capitals, as on a disk that does not tell them apart."""
    name = request.path.rpartition("/")[2]
    if not is_tag(request) or answer.status_code != 404 or not name.isupper():
        return None
    file = root_of(request) / request.path.lstrip("/").lower()
    return Response(file.read_bytes(), content_type=OCI_MANIFEST, headers={"Cache-Control": "no-cache, no-transform"})


def nothing_listed() -> Response:
    """An empty list of referrers."""
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})
    return Response(raw, content_type=OCI_INDEX, headers={"Cache-Control": "no-cache, no-transform"})


def redirected(to: str, on: Callable[[Request], bool]) -> Defect:
    """`to` may hold `{path}`, and `{host}`."""

    def defect(request: Request, answer: Response) -> Response | None:
        if not on(request):
            return None
        return Response(status=302, headers={"Location": to.format(path=request.path, host=request.host)})

    return defect


def cached_tag(of: str, other: str) -> Defect:
    """A cache that gives out what a tag was: `other` instead of `of`, but to who asks past it."""

    def defect(request: Request, answer: Response) -> Response | None:
        if not request.path.endswith(f"/manifests/{of}") or request.query_string:
            return None
        raw = (root_of(request) / request.path.lstrip("/")).with_name(other).read_bytes()
        headers = {"Age": "7200", "Cache-Control": "no-cache, no-transform"}
        return Response(raw, content_type=answer.content_type, headers=headers)

    return defect


def broken_off(on: Callable[[Request], bool]) -> Defect:
    """Half of the body that Content-Length promises."""

    def defect(request: Request, answer: Response) -> Response | None:
        if not on(request) or request.method != "GET" or answer.status_code != 200:
            return None
        raw = answer.get_data()
        half = Response(iter([raw[: len(raw) // 2]]), content_type=answer.content_type, headers={"Connection": "close"})
        half.headers["Content-Length"] = str(len(raw))
        return half

    return defect
