"""Every generated configuration, and `serve`, answer alike: one table of requests, asked of each real server."""

import base64
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.keys import (
    ATOM,
    FLATPAK_REF,
    FLATPAK_REPO,
    HTML,
    IMMUTABLE,
    JSON,
    MUTABLE,
    OCTET_STREAM,
    PING,
    PNG,
    PRIVATE,
    manifest_key,
    server_key,
    tag_link_key,
    tag_link_text,
    typed_key,
)
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import OCI_INDEX
from pipeline.tree.servers import server_files

from ..layouts.builder import Json, LayoutBuilder, blob_path, on, sha256, tar_of
from . import published, servers

pytestmark = pytest.mark.interop

BLOB = tar_of({"data": bytes(range(256)) * 64})
DIGEST = sha256(BLOB)
MISSING = sha256(b"")
SITE = '[site]\nurl = "https://example.org"\n[flatpak]\nname = "ours"\nurl = "https://example.org"\n'
ICON = b"\x89PNG\r\n\x1a\n"
FLATPAK = {
    "org.flatpak.ref": "app/org.test.App/x86_64/beta",
    "org.flatpak.metadata": "",
    "org.freedesktop.appstream.icon-64": f"data:image/png;base64,{base64.b64encode(ICON).decode()}",
}
NAMES = ("team/app", "blobs", "team/manifests")


def layout() -> tuple[LayoutBuilder, dict[str, Json]]:
    """A layout with every media type, and with tags from which a server would guess a type or an encoding."""
    build = LayoutBuilder()
    image, docker = build.image(BLOB, compression=""), build.image(BLOB, compression="", docker=True)
    tags = {
        "latest": build.index(on(image, "linux/amd64")),
        "v1": image,
        "docker": docker,
        "docker-list": build.index(on(docker, "linux/amd64"), docker=True),
        "v1.html": image,
        "1.0.gz": docker,
        "flatpak": build.image(BLOB, compression="", labels=FLATPAK),
    }
    for tag, descriptor in tags.items():
        build.tag(tag, descriptor)
    return build, tags


BUILD, TAGS = layout()


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = BUILD.write(tmp_path_factory.mktemp("layout"))
    with servers.public_directory() as root:
        published.publish(root, dict.fromkeys(NAMES, made), tables=SITE)
        # a page that somebody has laid beside ours
        page = root / "r" / "app.html"
        page.parent.mkdir(exist_ok=True)
        page.write_text("<!doctype html>")
        (root / PRIVATE / "page.html").write_text("not for clients")
        yield root


@pytest.fixture(scope="module", params=servers.ALL)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def site(server: str, tree: Path) -> Iterator[servers.Site]:
    with servers.ALL[server](tree) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes


def ask(site: servers.Site, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = site.connect()
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers={"Accept-Encoding": "gzip, br, zstd", **sent})
        response = connection.getresponse()
        return Answer(status=response.status, headers=response.headers, body=response.read())
    finally:
        connection.close()


def known() -> Iterator[tuple[str, str, str, str | None, bytes | None]]:
    """(path, type, cache rule, digest that must be named, body) of everything that clients read."""
    yield "/v2/", JSON, PING, None, None
    yield "/v2", JSON, PING, None, None
    yield "/", HTML, MUTABLE, None, None
    yield "/index.html", HTML, MUTABLE, None, None
    yield "/r/app.html", HTML, MUTABLE, None, None
    yield "/index/static", JSON, MUTABLE, None, None
    yield f"/index/icons/{hashlib.sha256(ICON).hexdigest()}.png", PNG, IMMUTABLE, None, None
    yield "/ours.flatpakrepo", FLATPAK_REPO, MUTABLE, None, None
    yield "/org.test.App@beta.flatpakref", FLATPAK_REF, MUTABLE, None, None
    yield "/v2/_catalog", JSON, MUTABLE, None, None
    for name in NAMES:
        yield f"/pages/{name}/_page.html", HTML, MUTABLE, None, None
        yield f"/pages/{name}/_feed.atom", ATOM, MUTABLE, None, None
        yield f"/v2/{name}/tags/list", JSON, MUTABLE, None, None
        yield f"/v2/{name}/blobs/{DIGEST}", OCTET_STREAM, IMMUTABLE, DIGEST, BLOB
        yield f"/v2/{name}/blobs/{DIGEST.replace(':', '%3A')}", OCTET_STREAM, IMMUTABLE, DIGEST, BLOB
        for tag, descriptor in TAGS.items():
            media_type, digest = descriptor["mediaType"], descriptor["digest"]
            raw = BUILD.blobs[blob_path(digest)]
            yield f"/v2/{name}/manifests/{tag}", media_type, MUTABLE, None, raw
            yield f"/v2/{name}/manifests/{digest}", media_type, IMMUTABLE, digest, raw
            yield f"/v2/{name}/referrers/{digest}", OCI_INDEX, MUTABLE, None, None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_clients_read_has_the_headers_of_the_table(server: str, site: servers.Site, method: str) -> None:
    for path, media_type, cache_control, digest, body in known():
        if server == "apache-htaccess" and path == "/v2":
            continue  # the directory's redirect to /v2/, which clients follow: only a virtual host can do better
        answer = ask(site, path, method)
        headers = answer.headers
        assert (path, answer.status, headers.get_all("Content-Type")) == (path, 200, [media_type])
        assert (path, headers.get_all("Cache-Control")) == (path, [cache_control])
        named = headers["Docker-Content-Digest"]
        if digest is None and body is not None and not server.startswith("apache"):
            digest = sha256(body)  # a tag, whose digest Apache alone does not know
        assert (path, named) == (path, digest)
        if media_type not in {HTML, ATOM}:
            assert (path, headers["Content-Encoding"]) == (path, None)
        if body is not None:
            assert headers["Content-Length"] == str(len(body))
            assert answer.body == (body if method == "GET" else b"")


