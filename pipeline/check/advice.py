"""What to change where a host breaks a rule, by the kind of the server: one table."""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from .servers import ServerKind

_SERVERS: Final = "_deltapress/servers/"


class Remedy(Enum):
    """What has to be changed; rules that are mended alike share it."""

    CONFIGURATION = auto()
    HEAD = auto()
    DIGEST_HEADER = auto()
    MISSING = auto()
    EMPTY_REFERRERS = auto()
    RANGES = auto()
    COMPRESSION = auto()
    CACHING = auto()
    NAMES = auto()
    REDIRECTS = auto()
    CERTIFICATE = auto()
    HTTPS = auto()
    HOST = auto()
    PUBLISH = auto()
    PRIVATE = auto()


_USE_NGINX: Final = (
    f"include {_SERVERS}nginx.conf (nginx-s3.conf before a bucket) in a server block of its own, without other "
    "locations "
    "that take /v2/, and with `root` at the published directory"
)
_USE_APACHE: Final = (
    f"include {_SERVERS}apache.conf in a virtual host of its own (a2enmod cern_meta headers); where only .htaccess is "
    "read, the host must have mod_headers and `AllowOverride FileInfo`"
)
_USE_CADDY: Final = f"import {_SERVERS}Caddyfile in a site of its own, behind its `root`"
_METADATA: Final = (
    "the bucket must keep each object's own metadata: let `deltapress publish` write into it (a copy by another tool "
    "loses Content-Type and Cache-Control), or `publish --repair`"
)
_ELSEWHERE: Final = (
    "this server cannot set the type of a single file: serve the directory with nginx, Apache or Caddy and the "
    f"configuration that lies in {_SERVERS}, or try it with `deltapress serve`"
)
_ANY: Final = (
    f"{_SERVERS} holds configurations for nginx, Apache and Caddy, and its README says how; take them as an example"
)

_LINKS: Final = (
    "a tag's digest is learnt from a symbolic link: publish with this version, copy the tree with its links (`rsync "
    f"-a` does), and take the configuration of the same tree in {_SERVERS}. A wrong header is a leftover of another "
    "configuration: remove it"
)

