"""Small objects that are sent without the SDK: the same objects, and whatever goes wrong is the SDK's again."""

import http.server
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.config import Config

from pipeline.keys import IMMUTABLE, OCTET_STREAM, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.targets.base import LostUpdateError, read_bytes
from pipeline.targets.s3 import quick
from pipeline.targets.s3.options import MIN_PART
from pipeline.targets.s3.target import S3Target

from ..conftest import require_tool
from ..interop.s3_servers import Storage
from .faulty_proxy import Fault, FaultyProxy, faulty_proxy
from .test_contract import put

DATA = b"small"
BLOB = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=Digest.of(DATA))
ODD = "odd name+(1)&2=\u00e9~"


@pytest.fixture(params=["moto", pytest.param("seaweedfs", marks=pytest.mark.interop)])
def storage(request: pytest.FixtureRequest) -> Storage:
    storage: Storage = request.getfixturevalue(request.param)
    return storage


@pytest.fixture
def proxy(storage: Storage) -> Iterator[FaultyProxy]:
    with faulty_proxy(storage.port) as running:
        yield running


def opened(storage: Storage, proxy: FaultyProxy, prefix: str, **options: Any) -> S3Target:
    """A target that has sent an object, so that others can be sent in the same way."""
    chosen = storage.options(endpoint=proxy.endpoint, multipart_threshold=MIN_PART, **options)
    target = S3Target(storage.bucket, prefix, chosen)
    put(target, "first", DATA, headers=BLOB)
    proxy.requests.clear()
    return target


def by_the_sdk(proxy: FaultyProxy) -> list[bool]:
    """Of each write since then, whether it was the SDK's."""
    return [request.attempt is not None for request in proxy.requests if request.method == "PUT"]


@pytest.mark.parametrize("options", [{}, {"storage_class": "REDUCED_REDUNDANCY", "cache_control": "s-maxage=60"}])
def test_such_an_object_is_as_the_sdk_makes_it(
    storage: Storage, proxy: FaultyProxy, prefix: str, options: dict[str, Any]
) -> None:
    target = opened(storage, proxy, prefix, **options)
    for key in ("v2/a/blobs/sha256:0", ODD):
        put(target, key, DATA, headers=BLOB)
    assert by_the_sdk(proxy) == [False, False]
    assert all(request.has_checksum for request in proxy.requests)
    first, *others = [_kept(storage, prefix + key) for key in ("first", "v2/a/blobs/sha256:0", ODD)]
    assert others == [first, first]
    assert read_bytes(target, Key(ODD), limit=len(DATA)) == DATA


def _kept(storage: Storage, name: str) -> list[Any]:
    stored = storage.client().head_object(Bucket=storage.bucket, Key=name)
    names = ("ContentLength", "ContentType", "CacheControl", "Metadata", "StorageClass", "ContentEncoding")
    return [stored.get(name) for name in names]


def test_no_checksum_is_sent_to_who_wants_none(
    storage: Storage, proxy: FaultyProxy, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    put(opened(storage, proxy, prefix), "a", DATA)
    assert [(request.attempt, request.has_checksum) for request in proxy.requests] == [(None, False)]


def test_large_objects_are_the_sdks(storage: Storage, proxy: FaultyProxy, prefix: str) -> None:
    target = opened(storage, proxy, prefix)
    put(target, "a", bytes(quick.MAX_SIZE))
    put(target, "b", bytes(quick.MAX_SIZE + 1))
    assert by_the_sdk(proxy) == [False, True]


@pytest.mark.parametrize("fault", ["busy", "expired", "drop", "lost", "hang", "unknown", "echo"])
def test_what_goes_wrong_is_done_again_by_the_sdk_and_so_is_the_rest(
    storage: Storage, proxy: FaultyProxy, prefix: str, fault: Fault
) -> None:
    target = opened(storage, proxy, prefix, read_timeout=1)
    proxy.fault = lambda request: fault if request.attempt is None else None
    put(target, "a", DATA)
    put(target, "b", DATA)
    assert by_the_sdk(proxy) == [False, True, True]
    assert read_bytes(target, Key("a"), limit=len(DATA)) == DATA


@pytest.mark.interop
def test_an_unmet_condition_ends_nothing(seaweedfs: Storage, prefix: str) -> None:
    with faulty_proxy(seaweedfs.port) as proxy:
        target = opened(seaweedfs, proxy, prefix)
        put(target, "a", DATA)
        seaweedfs.client().put_object(Bucket=seaweedfs.bucket, Key=f"{prefix}a", Body=b"somebody else's")
        with pytest.raises(LostUpdateError):
            put(target, "a", b"ours")
        put(target, "b", DATA)
        assert by_the_sdk(proxy) == [False, False, False]


def test_where_a_proxy_lies_between_all_is_the_sdks(
    moto: Storage, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_proxy(moto.port) as proxy:
        target = S3Target(moto.bucket, prefix, moto.options(endpoint=proxy.endpoint))
        # the SDK has looked already, or it would go there
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "")
        put(target, "a", DATA)
        put(target, "b", DATA)
        assert proxy.requests
        assert all(by_the_sdk(proxy))


class _Storing(http.server.BaseHTTPRequestHandler):
    """Says of every object that it is stored."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def encrypted_server(folder: Path, host: str) -> Iterator[int]:
    """The port of a server on this machine with a certificate for `host`, which is its own authority: `folder`/pem."""
    command = [require_tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=x"]
    command += ["-addext", f"subjectAltName=DNS:{host}", "-keyout", "key", "-out", "pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "pem", folder / "key")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Storing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("host", "variable", "is_trusted"),
    [
        ("localhost", "AWS_CA_BUNDLE", True),
        ("localhost", "REQUESTS_CA_BUNDLE", True),
        ("localhost", None, False),
        ("elsewhere", "AWS_CA_BUNDLE", False),
    ],
)
def test_a_server_is_trusted_as_by_the_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, variable: str | None, is_trusted: bool
) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "pem"))
    with encrypted_server(tmp_path, host) as port:
        puts = quick.QuickPuts(botocore.session.Session(), Config(connect_timeout=5, read_timeout=5))
        url = f"https://localhost:{port}/bucket/first"
        signed = "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/s3/aws4_request, SignedHeaders="
        puts.watch(AWSPreparedRequest("PUT", url, HTTPHeaders.from_dict({"Authorization": signed}), b"", False))
        puts.learn("first")
        answer = puts.put("second", DATA, {}, is_summed=True)
        assert (answer is not None) == is_trusted
