"""From a URL to a target."""

from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.targets.base import Properties, TargetError
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.open import TargetURLError, open_target
from pipeline.targets.s3.options import S3Options
from pipeline.targets.s3.target import S3Target


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("public", "/base/public"),
        ("../www/registry", "/base/../www/registry"),
        ("/srv/www", "/srv/www"),
        ("with space:and colon", "/base/with space:and colon"),
        ("file:///srv/www", "/srv/www"),
        ("file:/srv/www", "/srv/www"),
        ("file://localhost/srv/a%20b%23c", "/srv/a b#c"),
    ],
)
def test_a_path_or_a_file_url_is_a_directory(url: str, path: str) -> None:
    target = open_target(url, Path("/base"))
    assert isinstance(target, DirectoryTarget)
    assert target.url == path


def test_opening_touches_nothing(tmp_path: Path) -> None:
    open_target("public", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\0b",
        "ftp://host/path",
        "s3:/bucket/prefix",
        "http:/host",
        "http://[::1",
        "file:",
        "file:relative",
        "file://host/path",
        "file:///a?b",
        "file:///a#b",
        "file:///%00",
        "s3://",
        "s3://ab",
        "s3://bucket//x",
        "s3://bucket/../x",
        "s3://bucket/a\nb",
        "s3://under_score-/x",
    ],
)
def test_any_other_url_is_a_mistake_in_the_configuration(url: str) -> None:
    with pytest.raises(TargetURLError) as caught:
        open_target(url, Path("/base"))
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket/some/prefix/", "s3://my.bucket/some/prefix"),
    ],
)
def test_an_s3_url_is_a_bucket_with_a_prefix(url: str, shown: str) -> None:
    target = open_target(url, Path("/base"), s3=S3Options(concurrency=3, region="us-east-1"))
    assert isinstance(target, S3Target)
    assert (target.url, target.properties) == (shown, Properties(stores_headers=True, concurrency=3))


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hunter2@bucket/x",
        "s3://hunter2@bucket",
        "s3://bucket:hunter2/x",
        "https://u:hunter2@h/x",
        "file://u:hunter2@h/x",
    ],
)
def test_what_may_be_a_secret_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(TargetURLError) as caught:
        open_target(url, Path("/base"))
    assert "hunter2" not in str(caught.value) + caught.value.url


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (S3Options(profile="nobody"), "no credentials .ProfileNotFound.; set `profile`"),
        (S3Options(endpoint="http://a b"), "the endpoint is not a URL; correct `endpoint` or `region`"),
        (S3Options(region="not a region"), "not a region.*; correct `endpoint` or `region`"),
    ],
)
def test_what_the_sdk_does_not_accept_is_a_clear_error(options: S3Options, problem: str) -> None:
    with pytest.raises(TargetError, match=problem):
        open_target("s3://bucket", Path("/base"), s3=options)