# the kind OTHER is for all that have no entry of their own
_ADVICE: Final[Mapping[Remedy, Mapping[ServerKind, str]]] = {
    Remedy.CONFIGURATION: {
        ServerKind.NGINX: _USE_NGINX,
        ServerKind.APACHE: _USE_APACHE,
        ServerKind.CADDY: _USE_CADDY,
        ServerKind.S3: _METADATA,
        ServerKind.CLOUDFRONT: (
            f"CloudFront passes on what the origin says: {_METADATA}; with an origin that is no bucket, use its "
            f"configuration in {_SERVERS}"
        ),
        ServerKind.CLOUDFLARE: (
            "let R2 serve the bucket, to which `deltapress publish` gives each object's metadata; Pages cannot set the "
            "type of a single file (_headers takes 100 rules, and reads `:` as a placeholder)"
        ),
        ServerKind.GITHUB_PAGES: (
            "GitHub Pages cannot set types: it serves flatpak, and no other client; put a server or a bucket in "
            "its place"
        ),
        ServerKind.PYTHON: _ELSEWHERE,
        ServerKind.SERVE: "please report it: `deltapress serve` should do this by itself",
        ServerKind.OTHER: _ANY,
    },
    Remedy.HEAD: {
        ServerKind.NGINX: f"no `limit_except GET` and no gzip on /v2/; {_USE_NGINX}",
        ServerKind.APACHE: f"no <Limit> that leaves out HEAD, and `SetEnv no-gzip 1`; {_USE_APACHE}",
        ServerKind.CLOUDFRONT: (
            "allow the methods GET and HEAD in the behaviour, and switch its compression off for /v2/*"
        ),
        ServerKind.OTHER: (
            "HEAD must give the status and the headers of GET, Content-Length among them: allow the method, switch "
            "compression off for /v2/, and send nothing in chunks"
        ),
    },
    Remedy.DIGEST_HEADER: {
        ServerKind.NGINX: _LINKS,
        ServerKind.CADDY: _LINKS,
        ServerKind.APACHE: (
            "Apache cannot switch a tag and its digest together: ask for the digest first (`crane digest NAME:TAG`) "
            "and name NAME@DIGEST. A wrong header is a leftover of another configuration: remove it"
        ),
        ServerKind.S3: (
            f"a bucket has no such header: put nginx with {_SERVERS}nginx-s3.conf in front, or name NAME@DIGEST"
        ),
        ServerKind.CLOUDFRONT: (
            "let a response function copy x-amz-meta-docker-content-digest into Docker-Content-Digest, or name "
            "NAME@DIGEST"
        ),
        ServerKind.CLOUDFLARE: (
            "let a Worker or a transform rule copy x-amz-meta-docker-content-digest into Docker-Content-Digest, "
            "or name "
            "NAME@DIGEST"
        ),
        ServerKind.OTHER: (
            "a missing header is harmless for pulls: ask for the digest first (`crane digest NAME:TAG`) and name "
            "NAME@DIGEST. A wrong one must go: it is from a cache, or fixed in the configuration"
        ),
    },
    Remedy.MISSING: {
        ServerKind.NGINX: f"`try_files … =404`, without a page at the end; {_USE_NGINX}",
        ServerKind.APACHE: f"no ErrorDocument that leads to a page, no FallbackResource; {_USE_APACHE}",
        ServerKind.CADDY: f"no `try_files … /index.html`; {_USE_CADDY}",
        ServerKind.S3: (
            "a bucket says 403 of a missing key to who may not list it: grant s3:ListBucket to everybody, or put nginx "
            f"with {_SERVERS}nginx-s3.conf in front, which makes 404 of it"
        ),
        ServerKind.CLOUDFRONT: (
            "a bucket says 403 of a missing key to who may not list it: grant s3:ListBucket to the distribution; "
            "no custom "
            "error response that gives a page with 200"
        ),
        ServerKind.CLOUDFLARE: (
            "switch off `single-page application` (not_found_handling); let a Worker make 404 of 403"
        ),
        ServerKind.OTHER: "what is not there must be 404, with a short JSON body or none; no page of a web application",
    },
    Remedy.EMPTY_REFERRERS: {
        ServerKind.NGINX: _USE_NGINX,
        ServerKind.CADDY: _USE_CADDY,
        ServerKind.S3: f"a bucket cannot do it; nginx with {_SERVERS}nginx-s3.conf in front does. It may stay so",
        ServerKind.OTHER: f"it may stay so; nginx and Caddy with the configuration in {_SERVERS} do it",
    },
    Remedy.RANGES: {
        ServerKind.NGINX: "no `max_ranges 0`, no proxy_force_ranges off, no gzip on blobs",
        ServerKind.APACHE: "no `MaxRanges none`, and `SetEnv no-gzip 1` for /v2/",
        ServerKind.PYTHON: (
            "http.server knows no ranges: serve the directory with `deltapress serve`, nginx, Apache or Caddy"
        ),
        ServerKind.OTHER: (
            "let the server answer Range on blobs; compression and functions that rewrite bodies switch it off"
        ),
    },
    Remedy.COMPRESSION: {
        ServerKind.NGINX: f"`gzip off` for /v2/ (also brotli, gunzip, gzip_static); {_USE_NGINX}",
        ServerKind.APACHE: f"`SetEnv no-gzip 1`, `RemoveEncoding .gz .tgz .Z .bz2 .xz .br .zst`; {_USE_APACHE}",
        ServerKind.CADDY: f"`encode` must not match /v2/*; {_USE_CADDY}",
        ServerKind.S3: f"no Content-Encoding in an object's metadata: {_METADATA}",
        ServerKind.CLOUDFRONT: "switch off `Compress objects automatically` in the behaviour for /v2/*",
        ServerKind.CLOUDFLARE: (
            "a compression rule that switches it off for /v2/*; `no-transform` in Cache-Control does it too"
        ),
        ServerKind.OTHER: (
            "switch compression off for /v2/, in the server and in every proxy; blobs are compressed already"
        ),
    },
    Remedy.CACHING: {
        ServerKind.NGINX: f"no `expires` on /v2/; {_USE_NGINX}; a proxy_cache must keep to Cache-Control",
        ServerKind.APACHE: f"no ExpiresActive on /v2/; {_USE_APACHE}",
        ServerKind.CADDY: _USE_CADDY,
        ServerKind.S3: _METADATA,
        ServerKind.CLOUDFRONT: (
            "take a cache policy with a minimum TTL of 0, which keeps to the origin's Cache-Control; after a "
            "change of the "
            "configuration invalidate /v2/* and /index/*"
        ),
        ServerKind.CLOUDFLARE: (
            "no cache rule with an Edge TTL for /v2/*: `use cache-control header`; Browser TTL `respect existing "
            "headers`"
        ),
        ServerKind.PYTHON: _ELSEWHERE,
        ServerKind.GITHUB_PAGES: "GitHub Pages keeps everything for 10 minutes, and cannot be told otherwise",
        ServerKind.OTHER: (
            "send `Cache-Control: no-cache, no-transform` with tags, referrers and listings, and `public, "
            "max-age=31536000, immutable, no-transform` with what is named for its digest; a CDN must keep to it"
        ),
    },
    Remedy.NAMES: {
        ServerKind.OTHER: (
            "paths must come through as they are, with `:`, and with upper and lower case told apart: look at proxies, "
            "filters and the file system"
        ),
    },
    Remedy.REDIRECTS: {
        ServerKind.OTHER: "a redirect may lead to another host, over https, and must end; better none at all for /v2/",
    },
    Remedy.CERTIFICATE: {
        ServerKind.OTHER: (
            "send the whole chain (fullchain.pem), for this name, and renew it in time; with an authority of "
            "your own, give "
            "its certificate to each client, and to this check by SSL_CERT_FILE"
        ),
    },
    Remedy.HTTPS: {
        ServerKind.CADDY: "name the site without http://: Caddy then gets a certificate by itself",
        ServerKind.OTHER: "serve it by https, or tell each client",
    },
    Remedy.HOST: {
        ServerKind.OTHER: (
            "look into the server's error log; a file that only its owner can read, or a time limit, does this"
        ),
    },
    Remedy.PRIVATE: {
        ServerKind.NGINX: _USE_NGINX,
        ServerKind.APACHE: _USE_APACHE,
        ServerKind.CADDY: _USE_CADDY,
        ServerKind.S3: "let the public read v2/*, index/*, *.html, *.flatpakrepo and *.flatpakref only",
        ServerKind.OTHER: "answer 404 below /_deltapress/, or leave that folder out of what is copied to this host",
    },
    Remedy.PUBLISH: {
        ServerKind.OTHER: (
            "`deltapress verify` tells whether the published tree is whole; if so, the host serves something "
            "else: an old "
            "copy, a part of it, or nothing to who may not read a file; else `deltapress publish --repair`"
        ),
    },
}


def advice(remedy: Remedy, kind: ServerKind) -> str:
    """What to change on a server of this kind."""
    by_kind = _ADVICE[remedy]
    return by_kind.get(kind, by_kind[ServerKind.OTHER])