def test_a_part_of_a_blob(site: servers.Site) -> None:
    answer = ask(site, f"/v2/team/app/blobs/{DIGEST}", Range="bytes=100-299")
    assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes 100-299/{len(BLOB)}")
    assert answer.body == BLOB[100:300]


@pytest.mark.parametrize("reference", ["_deltaindex", TAGS["v1"]["digest"]])
def test_an_unchanged_manifest_is_not_sent_again(site: servers.Site, reference: str) -> None:
    path = f"/v2/team/app/manifests/{reference}"
    tag = ask(site, path).headers["ETag"]
    assert ask(site, path, If_None_Match=tag).status == 304
    assert ask(site, path, If_None_Match='"other"').status == 200


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v2/team/app/blobs/{MISSING}", "BLOB_UNKNOWN"),
        (f"/v2/team/app/manifests/{MISSING}", "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/none", "MANIFEST_UNKNOWN"),
        ("/v2/none/manifests/v1", "MANIFEST_UNKNOWN"),
        ("/v2/team/app/referrers/sha256:0", "MANIFEST_UNKNOWN"),
        ("/v2/none/tags/list", "NAME_UNKNOWN"),
    ],
)
def test_what_is_missing_is_a_clean_404(site: servers.Site, path: str, code: str) -> None:
    answer = ask(site, path)
    assert answer.status == 404
    assert answer.headers["Docker-Content-Digest"] is None
    assert answer.headers.get_all("Cache-Control") == [MUTABLE]
    assert answer.headers["Content-Type"] == JSON
    assert json.loads(answer.body)["errors"][0]["code"] == code


def test_nothing_is_attached_to_what_is_unknown(server: str, site: servers.Site) -> None:
    path = f"/v2/team/app/referrers/{MISSING}"
    if server == "apache-htaccess":
        assert ask(site, path).status == 404  # what would do it is not allowed on every shared host; README says so
        return
    answer, head = ask(site, path), ask(site, path, "HEAD")
    assert (answer.status, head.status) == (200, 200)
    for headers in (answer.headers, head.headers):
        assert headers.get_all("Content-Type") == [OCI_INDEX]
        assert headers.get_all("Cache-Control") == [MUTABLE]
    assert json.loads(answer.body) == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}


def test_the_catalog_names_every_repository(site: servers.Site) -> None:
    assert json.loads(ask(site, "/v2/_catalog").body) == {"repositories": sorted(NAMES)}


DIRECTORIES = {"v2/team/app/manifests", "v2/team", "index", "index/icons", "r"}


