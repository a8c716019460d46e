"""Lines of logs, as servers and CDNs write them; all of them are made up."""

import io
from datetime import UTC, datetime

import pytest

from pipeline.demand.access_log import ManifestRequest, manifest_requests

DIGEST = f"sha256:{'ab' * 32}"
NOON = datetime(2026, 1, 5, 12, 0, 1, tzinfo=UTC)
NGINX = (
    f'192.0.2.7 - - [05/Jan/2026:12:00:01 +0000] "GET /v2/team/app/manifests/{DIGEST} HTTP/1.1" 200 1432 '
    '"-" "containers/5.29 (github.com/containers/image)"'
)
APACHE = '2001:db8::1 - frank [05/Jan/2026:13:00:01 +0100] "GET /v2/team/app/manifests/latest HTTP/1.1" 304 - "-" "d"'
S3 = (
    "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be images [05/Jan/2026:12:00:01 +0000] 192.0.2.3 "
    f"- 3E57427F3EXAMPLE REST.GET.OBJECT public/v2/team/app/manifests/sha256%253A{'ab' * 32} "
    f'"GET /images/public/v2/team/app/manifests/sha256%3A{"ab" * 32} HTTP/1.1" 200 - 1432 1432 12 10 "-" "podman/5" - '
    "host SigV4 - - images.s3.amazonaws.com TLSv1.3 - -"
)
CLOUDFRONT = (
    "#Version: 1.0\n"
    "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer)\n"
    f"2026-01-05\t12:00:01\tFRA2-C1\t1900\t192.0.2.9\tGET\td111.cloudfront.net\t/v2/team/app/manifests/{DIGEST}\t200\t-"
)


def requests(*lines: str) -> list[ManifestRequest]:
    return list(manifest_requests(io.BytesIO("\n".join((*lines, "")).encode())))


@pytest.mark.parametrize("line", [NGINX, S3, CLOUDFRONT], ids=["nginx", "S3", "CloudFront"])
def test_a_get_of_a_digest_counts(line: str) -> None:
    (found,) = requests(line)
    assert found.time == NOON
    assert list(found.names()) == [("team/app", DIGEST)]


def test_a_get_of_a_tag_counts_and_other_zones_are_the_same_time() -> None:
    (found,) = requests(APACHE)
    assert found.time == NOON
    assert list(found.names()) == [("team/app", "latest")]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("GET", "HEAD"),
        (" 200 ", " 404 "),
        (" 200 ", " 301 "),
        ("/manifests/", "/blobs/"),
        ("05/Jan", "35/Jan"),
        ("05/Jan", "05/Foo"),
        ("/v2/", "/v3/"),
    ],
)
def test_nothing_else_counts(old: str, new: str) -> None:
    assert requests(NGINX.replace(old, new)) == []
    assert len(requests(NGINX.replace(old, new), NGINX)) == 1


def test_cloudfront_lines_of_other_methods_and_answers_do_not_count() -> None:
    for old, new in (("\tGET\t", "\tHEAD\t"), ("\t200\t", "\t403\t"), ("12:00:01", "noon")):
        assert requests(CLOUDFRONT.replace(old, new)) == []


def test_a_request_that_only_talks_like_a_line_is_not_one() -> None:
    """nginx and Apache write a quote of the client's with a backslash or as \\x22."""
    for quote in ('\\"', "\\x22"):
        agent = NGINX[NGINX.index("[") : NGINX.index(' "-"')].replace('"', quote)
        line = f'192.0.2.7 - - [05/Jan/2026:12:00:02 +0000] "GET / HTTP/1.1" 200 3 "-" "{agent}"'
        assert requests(line) == []


def test_a_prefix_may_have_the_same_word() -> None:
    (found,) = requests(NGINX.replace("/v2/team", "/old/v2/team/v2/team"))
    assert [name for name, _ in found.names()] == ["team/v2/team/app", "team/app"]


def test_long_lines_and_noise_are_passed_over() -> None:
    noise = bytes(range(256)).decode("latin-1").replace("\n", "")
    assert len(requests("x" * 300_000 + NGINX, noise, NGINX, "manifests", '[] "GET')) == 1
