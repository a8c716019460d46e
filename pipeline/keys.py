"""Keys of the static distribution tree, and the headers that each is served with.

The one table from which the web servers' configurations, the sidecar files, `serve` and a bucket's metadata are made.

Rule 1. A key is relative, `/`-separated, and made only from names that their grammars allow: none can leave the tree.
Rule 2. A key below `v2/` is read from the right (its last two or three parts): repositories called `blobs` or
        `foo/manifests` are legal.
Rule 3. Everything that is not for clients lies below `PRIVATE`, which no generated configuration serves.
Rule 4. Keys are made by the functions whose names end with `_key`, and read by `classify`; nobody else takes one apart.
        By its shape alone a key is ours; that says nothing of its bytes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final, NewType

from .oci.digest import Digest, DigestError
from .oci.flatpak import is_branch, is_id, is_remote_name
from .oci.media_types import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from .oci.reference import DELTA_INDEX, is_repository, is_tag

Key = NewType("Key", str)

IMMUTABLE: Final = "public, max-age=31536000, immutable, no-transform"
MUTABLE: Final = "no-cache, no-transform"
PING: Final = "public, max-age=86400"
CACHE_RULES: Final = (IMMUTABLE, MUTABLE, PING)
OCTET_STREAM: Final = "application/octet-stream"
JSON: Final = "application/json"
HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
ATOM: Final = "application/atom+xml; charset=utf-8"
PNG: Final = "image/png"
# flatpak-flatpakrepo(5), flatpak-flatpakref(5): so a desktop opens them with its software centre
FLATPAK_REPO: Final = "application/vnd.flatpak.repo"
FLATPAK_REF: Final = "application/vnd.flatpak.ref"

PRIVATE: Final = "_deltapress"
PING_KEY: Final = Key("v2/index.html")
# What a bucket answers /v2/ with, for it has no index files. Of zero bytes: some gateways refuse a body there.
PING_FOLDER_KEY: Final = Key("v2/")
PAGE_KEY: Final = Key("index.html")
# The pages and feeds of repositories. No part of a repository's name begins with "_": nothing in here is two things.
_PAGES: Final = "pages"
_PAGE_FILE: Final = "_page.html"
_REMOTES: Final = f"{_PAGES}/_remotes/"  # no repository is called so
_FEED_FILE: Final = "_feed.atom"
# What the path of a feed is like, for the configurations of servers.
FEED_PATTERN: Final = rf"{_PAGES}/[a-z0-9._/-]+/_feed\.atom"
# Empty. GitHub Pages leaves out all names that begin with "_" unless it is there, and so every `_deltaindex`.
NOJEKYLL_KEY: Final = Key(".nojekyll")
FLATPAK_INDEX_KEY: Final = Key("index/static")
# The names of all repositories. No repository can be called so: a name begins with a letter or a digit.
CATALOG_KEY: Final = Key("v2/_catalog")
# The types of the whole tree for an Apache that only reads .htaccess.
ROOT_ACCESS_FILE_KEY: Final = Key(".htaccess")
# The root of the ledger; its documents and its journal lie in a folder beside it.
LEDGER_KEY: Final = Key(f"{PRIVATE}/ledger.json")
# Which reports of past runs there are; they lie beside it.
REPORTS_KEY: Final = Key(f"{PRIVATE}/reports/range.json")
# Where a target keeps its lock. No caller of a target puts, deletes or is shown it.
LOCK_KEY: Final = Key(f"{PRIVATE}/lock")

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


class Kind(Enum):
    """What a key is. The values are for people."""

    BLOB = "blob"
    MANIFEST = "manifest by digest"
    TAG = "tag"
    REFERRERS = "referrers"
    REFERRERS_TAG = "referrers tag"  # `sha256-<hex>`, for clients that know no referrers
    DELTA_INDEX = "delta index"
    TAGS_LIST = "tags list"
    CATALOG = "catalog"
    TYPED_COPY = "typed copy"
    SIDECAR = "sidecar"
    TAG_LINK = "link of a tag"
    DIGEST_MARK = "mark of a digest"
    ACCESS_FILE = "access file"
    PING = "ping"
    PAGE = "front page"
    REPOSITORY_PAGE = "page of a repository"
    REMOTE_PAGE = "page of a remote of flatpak"
    FEED = "feed of a repository"
    FLATPAK_INDEX = "flatpak index"
    FLATPAK_ICON = "flatpak icon"
    FLATPAK_REPO = "flatpak remote"  # `NAME.flatpakrepo`
    FLATPAK_REF = "flatpak app"  # `ID.flatpakref`
    SERVER_FILE = "server file"
    LEDGER = "ledger"
    REPORT = "report of a run"
    LOCK = "lock"


# What typed copies, sidecars, links and marks lie beside; they are written in its phase. The ledger, reports and the
# lock have none.
MANIFESTS: Final = frozenset({Kind.MANIFEST, Kind.TAG, Kind.REFERRERS_TAG, Kind.DELTA_INDEX})
PHASES: Final[Mapping[Kind, Phase]] = {
    Kind.PING: Phase.SERVERS,
    Kind.SERVER_FILE: Phase.SERVERS,
    Kind.BLOB: Phase.BLOBS,
    Kind.FLATPAK_ICON: Phase.BLOBS,
    Kind.MANIFEST: Phase.MANIFESTS,
    Kind.REFERRERS: Phase.REFERRERS,
    Kind.REFERRERS_TAG: Phase.REFERRERS,
    # just before `_deltaindex` and the tags: Apache must know the type of what a tag leads to when it moves, and with
    # the order deltas-first it does not move until then
    Kind.ACCESS_FILE: Phase.DELTA_INDEX,
    Kind.DELTA_INDEX: Phase.DELTA_INDEX,
    Kind.TAG: Phase.TAGS,
    Kind.TAGS_LIST: Phase.LISTINGS,
    Kind.CATALOG: Phase.LISTINGS,
    Kind.FLATPAK_INDEX: Phase.LISTINGS,
    Kind.FLATPAK_REPO: Phase.LISTINGS,
    Kind.FLATPAK_REF: Phase.LISTINGS,
    Kind.PAGE: Phase.LISTINGS,
    Kind.REPOSITORY_PAGE: Phase.LISTINGS,
    Kind.REMOTE_PAGE: Phase.LISTINGS,
    Kind.FEED: Phase.LISTINGS,
}
# The media types of what is neither a manifest nor below one of the endpoints of a registry.
_COMMON_TYPES: Final[Mapping[Kind, str]] = {
    Kind.PING: JSON,
    Kind.CATALOG: JSON,
    Kind.PAGE: HTML,
    Kind.REPOSITORY_PAGE: HTML,
    Kind.REMOTE_PAGE: HTML,
    Kind.FEED: ATOM,
    Kind.FLATPAK_INDEX: JSON,
    Kind.FLATPAK_ICON: PNG,
    Kind.FLATPAK_REPO: FLATPAK_REPO,
    Kind.FLATPAK_REF: FLATPAK_REF,
    Kind.SERVER_FILE: TEXT,
}
_COMMON: Final[Mapping[str, Kind]] = {
    PING_KEY: Kind.PING,
    PING_FOLDER_KEY: Kind.PING,
    PAGE_KEY: Kind.PAGE,
    FLATPAK_INDEX_KEY: Kind.FLATPAK_INDEX,
    CATALOG_KEY: Kind.CATALOG,
    ROOT_ACCESS_FILE_KEY: Kind.SERVER_FILE,
    NOJEKYLL_KEY: Kind.SERVER_FILE,
    LEDGER_KEY: Kind.LEDGER,
    REPORTS_KEY: Kind.REPORT,
    LOCK_KEY: Kind.LOCK,
}
_ENDPOINTS: Final = frozenset({"blobs", "manifests", "referrers", "tags"})
_SERVER_FILE: Final = re.compile(rf"{PRIVATE}/servers/[A-Za-z0-9][A-Za-z0-9._-]*")
_LEDGER_PART: Final = re.compile(rf"{PRIVATE}/ledger/(sha256:[0-9a-f]{{64}}|journal/[1-9][0-9]{{0,8}})")
_REPORT: Final = re.compile(rf"{PRIVATE}/reports/[1-9][0-9]{{0,8}}\.json")
_TYPED_COPY: Final = re.compile(rf"{PRIVATE}/typed/({'|'.join(TYPED.values())})/(v2/.+)", re.DOTALL)
_TAG_LINK: Final = re.compile(rf"{PRIVATE}/tags/(v2/.+)", re.DOTALL)
_DIGEST_MARK: Final = re.compile(rf"{PRIVATE}/digests/(v2/.+/([^/]+))/\2", re.DOTALL)
# what a key of this form is, and of what kind that which it lies beside must be
_BESIDE: Final = ((_TAG_LINK, Kind.TAG_LINK, Kind.TAG), (_DIGEST_MARK, Kind.DIGEST_MARK, Kind.MANIFEST))
_REFERRERS_TAG: Final = re.compile(r"sha(256|512)-[0-9a-f]{64}")
_FLATPAK_ICON: Final = re.compile(r"index/icons/([0-9a-f]{64})\.png")
_OF_PAGES: Final[Mapping[str, Kind]] = {_PAGE_FILE: Kind.REPOSITORY_PAGE, _FEED_FILE: Kind.FEED}
_TYPE_OF_FOLDER: Final = {folder: media_type for media_type, folder in TYPED.items()}


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


def common_headers(kind: Kind) -> Headers | None:
    """With what is served that is for no client of a registry, or belongs to no repository; None for other kinds."""
    if kind not in _COMMON_TYPES:
        return None
    cache_control = {Kind.PING: PING, Kind.FLATPAK_ICON: IMMUTABLE}.get(kind, MUTABLE)
    return Headers(content_type=_COMMON_TYPES[kind], cache_control=cache_control)


def blob_key(repository: str, digest: Digest) -> Key:
    return Key(f"v2/{repository}/blobs/{digest}")


def manifest_key(repository: str, reference: str | Digest) -> Key:
    """`reference` is a tag or a digest; distribution-spec, end-3."""
    return Key(f"v2/{repository}/manifests/{reference}")


def tags_key(repository: str) -> Key:
    return Key(f"v2/{repository}/tags/list")


def referrers_key(repository: str, digest: Digest) -> Key:
    return Key(f"v2/{repository}/referrers/{digest}")


def typed_key(repository: str, reference: str | Digest, media_type: str) -> Key:
    """The second copy of a manifest, in a folder named for its media type: nginx and Caddy read the type from it."""
    return Key(f"{PRIVATE}/typed/{TYPED[media_type]}/{manifest_key(repository, reference)}")


def tag_link_key(repository: str, tag: str) -> Key:
    """Where a directory has a symbolic link from a tag to the folder of its image's mark.

    nginx resolves it, Caddy lists what it leads to: either learns the digest from one look at one name, and serves the
    manifest of that digest. Its content is `tag_link_text`.
    """
    return Key(f"{PRIVATE}/tags/{manifest_key(repository, tag)}")


def tag_link_text(repository: str, digest: Digest) -> str:
    """The way from the link of a tag to the folder of a mark."""
    up = "../" * (manifest_key(repository, digest).count("/") + 1)
    return f"{up}digests/{manifest_key(repository, digest)}"


def digest_mark_key(repository: str, digest: Digest) -> Key:
    """An empty file that is named like its folder, for a digest to which tags may lead."""
    return Key(f"{PRIVATE}/digests/{manifest_key(repository, digest)}/{digest}")


def is_link(key: str) -> bool:
    """True for what is a symbolic link where there are such: its content is where it leads."""
    return _TAG_LINK.fullmatch(key) is not None


def sidecar_key(repository: str, reference: str | Digest) -> Key:
    """The headers of a manifest for Apache's mod_cern_meta."""
    return Key(f"v2/{repository}/manifests/.web/{reference}.meta")


