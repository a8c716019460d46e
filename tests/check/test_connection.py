"""The connection: certificates, schemes, redirects, and what a hostile host cannot do."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pipeline.check import Address, Check, check, survey
from pipeline.check import connection as bounds
from pipeline.check.address import AddressError
from pipeline.check.answers import Answer
from pipeline.check.connection import Host, HostError
from pipeline.check.rules import Rule
from pipeline.check.survey import NoRepositoryError
from pipeline.check.verdict import Verdict
from pipeline.errors import ExitCode
from pipeline.limits import Limits
from pipeline.progress import Silent

from . import misbehaving as bad
from .certificates import self_signed
from .misbehaving import serving
from .trees import INDEXED, SINGLE


def look(url: str, *names: str) -> Check:
    return check(Address.parse(url), names, limits=Limits(), jobs=1, progress=Silent(), is_applying=False)


@contextmanager
def answering(raw: bytes, *, then: bytes = b"") -> Iterator[str]:
    """A host that gives this answer to each connection, whatever is asked; `then` comes again and again, until the
    client leaves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        is_over = threading.Event()

        def answer() -> None:
            while not is_over.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection, suppress(ConnectionError):  # who has read enough leaves
                    connection.recv(65_536)
                    connection.sendall(raw)
                    while then:
                        time.sleep(0.01)
                        connection.sendall(then)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            is_over.set()
            thread.join()


# --- addresses


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://registry.example.org", "https://registry.example.org"),
        ("https://registry.example.org/", "https://registry.example.org"),
        ("HTTP://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_address_is_a_scheme_a_name_and_a_port(text: str, shown: str) -> None:
    assert str(Address.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("registry.example.org", "is no address of a host"),
        ("oci://registry.example.org", "is no address of a host"),
        ("https://registry.example.org:port", "is no address of a host"),
        ("https://exa mple.org", "is no address of a host"),
        ("https://registry.example.org/v2/", "at the root of a host"),
        ("https://registry.example.org?a=b", "at the root of a host"),
        ("https://user:secret@registry.example.org", "must not hold credentials"),
    ],
)
def test_anything_else_is_none(text: str, problem: str) -> None:
    with pytest.raises(AddressError, match=problem) as raised:
        Address.parse(text)
    assert "secret" not in str(raised.value)
    assert raised.value.exit_code is ExitCode.BAD_CONFIGURATION


# --- TLS


def test_a_certificate_that_nobody_knows_fails_every_client_and_the_rest_is_looked_at(
    tree: Path, tmp_path: Path
) -> None:
    _, context = self_signed(tmp_path)
    with serving(tree, bad.refused(403, lambda request: request.path == "/v2/"), tls=context) as url:
        found = look(url)
    assert found.broken.keys() == {Rule.CERTIFICATE, Rule.PING}
    assert {client.verdict for client in found.clients} == {Verdict.FAIL}
    [seen] = found.broken[Rule.CERTIFICATE]
    assert "self-signed" in seen.detail or "self signed" in seen.detail


