"""The configurations of the web servers, rendered into the tree."""

from types import SimpleNamespace
from typing import Final

from ..keys import (
    ATOM,
    FEED_PATTERN,
    FLATPAK_REF,
    FLATPAK_REPO,
    IMMUTABLE,
    MUTABLE,
    NOJEKYLL_KEY,
    PING,
    TYPED,
    Key,
    server_key,
)
from ..oci.media_types import OCI_INDEX
from ..oci.writing import write_index
from .templates import render

_SERVER_FILES: Final = {
    Key(".htaccess"): "servers/htaccess.j2",
    server_key("nginx.conf"): "servers/nginx.conf.j2",
    server_key("apache.conf"): "servers/apache.conf.j2",
    server_key("Caddyfile"): "servers/Caddyfile.j2",
    server_key("README"): "servers/README.j2",
}
_BUCKET_FILES: Final = {server_key("nginx-s3.conf"): "servers/nginx-s3.conf.j2"}


def server_files(*, stores_headers: bool) -> dict[Key, bytes]:
    """What an administrator copies to a web server, and what Apache reads from the tree by itself.

    A bucket, which stores headers, needs none; for it there is one of a server that stands before it.
    """
    variables = {
        "types": [SimpleNamespace(ext=folder, media_type=media_type) for media_type, folder in TYPED.items()],
        "headers": SimpleNamespace(immutable=IMMUTABLE, mutable=MUTABLE, ping=PING),
        "referrers_type": OCI_INDEX,
        "feeds": FEED_PATTERN,
        "feed_type": ATOM,
        "flatpak_files": {"flatpakrepo": FLATPAK_REPO, "flatpakref": FLATPAK_REF},
    }
    templates = _BUCKET_FILES if stores_headers else _SERVER_FILES
    files = {key: render(template, variables).encode() for key, template in templates.items()}
    return files if stores_headers else {**files, NOJEKYLL_KEY: b"", server_key("no-referrers.json"): write_index(())}