def access_file_key(repository: str) -> Key:
    """The types of a repository's manifests for an Apache that only reads .htaccess."""
    return Key(f"v2/{repository}/manifests/.htaccess")


def ledger_document_key(digest: Digest) -> Key:
    """What the ledger says of one repository, named for its bytes: a root that names it can be believed."""
    return Key(f"{PRIVATE}/ledger/{digest}")


def journal_key(number: int) -> Key:
    """An entry of the ledger's journal, counted from 1."""
    return Key(f"{PRIVATE}/ledger/journal/{number}")


def report_key(number: int) -> Key:
    """The report of a run, counted from 1."""
    return Key(f"{PRIVATE}/reports/{number}.json")


def flatpak_icon_key(digest: Digest) -> Key:
    """An icon, in PNG, which the index of flatpak names relative to itself; `digest` is a sha256."""
    return Key(f"index/icons/{digest.hex}.png")


def flatpak_repo_key(remote: str) -> Key:
    """What a person clicks on to add the remote."""
    return Key(f"{remote}.flatpakrepo")


def flatpak_ref_key(app: str, branch: str | None = None) -> Key:
    """What a person clicks on to install an app. Neither name has an `@`, so that no two of these are the same."""
    return Key(f"{app}.flatpakref" if branch is None else f"{app}@{branch}.flatpakref")