@pytest.mark.parametrize(
    "path",
    [
        "/_deltapress/ledger.json",
        "/_deltapress/reports/1.json",
        "/_deltapress/",
        "/_deltapress",
        "/_deltapress/servers/nginx.conf",
        "/_deltapress/page.html",
        "//_deltapress/page.html",
        "/.//_deltapress/page.html",
        "//_deltapress//page.html",
        "/%2f_deltapress/page.html",
        "/index.html%0a",
        "/%0aindex.html",
        "/v2/%0a",
        "/index/static%0A",
        "/v2/team/app/manifests/v1%0a",
        "/v2/team/app/manifests/v1%0D%0AHost:%20x",
        f"/v2/team/app/blobs/{DIGEST}%0a",
        f"/v2/team/app/blobs/{DIGEST}%7f",
        f"/v2//team/app/blobs/{DIGEST}",
        "/v2/team/app/tags/list%0a",
        "/_deltapress/typed/oci-manifest/v2/team/app/manifests/v1",
        "/_deltapress/tags/v2/team/app/manifests/v1",
        f"/_deltapress/tagged/v2/team/app/manifests/{TAGS['v1']['digest']}",
        "/_deltapress/servers/no-referrers.json",
        "/%5fdeltapress/ledger.json",
        "/v2/../_deltapress/ledger.json",
        "/v2/%2e%2e/_deltapress/ledger.json",
        "/v2/..%2f_deltapress%2fledger.json",
        "/v2/team/app/manifests/../../../../_deltapress/ledger.json",
        "//_deltapress/ledger.json",
        "/./_deltapress/ledger.json",
        "/../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/.htaccess",
        "/v2/team/app/manifests/.htaccess",
        "/v2/team/app/manifests/.web/v1.meta",
        "/v2/team/app/manifests/.web/",
        "/v2/team/app/manifests/",
        "/v2/team/app/manifests",
        "/v2/team",
        "/index/",
        "/index/icons/",
        "/index/other.png",
        "/ours.flatpakrepo%0a",
        "/v2/ours.flatpakrepo",
        "/r/",
    ],
)
def test_the_rest_of_the_directory_is_not_served(server: str, site: servers.Site, path: str) -> None:
    # a shared host redirects a directory to its slash, and refuses to list it
    refused = {301, 403} if server == "apache-htaccess" and path.strip("/") in DIRECTORIES else {400, 404}
    assert ask(site, path).status in refused


def test_pushing_is_refused(site: servers.Site) -> None:
    assert ask(site, "/v2/team/app/blobs/uploads/", "POST").status in {404, 405}
    assert ask(site, "/v2/team/app/manifests/v1", "PUT").status in {403, 404, 405}


SERVERS_OF_LINKS = pytest.mark.parametrize("name", ["nginx", "caddy"])