def test_a_certificate_for_another_name_fails(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = self_signed(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tree, tls=context) as url:
        [seen] = look(url).broken[Rule.CERTIFICATE]
    assert "127.0.0.1" in seen.detail


def test_a_certificate_that_has_expired_fails(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = self_signed(tmp_path, is_expired=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tree, tls=context) as url:
        [seen] = look(url).broken[Rule.CERTIFICATE]
    assert "expired" in seen.detail


def test_an_authority_of_ones_own_is_trusted_where_it_is_named(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tree, tls=context) as url:
        assert look(url).broken == {}


def test_a_redirect_to_plain_http_is_a_warning(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, context = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(tree) as plain, serving(tree, bad.redirected(f"{plain}{{path}}", bad.is_blob), tls=context) as url:
        found = look(url)
    assert found.broken.keys() == {Rule.REDIRECT_TO_HTTP}
    assert {client.verdict for client in found.clients} == {Verdict.WARN}


def test_redirects_to_another_place_are_followed(tree: Path) -> None:
    with serving(tree) as there, serving(tree, bad.redirected(f"{there}{{path}}", bad.is_blob)) as url:
        assert look(url).broken == {}


def test_plain_http_needs_the_consent_of_each_client(tree: Path) -> None:
    with serving(tree) as url:
        found = look(url.replace("127.0.0.1", "0.0.0.0"))
    assert found.broken.keys() == {Rule.PLAIN_HTTP}
    assert {client.verdict for client in found.clients} == {Verdict.WARN}
    assert found.exit_code is ExitCode.SUCCESS


# --- what ends a check


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(HostError, match="cannot be reached") as raised:
        look(f"http://127.0.0.1:{port}")
    assert raised.value.exit_code is ExitCode.TARGET_FAILED


def test_https_where_plain_http_is_spoken(tree: Path) -> None:
    with serving(tree) as url, pytest.raises(HostError, match="does it speak plain http"):
        look(url.replace("http://", "https://"))


def test_credentials_are_wanted(tree: Path) -> None:
    with serving(tree, bad.refused(401, lambda request: True)) as url, pytest.raises(HostError, match="credentials"):
        look(url)


def test_a_repository_must_be_named_where_none_is_listed(tree: Path) -> None:
    defect = bad.refused(404, lambda request: request.path == "/v2/_catalog")
    with serving(tree, defect) as url:
        with pytest.raises(NoRepositoryError, match="--repository") as raised:
            look(url)
        found = look(url, SINGLE)
    assert raised.value.exit_code is ExitCode.BAD_CONFIGURATION
    assert found.broken.keys() == {Rule.CATALOG}
    assert {client.client.name for client in found.clients if client.warns} == {"crane", "oras"}
    assert found.repositories == (SINGLE,)


# --- bounds


def test_requests_are_bounded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_REQUESTS", 100)
    with serving(tree) as url:
        found = look(url)
    assert found.requests == 100
    assert any("100 requests were made" in text for text in found.left_out)


def test_documents_are_bounded(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_BYTES", 20_000)
    with serving(tree) as url:
        found = look(url)
    assert any("20,000 bytes" in text for text in found.left_out)


def test_manifests_are_bounded_and_it_is_said(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MAX_DOCUMENTS", 2)
    with serving(tree) as url:
        found = look(url, INDEXED)
    # two indexes of one and two platforms, each tag of which leads to one
    assert f"{INDEXED}: 2 manifests were looked at; 1 more, at least, were not" in found.left_out


def test_an_endless_document_is_not_read_to_its_end() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"{" * 10_000_000) as url:
        answer = Host(Address.parse(url)).get("/v2/_catalog", limit=1000)
    assert (len(answer.body), answer.is_whole) == (1000, False)


@pytest.mark.parametrize(
    ("raw", "then", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n", b"{", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nName: ", b"a", 0),
        (b"HTTP/1.1 200 ", b"O", 0),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0),
    ],
    ids=["body", "chunks", "header", "first line", "answers before the answer"],
)
def test_an_answer_that_drips_is_given_up(
    raw: bytes, then: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then is no time-out of the socket; without a deadline this would not end."""
    monkeypatch.setattr(bounds, "_DEADLINE", 0.2)
    with answering(raw, then=then) as url:
        answer = Host(Address.parse(url)).get("/v2/_catalog")
    assert (answer.status, answer.is_whole) == (status, False)
    assert answer.problem is not None
    assert "takes more than" in answer.problem


@pytest.mark.parametrize(
    "raw", [b"", b"\0\xff\xfe", b"HTTP/1.1 99999 \r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500]
)
def test_what_is_no_answer_is_one_without_a_status(raw: bytes) -> None:
    with answering(raw) as url:
        answer = Host(Address.parse(url)).get("/v2/")
    assert answer.status == 0
    assert answer.problem is not None


@pytest.mark.parametrize(
    "location", [b"file:///etc/passwd", b"gopher://127.0.0.1/", b"http://[", b"http://exa mple/\xff"]
)
def test_a_redirect_to_what_is_no_place_is_none(location: bytes) -> None:
    with answering(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n") as url:
        answer = Host(Address.parse(url)).get("/v2/")
    assert answer.status == 0


def test_an_answer_is_asked_for_once(tree: Path) -> None:
    with serving(tree) as url:
        host = Host(Address.parse(url))
        assert host.get("/v2/_catalog") is host.get("/v2/_catalog")
        assert host.get("/v2/_catalog") is not host.get("/v2/_catalog", Accept_Encoding="gzip")
    assert host.requests == 2


def test_headers_are_read_as_they_may_be_written() -> None:
    answer = Answer(
        method="GET",
        path="/",
        status=200,
        headers=(
            ("content-type", "Application/JSON ; charset=utf-8"),
            ("content-length", "12a"),
            ("cache-control", 'Max-Age="60"'),
            ("cache-control", "no-transform,"),
            ("content-encoding", "identity"),
        ),
    )
    assert answer.media_type == "application/json"
    assert answer.length is None
    assert answer.cache_rules == {"max-age": "60", "no-transform": ""}
    assert answer.encoding is None