def page_key(repository: str) -> Key:
    """The page of a repository, for people."""
    return Key(f"{_PAGES}/{repository}/{_PAGE_FILE}")


def remote_page_key(remote: str) -> Key:
    """The page of a remote of flatpak."""
    return Key(f"{_REMOTES}{remote}.html")


def feed_key(repository: str) -> Key:
    """What is new in a repository, for feed readers."""
    return Key(f"{_PAGES}/{repository}/{_FEED_FILE}")


def server_key(name: str) -> Key:
    return Key(f"{PRIVATE}/servers/{name}")


def referrers_tag(subject: Digest) -> str:
    """The tag that leads to the referrers of `subject` where a client knows no better: of the digest's hex 64 digits,
    or else it would be no legal tag (distribution-spec, "Referrers Tag Schema")."""
    return f"{subject.algorithm}-{subject.hex[:64]}"


def kind_of(reference: str | Digest) -> Kind:
    """What a manifest is that is served under a tag or a digest."""
    if isinstance(reference, Digest):
        return Kind.MANIFEST
    if reference == DELTA_INDEX:
        return Kind.DELTA_INDEX
    return Kind.REFERRERS_TAG if _REFERRERS_TAG.fullmatch(reference) else Kind.TAG


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedKey:
    """A key that a publisher writes.

    `repository` is None for what belongs to all. `reference` is the tag or the digest that is served under the key, or
    that a typed copy, of `media_type`, a sidecar, a link or a mark lies beside; it is None for other kinds. `phase` is
    when the key is written, None for the ledger, reports and the lock.
    """

    kind: Kind
    phase: Phase | None
    repository: str | None = None
    reference: str | Digest | None = None
    media_type: str | None = None

    @property
    def digest(self) -> Digest | None:
        """The digest that the key names: of its own bytes, of the subject, or of what it lies beside."""
        return self.reference if isinstance(self.reference, Digest) else None

    @property
    def content_digest(self) -> Digest | None:
        """The digest of the bytes under the key, where it is named for them: they are those, or there are none."""
        return self.digest if self.kind in {Kind.BLOB, Kind.MANIFEST, Kind.TYPED_COPY} else None