@SERVERS_OF_LINKS
def test_a_tag_that_moves_is_never_taken_for_what_it_was(name: str, tree: Path) -> None:
    """The link is switched again and again while a client reads; the manifests have one time and two types."""
    known = {TAGS[tag]["digest"]: TAGS[tag]["mediaType"] for tag in ("v1", "docker")}
    for digest in known:
        for copy in tree.glob(f"_deltapress/typed/*/v2/team/app/manifests/{digest}"):
            os.utime(copy, (0, 0))
    beside = tree / typed_key("team/app", "moving", TAGS["v1"]["mediaType"])
    beside.write_bytes(BUILD.blobs[blob_path(TAGS["v1"]["digest"])])
    link = tree / tag_link_key("team/app", "moving")
    texts = [tag_link_text("team/app", Digest.parse(digest)) for digest in known]
    link.symlink_to(texts[0])
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            for text in texts:
                link.with_name(".next").symlink_to(text)
                link.with_name(".next").rename(link)

    mover = threading.Thread(target=switch)
    seen: list[str | None] = []
    try:
        with servers.ALL[name](tree) as site:
            mover.start()
            for _ in range(300):
                answer = ask(site, "/v2/team/app/manifests/moving", If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT")
                assert answer.status == 200
                digest, named = sha256(answer.body), answer.headers["Docker-Content-Digest"]
                assert answer.headers["Content-Type"] == known[digest]
                assert answer.headers["Cache-Control"] == MUTABLE
                if named is not None:
                    assert named == digest
                    assert (answer.headers["ETag"], answer.headers["Last-Modified"]) == (None, None)
                seen.append(named)
    finally:
        stop.set()
        mover.join()
        link.unlink()
        beside.unlink()
    # Caddy looks at what it has listed once more, and takes the copy where that is gone meanwhile
    assert set(seen) - ({None} if name == "caddy" else set()) == set(known)


@SERVERS_OF_LINKS
@pytest.mark.parametrize("leads", ["nowhere", "to a file", "out"])
def test_a_link_that_is_not_ours_is_no_tag(name: str, leads: str, tree: Path, tmp_path: Path) -> None:
    link = tree / tag_link_key("team/app", "odd")
    text = {"nowhere": tag_link_text("team/app", Digest.of(b"")), "to a file": "../v1", "out": str(tmp_path)}[leads]
    link.symlink_to(text)
    with servers.ALL[name](tree) as site:
        answer = ask(site, "/v2/team/app/manifests/odd")
    link.unlink()
    if leads == "to a file":
        assert (answer.status, answer.headers["Docker-Content-Digest"]) in {(404, None), (200, sha256(answer.body))}
    else:
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (404, None)


@SERVERS_OF_LINKS
def test_a_copy_of_the_tree_without_links_knows_no_digest_of_a_tag(name: str, tree: Path) -> None:
    with servers.public_directory() as copy:
        shutil.copytree(tree, copy, dirs_exist_ok=True, symlinks=True)
        for file in (copy / "_deltapress/tags").rglob("*"):
            if file.is_symlink():
                file.unlink()
        with servers.ALL[name](copy) as site:
            for tag, descriptor in TAGS.items():
                answer = ask(site, f"/v2/team/app/manifests/{tag}")
                assert (answer.headers["Content-Type"], sha256(answer.body)) == (
                    descriptor["mediaType"],
                    descriptor["digest"],
                )
                assert answer.headers["Docker-Content-Digest"] is None
                assert ask(site, f"/v2/team/app/manifests/{tag}", If_None_Match=answer.headers["ETag"]).status == 304


@SERVERS_OF_LINKS
def test_a_tag_between_two_types_is_one_of_them_and_not_a_mixture(name: str, tree: Path) -> None:
    image, index = TAGS["v1"], TAGS["latest"]
    copies = {item["digest"]: tree / typed_key("team/app", "moving", item["mediaType"]) for item in (image, index)}

    def is_served(site: servers.Site, descriptor: Json) -> None:
        answer = ask(site, "/v2/team/app/manifests/moving")
        assert (answer.headers["Content-Type"], sha256(answer.body)) == (descriptor["mediaType"], descriptor["digest"])

    with servers.ALL[name](tree) as site:
        for descriptor in (image, index):
            copies[descriptor["digest"]].write_bytes(BUILD.blobs[blob_path(descriptor["digest"])])
            is_served(site, descriptor)
        copies[index["digest"]].unlink()
        is_served(site, image)
    copies[image["digest"]].unlink()


@SERVERS_OF_LINKS
def test_a_manifest_whose_second_copy_is_not_there_yet_is_not_missing_for_a_year(name: str, tree: Path) -> None:
    early = b"{}"
    first = tree / manifest_key("team/app", sha256(early))
    first.write_bytes(early)
    with servers.ALL[name](tree) as site:
        answer = ask(site, f"/{first.relative_to(tree)}")
    first.unlink()
    assert answer.status == 404
    assert (answer.headers["Cache-Control"], answer.headers["Docker-Content-Digest"]) == (MUTABLE, None)


@contextmanager
def recording_bucket() -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything with 200: its `host:port`, and the request lines that it was sent."""
    lines: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server calls
            lines.append(self.requestline)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", lines
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_edge_asks_a_bucket_for_nothing_but_keys_of_the_tree(tmp_path: Path) -> None:
    with servers.public_directory() as place, recording_bucket() as (bucket, lines):
        configuration = place / "edge.conf"
        configuration.write_bytes(server_files(stores_headers=True)[server_key("nginx-s3.conf")])
        with servers.nginx_edge(configuration, bucket) as site:
            lines.clear()
            kept = [
                f"/v2/app/blobs/{DIGEST}",
                "/v2/a/b/manifests/v1",
                "/v2/app/tags/list",
                "/index/static",
                f"/index/icons/{DIGEST.removeprefix('sha256:')}.png",
                "/ours.flatpakrepo",
                "/org.test.App@beta.flatpakref",
                "/index.html",
                "/pages/team/app/_page.html",
                "/pages/team/app/_feed.atom",
            ]
            for path in kept:
                assert ask(site, path).status == 200
            assert lines == [f"GET {path} HTTP/1.1" for path in kept]
            lines.clear()
            for path in (
                *(f"{path}{end}" for path in kept for end in ("%0a", "%0D%0A", "%0aX:%20y", "%00", "%20", "%3fa")),
                *(path.replace("/", "//", 1) for path in kept),
                *("/" + path[1:].replace("/", "//") for path in kept if path.count("/") > 1),
                "//_deltapress/page.html",
                "/x/..//_deltapress/page.html",
                "/_deltapress/ledger.json",
                "/v2/app/../../_deltapress/ledger.json",
                "/v2/%2e%2e/%2e%2e/_deltapress/blobs/x",
                "/.hidden.html",
            ):
                assert ask(site, path).status in {400, 404}, path
            assert lines == []
