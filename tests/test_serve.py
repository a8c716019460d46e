"""`serve` over a real socket: headers, ranges, validators, clean 404s, and what must not be served."""

import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.keys import ATOM, FLATPAK_REF, FLATPAK_REPO, HTML, IMMUTABLE, JSON, MUTABLE, OCTET_STREAM, PING, PNG
from pipeline.oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST
from pipeline.serve import ServeError, serve


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def manifest(media_type: str | None) -> bytes:
    config = {"mediaType": OCI_CONFIG, "digest": digest_of(BLOB), "size": len(BLOB)}
    named = {} if media_type is None else {"mediaType": media_type}
    return json.dumps({"schemaVersion": 2, **named, "config": config, "layers": []}).encode()


def index(media_type: str | None) -> bytes:
    named = {} if media_type is None else {"mediaType": media_type}
    return json.dumps({"schemaVersion": 2, **named, "manifests": []}).encode()


BLOB = bytes(range(256)) * 1024
MANIFEST = manifest(OCI_MANIFEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """The error code of the distribution spec that the body names."""
        assert self.headers["Content-Type"] == JSON
        [error] = json.loads(self.body)["errors"]
        assert error["message"]
        return str(error["code"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    root: Path
    port: int
    lines: list[str] = field(default_factory=list)

    def put(self, key: str, content: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name("new")
        temporary.write_bytes(content)
        temporary.rename(path)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "public"
    (root / "v2").mkdir(parents=True)
    (root / "v2/index.html").write_bytes(b"{}")
    lines: list[str] = []
    with serve(root, log=lines.append) as server:
        running = threading.Thread(target=server.run)
        running.start()
        site = Site(root=root, port=int(server.url.rpartition(":")[2]), lines=lines)
        site.put("index.html", b"<!doctype html>")
        site.put("pages/a/app/_page.html", b"<!doctype html>")
        site.put("pages/a/app/_feed.atom", b"<feed/>")
        site.put("index/static", b"{}")
        site.put(f"index/icons/{'1' * 64}.png", b"PNG")
        site.put("ours.flatpakrepo", b"[Flatpak Repo]")
        site.put("org.example.App.flatpakref", b"[Flatpak Ref]")
        site.put("_deltapress/ledger.json", b"secret")
        site.put("_deltapress/reports/1.json", b"secret")
        site.put("_deltapress/page.html", b"secret")
        site.put("v2/a/app/manifests/.web/v1.meta", b"secret")
        site.put(f"v2/a/app/blobs/{digest_of(BLOB)}", BLOB)
        site.put("v2/a/app/manifests/v1", MANIFEST)
        site.put(f"v2/a/app/manifests/{digest_of(MANIFEST)}", MANIFEST)
        site.put("v2/a/app/tags/list", b'{"name":"a/app","tags":["v1","v10","v2"]}')
        site.put("v2/_catalog", b'{"repositories":["a/app"]}')
        site.put(f"v2/a/app/referrers/{digest_of(MANIFEST)}", index(OCI_INDEX))
        yield site
        server.stop()
        running.join()


@pytest.mark.parametrize(
    ("path", "media_type", "cache_control"),
    [
        ("/v2/", JSON, PING),
        ("/v2", JSON, PING),
        ("/", HTML, MUTABLE),
        ("/index.html", HTML, MUTABLE),
        ("/pages/a/app/_page.html", HTML, MUTABLE),
        ("/pages/a/app/_feed.atom", ATOM, MUTABLE),
        ("/index/static", JSON, MUTABLE),
        (f"/index/icons/{'1' * 64}.png", PNG, IMMUTABLE),
        ("/ours.flatpakrepo", FLATPAK_REPO, MUTABLE),
        ("/org.example.App.flatpakref", FLATPAK_REF, MUTABLE),
        ("/index/static?label=x&os=linux", JSON, MUTABLE),
        ("/v2/a/app/tags/list?n=100", JSON, MUTABLE),
        ("/v2/_catalog", JSON, MUTABLE),
        ("/v2/_catalog?n=100", JSON, MUTABLE),
        (f"/v2/a/app/referrers/{digest_of(b'')}", OCI_INDEX, MUTABLE),
        ("/v2/a/app/manifests/v1", OCI_MANIFEST, MUTABLE),
        (f"/v2/a/app/manifests/{digest_of(MANIFEST)}", OCI_MANIFEST, IMMUTABLE),
        (f"/v2/a/app/referrers/{digest_of(MANIFEST)}", OCI_INDEX, MUTABLE),
        (f"/v2/a/app/blobs/{digest_of(BLOB)}", OCTET_STREAM, IMMUTABLE),
        (f"/v2/a/app/blobs/{digest_of(BLOB).replace(':', '%3a')}", OCTET_STREAM, IMMUTABLE),
    ],
)
def test_headers_by_class_and_head_as_get(site: Site, path: str, media_type: str, cache_control: str) -> None:
    got, head = site.ask(path), site.ask(path, "HEAD")
    assert (got.status, got.headers["Content-Type"], got.headers["Cache-Control"]) == (200, media_type, cache_control)
    assert got.headers["Content-Length"] == str(len(got.body))
    assert got.headers["Content-Encoding"] is None
    assert head.body == b""
    del got.headers["Date"], head.headers["Date"]
    assert head.headers.items() == got.headers.items()


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (manifest(OCI_MANIFEST), OCI_MANIFEST),
        (manifest(DOCKER_MANIFEST), DOCKER_MANIFEST),
        (index(OCI_INDEX), OCI_INDEX),
        (index(DOCKER_LIST), DOCKER_LIST),
        (manifest(None), OCI_MANIFEST),
        (index(None), OCI_INDEX),
    ],
)
def test_a_tag_has_type_and_digest_of_the_bytes_sent(site: Site, content: bytes, media_type: str) -> None:
    for tag in ("moved", "v1.html", "1.0.gz"):
        site.put(f"v2/a/app/manifests/{tag}", b"")
        site.put(f"v2/a/app/manifests/{tag}", content)
        answer = site.ask(f"/v2/a/app/manifests/{tag}")
        assert answer.body == content
        assert answer.headers["Content-Type"] == media_type
        assert answer.headers["Docker-Content-Digest"] == digest_of(content)


@pytest.mark.parametrize("name", ["blobs", "a/manifests", "a/tags", "a/referrers", "manifests/blobs"])
def test_a_repository_may_be_called_like_a_part_of_the_tree(site: Site, name: str) -> None:
    site.put(f"v2/{name}/manifests/v1", MANIFEST)
    site.put(f"v2/{name}/blobs/{digest_of(BLOB)}", BLOB)
    assert site.ask(f"/v2/{name}/manifests/v1").headers["Content-Type"] == OCI_MANIFEST
    assert site.ask(f"/v2/{name}/blobs/{digest_of(BLOB)}").headers["Docker-Content-Digest"] == digest_of(BLOB)


def test_no_header_stands_twice(site: Site) -> None:
    for path in ("/v2/", "/v2/unknown/tags/list"):
        names = [name.lower() for name in site.ask(path).headers]
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("asked", "part"),
    [("bytes=0-0", slice(0, 1)), ("bytes=1000-1999", slice(1000, 2000)), ("bytes=262000-", slice(262000, None)),
     ("bytes=-10", slice(-10, None)), ("bytes=262100-999999", slice(262100, None))],
)  # fmt: skip
def test_a_range(site: Site, asked: str, part: slice) -> None:
    answer = site.ask(f"/v2/a/app/blobs/{digest_of(BLOB)}", Range=asked)
    start, stop, _ = part.indices(len(BLOB))
    assert answer.status == 206
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(BLOB)}"
    assert answer.body == BLOB[part]


