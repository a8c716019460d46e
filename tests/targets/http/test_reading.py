"""A registry over HTTP as a target to read from: what is read, what is asked for, and whom nothing is told."""

import base64
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from traceback import format_exception
from typing import Any

import pytest

from pipeline import serve
from pipeline.keys import Key, blob_key, manifest_key, referrers_key, referrers_tag, tags_key
from pipeline.oci.digest import Digest
from pipeline.targets.base import KeyMissingError, ReadableTarget, TargetError, TooLargeError, read_bytes
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.http.options import HTTPOptions
from pipeline.targets.http.target import HTTPTarget
from pipeline.targets.open import TargetURLError, open_readable

from ...conftest import require_tool
from ...layouts.builder import LayoutBuilder
from ...runs import Shop, app
from .registry import IDENTITY, PASSWORD, USER, Registry, make_certificates, running

NAME = "team/app"
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published tree: three tags, deltas between their images, and a signature."""
    path = tmp_path_factory.mktemp("published")
    shop = Shop(path, DirectoryTarget(path / "public"), repositories={NAME: "", "other": ""})
    build = LayoutBuilder()
    images = {f"v{number}": build.image(app(number)) for number in range(3)}
    build.tag("signature", build.artifact(subject=images["v2"]))
    shop.layout(images, build, NAME)
    shop.images({"v1": app(1)}, "other")
    shop.run()
    return path / "public"


def options(**more: Any) -> HTTPOptions:
    return HTTPOptions(**{"connect_timeout": 5, "read_timeout": 5, "attempts": 1, **more})


def reader(registry: Registry, **more: Any) -> HTTPTarget:
    return HTTPTarget(registry.url, options(**more))


def some_blob(tree: Path) -> Key:
    """The largest of the repository."""
    return Key(
        str(max((tree / "v2" / NAME / "blobs").iterdir(), key=lambda file: file.stat().st_size).relative_to(tree))
    )


def read(target: ReadableTarget, key: str) -> bytes:
    return read_bytes(target, Key(key), limit=LIMIT)


def public_keys(tree: Path) -> list[Key]:
    """What clients can find: all but the pages, what web servers read, and an empty blob that nothing leads to."""
    unused = blob_key("other", Digest.of(b"{}"))
    keys = [key for key in DirectoryTarget(tree).keys() if key.startswith("v2/")]  # noqa: SIM118  # no dict
    return [key for key in keys if not key.endswith((".html", ".htaccess", ".meta")) and key != unused]


def test_what_is_served_is_what_was_published(tree: Path) -> None:
    server = serve.serve(tree)
    thread = threading.Thread(target=server.run)
    with server:
        thread.start()
        try:
            target = HTTPTarget(server.url, options())
            there = DirectoryTarget(tree)
            expected = public_keys(tree)
            assert list(target.keys()) == expected
            for key in expected:
                assert read(target, key) == read(there, key)
                stored, local = target.stat(key), there.stat(key)
                assert stored is not None
                assert local is not None
                assert stored.size == local.size
            assert target.stat(Key(f"v2/{NAME}/manifests/gone")) is None
            with pytest.raises(KeyMissingError):
                target.open(Key(f"v2/{NAME}/manifests/gone"))
            stored = target.stat(manifest_key(NAME, "v1"))
            assert stored is not None
            assert stored.headers is not None
            assert stored.headers.digest == Digest.of(read(there, manifest_key(NAME, "v1")))
        finally:
            server.stop()
            thread.join()


@pytest.mark.parametrize("habit", [{"page": 1}, {"knows_referrers": False}, {"answers_head": False}], ids=str)
def test_habits_of_registries_change_nothing(tree: Path, habit: dict[str, Any]) -> None:
    with running(Registry(root=tree, **habit)) as registry:
        target = reader(registry)
        # without the endpoint, there is nothing for what nothing is attached to
        expected = [
            key
            for key in public_keys(tree)
            if registry.knows_referrers
            or "/referrers/" not in key
            or json.loads((tree / key).read_bytes())["manifests"]
        ]
        assert list(target.keys()) == expected
        for key in expected:
            if key.endswith(("tags/list", "_catalog")) or "/referrers/" in key:
                mine, theirs = json.loads(read(target, key)), json.loads((tree / key).read_bytes())
                assert mine == theirs
            stored = target.stat(key)
            assert stored is not None


def test_a_tag_stands_for_referrers_that_a_registry_does_not_know(tree: Path) -> None:
    digest = Digest.of(read(DirectoryTarget(tree), manifest_key(NAME, "v2")))
    with running(Registry(root=tree, knows_referrers=False)) as registry:
        target = reader(registry)
        assert read(target, referrers_key(NAME, digest)) == read(target, manifest_key(NAME, referrers_tag(digest)))
        with pytest.raises(KeyMissingError):
            target.open(referrers_key(NAME, Digest.of(b"nobody")))


def test_manifests_are_asked_for_by_their_types_and_below_a_path(tree: Path) -> None:
    with running(Registry(root=tree, prefix="/mirror/of/it/")) as registry:
        target = reader(registry)
        assert read(target, tags_key(NAME))
        read(target, manifest_key(NAME, "v1"))
        accepted = registry.asked[-1].headers["Accept"]
        assert registry.paths()[-1] == f"/mirror/of/it/v2/{NAME}/manifests/v1"
    assert "application/vnd.oci.image.index.v1+json" in accepted
    assert "application/vnd.docker.distribution.manifest.v2+json" in accepted


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_blob_is_read_on_where_the_connection_broke(tree: Path, knows_ranges: bool) -> None:
    key = some_blob(tree)
    data = (tree / key).read_bytes()
    with running(Registry(root=tree, knows_ranges=knows_ranges)) as registry:
        target = reader(registry)
        with target.open_from(key, len(data) - 10) as stream:
            assert stream.read() == data[-10:]
        registry.cuts = len(data) // 3 if knows_ranges else len(data) - 1
        if knows_ranges:
            with target.open(key) as stream:
                assert stream.read() == data
            assert len(registry.asked) == 5  # the one before, two breaks, and the last two bytes
        else:
            with target.open(key) as stream, pytest.raises(TargetError, match=r"the connection broke.*again and again"):
                stream.read()


def test_what_only_drips_is_given_up(tree: Path) -> None:
    with running(Registry(root=tree, drip=0.02)) as registry:
        target = reader(registry, read_timeout=0.5)
        began = time.monotonic()
        with pytest.raises(TargetError, match=r"sent \d+ bytes in \d s, which is too slow"):
            read(target, some_blob(tree))
        assert time.monotonic() - began < 5
        registry.drip = 0.001
        assert read(target, tags_key(NAME)), "slow, and not too slow"


def test_a_busy_server_is_asked_again_and_not_for_ever(tree: Path) -> None:
    with running(Registry(root=tree, busy=2)) as registry:
        assert read(reader(registry, attempts=3), tags_key(NAME))
        registry.busy = 100
        with pytest.raises(TargetError, match=r"overloaded or broken \(429"):
            read(reader(registry, attempts=2), tags_key(NAME))
        assert len(registry.asked) == 5


def login_file(path: Path, **auths: Any) -> Path:
    path.write_text(json.dumps({"auths": auths}))
    return path


def encoded(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("auth", ["basic", "token", "users"])
@pytest.mark.parametrize("place", ["{host}", "{host}/team", "{host}/team/app", "http://{host}/v1/"])
def test_logins_are_found_and_used(tree: Path, tmp_path: Path, auth: str, place: str) -> None:
    with running(Registry(root=tree, auth=auth)) as registry:
        entries = {place.format(host=registry.host): encoded(), f"{registry.host}/tea": encoded("x", "y")}
        file = login_file(tmp_path / "auth.json", **entries)
        target = reader(registry, credential_files=(tmp_path / "none.json", file))
        assert read(target, manifest_key(NAME, "v1"))
        asked = len(registry.asked)
        assert read(target, some_blob(tree))
        assert len(registry.asked) == asked + 1  # what was answered once is sent at once


def test_anonymous_readers_get_a_token_where_there_is_one(tree: Path) -> None:
    with running(Registry(root=tree, auth="token")) as registry:
        assert read(reader(registry), manifest_key(NAME, "v1"))
        asked = next(one for one in registry.asked if one.path == "/token")
        assert asked.query == {"service": ["here, or there"], "scope": ["repository:team/app:pull,push"]}
        registry.auth = "users"
        with pytest.raises(TargetError, match=r"gives no token to anonymous readers; log in"):
            read(reader(registry), manifest_key(NAME, "v1"))
        registry.auth = "basic"
        with pytest.raises(TargetError, match=r"denies access \(401, UNAUTHORIZED who\?\); log in"):
            read(reader(registry), manifest_key(NAME, "v1"))


def test_an_identity_token_is_exchanged(tree: Path, tmp_path: Path) -> None:
    with running(Registry(root=tree, auth="users")) as registry:
        file = login_file(tmp_path / "a.json", **{registry.host: {"identitytoken": IDENTITY}})
        assert read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))


@pytest.mark.parametrize("member", ["credHelpers", "credsStore"])
def test_helpers_keep_secrets(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, member: str) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(
        '#!/bin/sh\nread server\necho "$1 $server" >>' + str(tmp_path / "said") + "\n"
        f'printf \'{{"ServerURL":"x","Username":"{USER}","Secret":"{PASSWORD}"}}\'\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with running(Registry(root=tree, auth="users")) as registry:
        file = tmp_path / "config.json"
        helper: Any = {registry.host: "test"} if member == "credHelpers" else "test"
        file.write_text(json.dumps({"auths": {registry.host: {}}, member: helper}))
        assert read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))
        assert (tmp_path / "said").read_text() == f"get {registry.host}\n"
        program.write_text("#!/bin/sh\necho credentials not found in native keychain; exit 1\n")
        with pytest.raises(TargetError, match=r"anonymous readers"):
            read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))
        program.write_text(f"#!/bin/sh\necho {PASSWORD}; exit 1\n")
        with pytest.raises(TargetError, match=r"docker-credential-test failed for 127.0.0.1") as caught:
            read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))
        assert PASSWORD not in str(caught.value)
        program.unlink()
        with pytest.raises(TargetError, match=r"docker-credential-test for 127.0.0.1.* cannot be run"):
            read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[]", "must be a JSON object"),
        ('{"auths": []}', "auths: must be an object"),
        ('{"auths": {"%s": {"auth": "?"}}}', "auth: is not user:password"),
    ],
)
def test_a_bad_login_file_is_named(tree: Path, tmp_path: Path, content: str, fault: str) -> None:
    with running(Registry(root=tree, auth="basic")) as registry:
        file = tmp_path / "auth.json"
        file.write_text(content.replace("%s", registry.host))
        with pytest.raises(TargetError, match=f"auth.json: .*{fault}"):
            read(reader(registry, credential_files=(file,)), manifest_key(NAME, "v1"))


def test_no_other_host_is_told_who_we_are(tree: Path, tmp_path: Path) -> None:
    with (
        running(Registry(root=tree)) as store,
        running(Registry(root=tree, auth="users", elsewhere=store.url)) as registry,
    ):
        file = login_file(tmp_path / "auth.json", **{registry.host: encoded()})
        target = reader(registry, credential_files=(file,))
        key = some_blob(tree)
        assert read(target, key) == (tree / key).read_bytes()
        assert [one.path for one in store.asked] == [f"/{key}"]
        assert store.asked[0].query == {"signature": ["1"]}
        assert "Authorization" not in store.asked[0].headers
        assert registry.asked[-1].headers["Authorization"] == "Bearer USER-TOKEN"


def test_redirects_end(tree: Path) -> None:
    with running(Registry(root=tree)) as registry:
        registry.elsewhere = registry.url
        with pytest.raises(TargetError, match=r"more than 5 times"):
            reader(registry).open(some_blob(tree))


def test_what_is_no_address_is_told(tree: Path) -> None:
    with running(Registry(root=tree, auth="token")) as registry:
        target = reader(registry)
        registry.scheme = "http://[x"
        with pytest.raises(TargetError, match="which is no address"):
            target.open(some_blob(tree))
    with (
        running(Registry(root=tree, elsewhere="http://[x")) as registry,
        pytest.raises(TargetError, match="which is no address"),
    ):
        reader(registry).open(some_blob(tree))


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({"Docker-Content-Digest": str(Digest.of(b"other"))}, "says that its digest is"),
        ({"Content-Encoding": "gzip"}, r"compresses it \(gzip\)"),
    ],
    ids=["digest", "encoding"],
)
def test_answers_that_contradict_themselves_are_refused(tree: Path, headers: dict[str, str], fault: str) -> None:
    with running(Registry(root=tree, headers=headers)) as registry, pytest.raises(TargetError, match=fault):
        read(reader(registry), manifest_key(NAME, "v1"))


def test_a_blob_with_another_digest_in_its_header_is_refused(tree: Path) -> None:
    other = str(Digest.of(b"other"))
    with running(Registry(root=tree, headers={"Docker-Content-Digest": other})) as registry:
        with pytest.raises(TargetError, match=f"has other content there, {other}"):
            reader(registry).open(some_blob(tree))
        with pytest.raises(TargetError, match=r"has other content there"):
            reader(registry).stat(some_blob(tree))


def test_documents_and_lists_are_bounded(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / "v2/a/manifests").mkdir(parents=True)
    (root / "v2/a/manifests/big").write_bytes(b'{"x": "' + b"x" * (4 << 20) + b'"}')
    with running(Registry(root=root)) as registry, pytest.raises(TooLargeError, match=r"more than 4,194,304 bytes"):
        reader(registry).open(Key("v2/a/manifests/big"))
    link = f'</v2/{NAME}/tags/list?last=1>; rel="next"'
    with running(Registry(root=tree, headers={"Link": link})) as registry:
        with pytest.raises(TargetError, match=r"a list that does not end"):
            reader(registry).open(tags_key(NAME))
        registry.headers = {"Link": '<http://other.test/v2/>; rel="next"'}
        with pytest.raises(TargetError, match=r"continues the list on another host, other.test"):
            reader(registry).open(tags_key(NAME))


def test_what_a_bucket_denies_may_be_missing_and_is_not_called_so(tree: Path) -> None:
    with running(Registry(root=tree, missing=403)) as registry:
        with pytest.raises(TargetError, match=r"denies access \(403\).*the key may be missing") as caught:
            reader(registry).stat(manifest_key(NAME, "gone"))
        assert not isinstance(caught.value, KeyMissingError)


def test_a_registry_without_a_catalog_says_so(tree: Path, tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "v2").mkdir()
    (root / "v2" / "team").symlink_to(tree / "v2" / "team")
    with running(Registry(root=root)) as registry:
        with pytest.raises(TargetError, match=r"does not list its repositories .*; name them"):
            list(reader(registry).keys())
        expected = {key for key in public_keys(tree) if key.startswith(f"v2/{NAME}/")}
        assert reader(registry).keys_of(NAME) == expected


def test_nobody_listens_there() -> None:
    with running(Registry(root=Path())) as registry:
        pass
    with pytest.raises(TargetError, match=rf"127.0.0.1:{registry.port}: cannot be reached \(Connection refused\)$"):
        reader(registry).open(tags_key(NAME))


def test_who_does_not_answer_is_not_asked_in_another_way() -> None:
    """Each attempt may take as long as the time limits allow."""
    asked = []

    def hang_up(server: socket.socket) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                connection, _ = server.accept()
                asked.append(connection.recv(4096).partition(b" ")[0])
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=hang_up, args=(server,))
        thread.start()
        target = HTTPTarget(f"http://127.0.0.1:{server.getsockname()[1]}", options(attempts=1))
        with pytest.raises(TargetError, match=r"cannot be reached \(Remote end closed connection without response\)$"):
            target.stat(manifest_key(NAME, "v1"))
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert asked == [b"HEAD"]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require_tool("openssl")
    folder = tmp_path_factory.mktemp("tls") / "made"
    make_certificates(folder)
    return folder


@pytest.fixture
def secure(tree: Path, certificates: Path) -> Iterator[Registry]:
    """A registry that shows a certificate, and wants to see one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    with running(Registry(root=tree, auth="token"), context) as registry:
        yield registry


