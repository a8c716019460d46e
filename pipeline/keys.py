"""Keys of the static distribution tree, and the headers that each is served with.

The one table from which the web servers' configurations, the sidecar files, `serve` and a bucket's metadata are made.

Rule 1. A key is relative, `/`-separated, and made only from names that their grammars allow: none can leave the tree.
Rule 2. A key below `v2/` is read from the right (its last two or three parts): repositories called `blobs` or
        `foo/manifests` are legal.
Rule 3. Everything that is not for clients lies below `PRIVATE`, which no generated configuration serves.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

from .oci.digest import Digest, DigestError
from .oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from .oci.reference import DELTA_INDEX

Key = NewType("Key", str)

IMMUTABLE: Final = "public, max-age=31536000, immutable, no-transform"
MUTABLE: Final = "no-cache, no-transform"
PING: Final = "public, max-age=86400"
OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"

PRIVATE: Final = "_deltapress"
PING_KEY: Final = Key("v2/index.html")
# What a bucket answers /v2/ with, for it has no index files. Of zero bytes: some gateways refuse a body there.
PING_FOLDER_KEY: Final = Key("v2/")
PAGE_KEY: Final = Key("index.html")
FLATPAK_INDEX_KEY: Final = Key("index/static")
LEDGER_KEY: Final = Key(f"{PRIVATE}/ledger.json")

# The folder names of `typed_key`, in the order in which servers look: an index before a manifest, so that a tag that
# changes its type is switched by one write or one delete.
TYPED: Final = {
    OCI_INDEX: "oci-index",
    DOCKER_LIST: "docker-list",
    OCI_MANIFEST: "oci-manifest",
    DOCKER_MANIFEST: "docker-manifest",
}


class Phase(IntEnum):
    """The order of writing. Deleting goes the other way."""

    SERVERS = 0
    BLOBS = 1
    MANIFESTS = 2
    REFERRERS = 3
    DELTA_INDEX = 4
    TAGS = 5
    LISTINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Headers:
    """What a key is served with. `digest` becomes Docker-Content-Digest; never a Content-Encoding (clients hash after
    decoding)."""

    content_type: str
    cache_control: str
    digest: Digest | None = None

    @property
    def is_immutable(self) -> bool:
        """True for what has no other form: its name is the digest of its bytes, so it never changes."""
        return self.cache_control == IMMUTABLE


def blob_key(repository: str, digest: Digest) -> Key:
    return Key(f"v2/{repository}/blobs/{digest}")


def manifest_key(repository: str, reference: str | Digest) -> Key:
    """`reference` is a tag or a digest; distribution-spec, end-3."""
    return Key(f"v2/{repository}/manifests/{reference}")


def delta_index_key(repository: str) -> Key:
    return manifest_key(repository, DELTA_INDEX)


def tags_key(repository: str) -> Key:
    return Key(f"v2/{repository}/tags/list")


def referrers_key(repository: str, digest: Digest) -> Key:
    return Key(f"v2/{repository}/referrers/{digest}")


def typed_key(repository: str, reference: str | Digest, media_type: str) -> Key:
    """The second copy of a manifest, in a folder named for its media type: nginx and Caddy read the type from it."""
    return Key(f"{PRIVATE}/typed/{TYPED[media_type]}/{manifest_key(repository, reference)}")


def sidecar_key(repository: str, reference: str | Digest) -> Key:
    """The headers of a manifest for Apache's mod_cern_meta."""
    return Key(f"v2/{repository}/manifests/.web/{reference}.meta")


def access_file_key(repository: str) -> Key:
    """The types of a repository's manifests for an Apache that only reads .htaccess."""
    return Key(f"v2/{repository}/manifests/.htaccess")


def server_key(name: str) -> Key:
    return Key(f"{PRIVATE}/servers/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedKey:
    """A key below `v2/`: `kind` is `blobs`, `manifests`, `referrers` or `tags`."""

    repository: str
    kind: str
    name: str

    @property
    def digest(self) -> Digest | None:
        """The digest that the key ends with; None for a tag or a list."""
        try:
            return Digest.parse(self.name)
        except DigestError:
            return None


def parse_key(key: str) -> ParsedKey | None:
    """Read a key below `v2/` from the right; None for any other key, and for the files beside manifests."""
    parts = key.split("/")
    if len(parts) < 4 or parts[0] != "v2":
        return None
    *names, kind, name = parts[1:]
    if (
        kind not in {"blobs", "manifests", "referrers", "tags"}
        or name.startswith(".")
        or not names
        or names[-1] == ".web"
    ):
        return None
    if kind == "tags" and name != "list":
        return None
    return ParsedKey(repository="/".join(names), kind=kind, name=name)


def repository_of(key: str) -> str | None:
    """The repository to which a key belongs, sidecars and typed copies included; None for what belongs to all."""
    typed = f"{PRIVATE}/typed/"
    if key.startswith(typed):
        key = key.removeprefix(typed).partition("/")[2]
    folder, _, name = key.rpartition("/")
    if folder.endswith("/manifests/.web") or name == ".htaccess":
        key = f"{folder.removesuffix('/.web')}/{name.removeprefix('.')}"
    parsed = parse_key(key)
    return parsed.repository if parsed else None