def test_a_range_behind_the_end(site: Site) -> None:
    answer = site.ask(f"/v2/a/app/blobs/{digest_of(BLOB)}", Range=f"bytes={len(BLOB)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(BLOB)}")


def test_a_range_of_what_has_changed_since_is_the_whole(site: Site) -> None:
    path = "/v2/a/app/manifests/v1"
    old = site.ask(path).headers["ETag"]
    assert site.ask(path, Range="bytes=5-", If_Range=old).body == MANIFEST[5:]
    site.put("v2/a/app/manifests/v1", index(OCI_INDEX))
    assert site.ask(path, Range="bytes=5-", If_Range=old).body == index(OCI_INDEX)


@pytest.mark.parametrize("key", ["v2/a/app/manifests/v1", "v2/a/app/tags/list", "index/static", "index.html"])
def test_validators_follow_the_content_and_not_the_clock(site: Site, key: str) -> None:
    contents = [MANIFEST, MANIFEST.replace(b"{", b"{ ", 1)[:-1] + b"}"]
    site.put(key, contents[0])
    first = site.ask(f"/{key}")
    assert first.headers["Last-Modified"] is None
    unchanged = site.ask(f"/{key}", If_None_Match=first.headers["ETag"])
    assert (unchanged.status, unchanged.body) == (304, b"")
    before = (site.root / key).stat()
    site.put(key, contents[1])
    os.utime(site.root / key, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert site.ask(f"/{key}", If_None_Match=first.headers["ETag"]).body == contents[1]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v2/a/app/blobs/{digest_of(b'')}", "BLOB_UNKNOWN"),
        ("/v2/a/app/manifests/none", "MANIFEST_UNKNOWN"),
        (f"/v2/a/app/manifests/{digest_of(b'')}", "MANIFEST_UNKNOWN"),
        ("/v2/a/app/referrers/sha256:0", "MANIFEST_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
    ],
)
def test_the_missing_is_named_as_the_specification_says(site: Site, path: str, code: str) -> None:
    answer = site.ask(path)
    assert (answer.status, answer.code) == (404, code)
    assert answer.headers["Cache-Control"] == MUTABLE
    assert answer.headers["Docker-Content-Digest"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/_deltapress/ledger.json",
        "/_deltapress/reports/1.json",
        "/_deltapress/page.html",
        "/%5Fdeltapress/page.html",
        "/v2/a/app/manifests/.web/v1.meta",
        "/v2/../_deltapress/page.html",
        "/v2/%2e%2e/_deltapress/page.html",
        "/v2/a/app/manifests/..%2f..%2f..%2f..%2f_deltapress%2fledger.json",
        "/../../outside.html",
        "/%2e%2e/outside.html",
        "//outside.html",
        "/outside/index.html",
        "/link.html",
        "/links/index.html",
        "/loop.html",
        "/v2/a/app/manifests/linked",
        "/v2/a/app/manifests/",
        "/v2/a/app/manifests",
        "/v2/a/app/manifests/v1%00.html",
        "/v2/a/app/manifests/%ff",
        "/v2/a/app/manifests/" + "x" * 5000,
        "/v2/index.html/",
        "/v2/fifo/manifests/v1",
        "/notes.txt",
        "/index/",
        "/..\\outside.html",
    ],
)
def test_nothing_else_is_served(site: Site, path: str) -> None:
    outside = site.root.parent / "outside.html"
    outside.write_bytes(b"secret")
    site.put("notes.txt", b"secret")
    (site.root / "link.html").symlink_to(outside)
    (site.root / "links").symlink_to(site.root)
    (site.root / "loop.html").symlink_to("loop.html")
    (site.root / "v2/a/app/manifests/linked").symlink_to("v1")
    (site.root / "v2/fifo/manifests").mkdir(parents=True)
    os.mkfifo(site.root / "v2/fifo/manifests/v1")
    answer = site.ask(path)
    assert answer.status == 404
    assert answer.code == "MANIFEST_UNKNOWN"