def classify(key: str) -> ParsedKey | None:
    """Say what a key is; None for what no publisher writes."""
    if (common := _COMMON.get(key)) is not None:
        return ParsedKey(kind=common, phase=PHASES.get(common))
    if _SERVER_FILE.fullmatch(key):
        return ParsedKey(kind=Kind.SERVER_FILE, phase=PHASES[Kind.SERVER_FILE])
    if _LEDGER_PART.fullmatch(key):
        return ParsedKey(kind=Kind.LEDGER, phase=None)
    if _REPORT.fullmatch(key):
        return ParsedKey(kind=Kind.REPORT, phase=None)
    if (copy := _TYPED_COPY.fullmatch(key)) is not None:
        original = classify(copy[2])
        if original is None or original.kind not in MANIFESTS:
            return None
        return replace(original, kind=Kind.TYPED_COPY, media_type=_TYPE_OF_FOLDER[copy[1]])
    if (icon := _FLATPAK_ICON.fullmatch(key)) is not None:
        digest = Digest.parse(f"sha256:{icon[1]}")
        return ParsedKey(kind=Kind.FLATPAK_ICON, phase=PHASES[Kind.FLATPAK_ICON], reference=digest)
    if (kind := _flatpak_file(key)) is not None:
        return ParsedKey(kind=kind, phase=PHASES[kind])
    for pattern, kind, beside in _BESIDE:
        if (match := pattern.fullmatch(key)) is not None:
            original = classify(match[1])
            return replace(original, kind=kind) if original is not None and original.kind is beside else None
    start, *names = key.split("/")
    if start == _PAGES and (kind := _OF_PAGES.get(names[-1] if names else "")) is not None:
        return _of_repository("/".join(names[:-1]), kind)
    if start != "v2" or len(names) < 3:
        return None
    *names, folder, name = names
    if folder == ".web" and names[-1] == "manifests" and name.endswith(".meta"):
        original = _in_folder("/".join(names[:-1]), "manifests", name.removesuffix(".meta"))
        return original and replace(original, kind=Kind.SIDECAR)
    if folder == "manifests" and name == ".htaccess":
        return _of_repository("/".join(names), Kind.ACCESS_FILE)
    return _in_folder("/".join(names), folder, name)