def test_own_authorities_and_client_certificates(secure: Registry, certificates: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"its certificate is not trusted"):
        reader(secure).open(tags_key(NAME))
    ours = {
        "ca_file": certificates / "ca.crt",
        "client_cert": certificates / "client.cert",
        "client_key": certificates / "client.key",
    }
    assert read(reader(secure, **ours), tags_key(NAME))
    folder = tmp_path / "certs.d" / secure.host
    folder.mkdir(parents=True)
    for name in ("ca.crt", "client.cert", "client.key"):
        (folder / name).write_bytes((certificates / name).read_bytes())
    assert read(reader(secure, certificate_folders=(tmp_path / "none", tmp_path / "certs.d")), tags_key(NAME))
    (folder / "client.key").write_text("nonsense")
    with pytest.raises(TargetError, match=r"client.cert: cannot be used as a certificate"):
        reader(secure, certificate_folders=(tmp_path / "certs.d",)).open(tags_key(NAME))


def test_https_never_becomes_http(tree: Path, secure: Registry, certificates: Path) -> None:
    trusted = {"ca_file": certificates / "ca.crt", "client_cert": certificates / "client.cert"}
    trusted["client_key"] = certificates / "client.key"
    with running(Registry(root=tree)) as plain:
        secure.elsewhere = plain.url
        with pytest.raises(TargetError, match=r"leads from https to http://127"):
            reader(secure, **trusted).open(some_blob(tree))
        assert plain.asked == []
        secure.elsewhere, secure.scheme = None, "http"  # the realm that it names
        with pytest.raises(TargetError, match=r"names a token server without https"):
            HTTPTarget(f"https://{secure.host}", options(**trusted)).open(some_blob(tree))
    with running(Registry(root=tree)) as plain, pytest.raises(TargetError, match=r"does not speak https"):
        HTTPTarget(f"https://{plain.host}", options()).open(tags_key(NAME))