def test_a_damaged_manifest_is_an_error_and_never_sent(site: Site) -> None:
    for damaged in (
        b"{",
        b"[]",
        b'{"schemaVersion": 2, "mediaType": "text/html", "layers": []}',
        b" " * (4 << 20) + MANIFEST,
    ):
        site.put("v2/a/app/manifests/v1", damaged)
        answer = site.ask("/v2/a/app/manifests/v1")
        assert (answer.status, answer.code) == (500, "MANIFEST_INVALID")


@pytest.mark.parametrize(
    ("query", "tags", "following"),
    [
        ("n=2", ["v1", "v10"], "n=2&last=v10"),
        ("n=2&last=v10", ["v2"], None),
        ("n=3", ["v1", "v10", "v2"], None),
        ("n=0", [], None),
        ("last=v1", ["v10", "v2"], None),
        ("n=1&last=u", ["v1"], "n=1&last=v1"),
        ("last=v2", [], None),
        ("n=many", ["v1", "v10", "v2"], None),
    ],
)
def test_tags_are_listed_in_pages(site: Site, query: str, tags: list[str], following: str | None) -> None:
    answer = site.ask(f"/v2/a/app/tags/list?{query}")
    assert json.loads(answer.body) == {"name": "a/app", "tags": tags}
    expected = None if following is None else f'</v2/a/app/tags/list?{following}>; rel="next"'
    assert answer.headers["Link"] == expected


def test_nothing_is_attached_to_what_is_unknown(site: Site) -> None:
    answer = site.ask(f"/v2/a/app/referrers/{digest_of(b'')}")
    assert json.loads(answer.body) == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_writing_is_refused(site: Site, method: str) -> None:
    answer = site.ask("/v2/a/app/manifests/v1", method)
    assert (answer.status, answer.code, answer.headers["Allow"]) == (405, "UNSUPPORTED", "GET, HEAD")


def test_one_line_a_request(site: Site) -> None:
    site.ask("/v2/a/app/manifests/v1")
    site.ask("/v2/a/app/manifests/\x1b[31m".replace("\x1b", "%1b"), "HEAD")
    first, second = site.lines
    assert first.startswith("127.0.0.1 GET /v2/a/app/manifests/v1 HTTP/1.1 200")
    assert second.startswith("127.0.0.1 HEAD /v2/a/app/manifests/%1b[31m HTTP/1.1 404")


def test_requests_are_answered_while_another_one_hangs(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port)) as hanging:
        hanging.sendall(b"GET /v2/ HTTP/1.1\r\n")
        assert site.ask("/v2/").status == 200


def test_a_client_that_tries_tls_learns_that_it_is_http(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
        client.sendall(b"\x16\x03\x01\x00\x20" + bytes(32))  # how a handshake begins; it has no line end
        assert client.makefile("rb").read().startswith(b"HTTP/1.0 400 Bad Request\r\n\r\n")


def test_a_directory_that_is_no_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="not a published directory"):
        serve(tmp_path)


def test_an_address_in_use_is_refused(site: Site) -> None:
    with pytest.raises(ServeError, match=f"cannot listen on 127.0.0.1 port {site.port}"):
        serve(site.root, port=site.port)