@lru_cache(maxsize=1 << 20)  # asked again and again, of the same keys
def repository_of(key: str) -> str | None:
    """The repository to which a key belongs, sidecars and typed copies included; None for what belongs to all."""
    parsed = classify(key)
    return parsed.repository if parsed is not None else None


def endpoint_of(path: str) -> str | None:
    """`blobs`, `manifests`, `referrers` or `tags`: what of a repository a path below `v2/` asks for, be its names legal
    or not (distribution-spec, "Endpoints")."""
    start, *names = path.split("/")
    if start != "v2" or len(names) < 3 or names[-2] not in _ENDPOINTS or (names[-2] == "tags" and names[-1] != "list"):
        return None
    return names[-2]


def is_page(path: str) -> bool:
    """True for an HTML page that anybody may see, be it ours or one that was laid beside ours."""
    folders = path.split("/")
    return path.endswith(".html") and folders[0] not in {"v2", PRIVATE} and not any(map(_is_hidden, folders))


def folders_of(key: Key) -> Iterator[Key]:
    """What must be a folder where keys are paths of files, the highest first."""
    parts = key.split("/")
    for end in range(1, len(parts)):
        yield Key("/".join(parts[:end]))


def _flatpak_file(key: str) -> Kind | None:
    stem, _, extension = key.rpartition(".")
    if extension == "html" and stem.startswith(_REMOTES) and is_remote_name(stem.removeprefix(_REMOTES)):
        return Kind.REMOTE_PAGE
    if extension == "flatpakrepo" and is_remote_name(stem):
        return Kind.FLATPAK_REPO
    app, at, branch = stem.partition("@")
    if extension == "flatpakref" and is_id(app) and (not at or is_branch(branch)):
        return Kind.FLATPAK_REF
    return None


def _in_folder(repository: str, folder: str, name: str) -> ParsedKey | None:
    if folder == "tags":
        return _of_repository(repository, Kind.TAGS_LIST) if name == "list" else None
    digest = _digest(name)
    if folder == "manifests" and (digest is not None or is_tag(name)):
        reference = digest or name
        return _of_repository(repository, kind_of(reference), reference)
    if digest is None or folder not in {"blobs", "referrers"}:
        return None
    return _of_repository(repository, Kind.BLOB if folder == "blobs" else Kind.REFERRERS, digest)


def _of_repository(repository: str, kind: Kind, reference: str | Digest | None = None) -> ParsedKey | None:
    if not is_repository(repository):
        return None
    return ParsedKey(kind=kind, phase=PHASES[kind], repository=repository, reference=reference)


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except DigestError:
        return None


def _is_hidden(name: str) -> bool:
    return not name or name.startswith(".")
