"""From the URL in a configuration to a target: which kinds there are stands here and nowhere else."""

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from ..errors import DeltapressError, ExitCode
from .base import ReadableTarget, Target
from .checks import is_key
from .directory import DirectoryTarget
from .http.options import HTTPOptions
from .s3.options import S3Options

S3_SCHEME: Final = "s3://"
# S3 user guide, "General purpose bucket naming rules"; some servers take upper-case letters and underscores too.
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
# `s3:/bucket` is no folder called "s3:", but a typing error
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_HTTP: Final = re.compile("https?://", re.IGNORECASE)
_NO_CREDENTIALS: Final = "may hold no user and no password; credentials come from the AWS_… variables or a profile"


class TargetURLError(DeltapressError):
    """A URL that names no target."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        super().__init__(f"target {url!r}: {problem}")


def open_target(url: str, base: Path, *, s3: S3Options | None = None) -> Target:
    """The target of `url`: a path, relative to the folder `base`, a `file:` URL (RFC 8089), or `s3://bucket/prefix`.

    `s3` says how a bucket is reached. Touches nothing yet.

    Raises:
        TargetURLError: of any other kind, or incomplete.
        TargetError: the SDK does not accept the options, such as a profile that there is not.
    """
    if url.startswith(S3_SCHEME):
        bucket, prefix = _bucket_of(url)
        from .s3.target import S3Target  # here, because boto3 takes a third of a second, and directories do without

        return S3Target(bucket, prefix, s3 or S3Options())
    scheme, colon, rest = url.partition("://")
    if colon and "@" in rest.partition("/")[0]:
        raise TargetURLError(f"{scheme}://…", _NO_CREDENTIALS)  # not repeated
    if url.startswith("file:"):
        return DirectoryTarget(_path_of(url))
    if _SCHEME.match(url):
        raise TargetURLError(url, "is of an unknown kind; give the path of a folder, file:///… or s3://bucket/prefix")
    if not url or "\0" in url:
        raise TargetURLError(url, "is not a path; give the path of a folder, file:///… or s3://bucket/prefix")
    return DirectoryTarget(base / url)


def open_readable(
    url: str, base: Path, *, s3: S3Options | None = None, http: HTTPOptions | None = None
) -> ReadableTarget:
    """The target of `url`, to read it: also `http(s)://HOST[:PORT][/PATH]`, below which a registry or a tree has `v2/`.

    Raises:
        TargetURLError: of any other kind, or incomplete.
        TargetError: the SDK does not accept the options.
    """
    if _HTTP.match(url) is None:
        return open_target(url, base, s3=s3)
    check_http_url(url)
    from .http.target import (
        HTTPTarget,
    )  # here, because urllib3 and TLS take a while to load, and directories do without

    return HTTPTarget(url, http)


def check_http_url(url: str) -> None:
    """Raises TargetURLError where it is no base URL of http or https."""
    scheme, _, rest = url.partition("://")
    if "@" in rest.partition("/")[0]:
        raise TargetURLError(f"{scheme}://…", "may hold no user and no password; log in (podman login, docker login)")
    try:
        parts = urlsplit(url)
        is_base = parts.hostname and parts.port != 0 and not parts.query and not parts.fragment
        is_base = is_base and not {".", ".."} & set(parts.path.split("/"))
    except ValueError:  # of a port, or of an address in brackets
        is_base = False
    if not is_base or not url.isprintable() or " " in url:
        raise TargetURLError(url, "is no base URL; write https://HOST, https://HOST:PORT or https://HOST/PATH")
    if re.search("/v2(/|$)", parts.path):
        raise TargetURLError(url, "is the URL of something in a registry; give the part before /v2")


def _bucket_of(url: str) -> tuple[str, str]:
    """The name of the bucket, and the prefix, empty or ending with '/'."""
    bucket, _, path = url.removeprefix(S3_SCHEME).partition("/")
    if "@" in bucket or ":" in bucket:
        raise TargetURLError(f"{S3_SCHEME}…", _NO_CREDENTIALS)  # not repeated
    if not _BUCKET.fullmatch(bucket):
        raise TargetURLError(url, "has no valid bucket name; write s3://bucket or s3://bucket/prefix")
    path = path.removesuffix("/")
    if path and not is_key(path):
        raise TargetURLError(url, "has a prefix that is not names joined by single '/'")
    return bucket, f"{path}/" if path else ""


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in {"", "localhost"} or parts.query or parts.fragment or "\0" in path:
        raise TargetURLError(url, "has more than a path; write file:///path, with %23 for '#' and %3F for '?'")
    if not path.startswith("/"):
        raise TargetURLError(url, "has no absolute path; write file:///path, or a relative path without 'file:'")
    return Path(path)
