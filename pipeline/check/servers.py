"""What kind of server answers, as far as its headers tell. A guess: it only chooses the advice."""

import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from .answers import Answer


class ServerKind(Enum):
    """The values are for people."""

    SERVE = "deltapress serve"
    CLOUDFRONT = "CloudFront"
    CLOUDFLARE = "Cloudflare"
    GITHUB_PAGES = "GitHub Pages"
    S3 = "an S3 bucket"
    NGINX = "nginx"
    APACHE = "Apache"
    CADDY = "Caddy"
    PYTHON = "python http.server"
    OTHER = "another server"


def _named(pattern: str) -> Callable[[Answer], bool]:
    expression = re.compile(pattern, re.IGNORECASE)
    return lambda answer: expression.search(answer.header("server") or "") is not None


def _has(prefix: str) -> Callable[[Answer], bool]:
    return lambda answer: any(name.startswith(prefix) for name, _ in answer.headers)


# what is in front comes first: it decides what clients get
_SIGNS: Final[tuple[tuple[ServerKind, Callable[[Answer], bool]], ...]] = (
    (ServerKind.CLOUDFRONT, _has("x-amz-cf-")),
    (ServerKind.CLOUDFLARE, _has("cf-ray")),
    (ServerKind.CLOUDFLARE, _named("cloudflare")),
    (ServerKind.GITHUB_PAGES, _named(r"github\.com")),
    (ServerKind.SERVE, _named("werkzeug")),
    (ServerKind.NGINX, _named("nginx|openresty")),
    (ServerKind.APACHE, _named("apache")),
    (ServerKind.CADDY, _named("caddy")),
    (ServerKind.S3, _named("amazons3|seaweedfs|minio|ceph")),
    (ServerKind.S3, _has("x-amz-")),
    (ServerKind.PYTHON, _named("simplehttp")),
)


def recognised(answers: Iterable[Answer]) -> ServerKind:
    """The kind of the server that gave most of what came: the first sign that any answer shows."""
    known = list(answers)
    return next((kind for kind, shows in _SIGNS if any(map(shows, known))), ServerKind.OTHER)