def test_a_proxy_is_used_where_there_is_one(tree: Path) -> None:
    with running(Registry(root=tree)) as registry, running(Registry(root=tree)) as proxy:
        proxy.prefix = f"http://{registry.host}/"
        proxies = {"http": f"http://{USER}:{PASSWORD}@{proxy.host}"}
        assert read(reader(registry, proxies=proxies), tags_key(NAME))
        assert len(proxy.asked) == 1
        assert registry.asked == []
        assert read(reader(registry, proxies=proxies | {"no": "127.0.0.1"}), tags_key(NAME))
        assert len(registry.asked) == 1
    with pytest.raises(TargetError, match=r"cannot be reached, through the proxy \(Connection refused\)$"):
        reader(registry, proxies=proxies).open(tags_key(NAME))


@pytest.mark.parametrize("proxy", [f"http://{USER}:{PASSWORD}@proxy.test:99999", f"{USER}:{PASSWORD}@proxy.test:3128"])
def test_a_proxy_without_an_address_is_not_quoted(proxy: str) -> None:
    with pytest.raises(TargetError, match=r"the proxy for http has no address.*correct http_proxy") as caught:
        HTTPTarget("http://registry.test", options(proxies={"http": proxy})).open(tags_key(NAME))
    assert PASSWORD not in "".join(format_exception(caught.value))


def test_urls_open_readers(tree: Path) -> None:
    assert isinstance(open_readable("https://registry.test/mirror/", tree), HTTPTarget)
    assert open_readable("https://registry.test/mirror/", tree).url == "https://registry.test/mirror"
    assert isinstance(open_readable("public", tree), DirectoryTarget)
    for url, fault in {
        "https://user:S3CR3T@registry.test": "may hold no user",
        "https://": "is no base URL",
        "https://registry.test:x": "is no base URL",
        "https://registry.test/?q": "is no base URL",
        "https://registry.test/a/../b": "is no base URL",
        "https://registry.test/v2/app": "give the part before /v2",
    }.items():
        with pytest.raises(TargetURLError, match=fault) as caught:
            open_readable(url, tree)
        assert "S3CR3T" not in str(caught.value)
