"""The keys of the tree: made from names, read back from the right."""

import posixpath
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import keys
from pipeline.keys import LOCK_KEY, Key, Kind, Phase
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import DOCKER_LIST, OCI_INDEX
from pipeline.oci.reference import is_tag
from pipeline.targets.checks import is_key

DIGEST = Digest.of(b"x")
MINE = f"sha256-{DIGEST.hex}"
# names that contain what the tree itself calls its folders
NAMES = ["app", "team/app", "blobs", "foo/manifests", "a/tags/list", "v2", "referrers/x/blobs", "manifests/latest"]


OTHER = Digest("sha512", "1" * 128)
K, P = Kind, Phase


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("make", "kind", "phase", "reference"),
    [
        (lambda name: keys.blob_key(name, DIGEST), K.BLOB, P.BLOBS, DIGEST),
        (lambda name: keys.manifest_key(name, DIGEST), K.MANIFEST, P.MANIFESTS, DIGEST),
        (lambda name: keys.manifest_key(name, OTHER), K.MANIFEST, P.MANIFESTS, OTHER),
        (lambda name: keys.manifest_key(name, "latest"), K.TAG, P.TAGS, "latest"),
        (lambda name: keys.manifest_key(name, f"{MINE}.sig"), K.TAG, P.TAGS, f"{MINE}.sig"),
        (lambda name: keys.manifest_key(name, "sha256-1"), K.TAG, P.TAGS, "sha256-1"),
        (lambda name: keys.manifest_key(name, MINE), K.REFERRERS_TAG, P.REFERRERS, MINE),
        (lambda name: keys.manifest_key(name, "_deltaindex"), K.DELTA_INDEX, P.DELTA_INDEX, "_deltaindex"),
        (lambda name: keys.referrers_key(name, DIGEST), K.REFERRERS, P.REFERRERS, DIGEST),
        (lambda name: keys.tags_key(name), K.TAGS_LIST, P.LISTINGS, None),
        (lambda name: keys.page_key(name), K.REPOSITORY_PAGE, P.LISTINGS, None),
        (lambda name: keys.feed_key(name), K.FEED, P.LISTINGS, None),
        (lambda name: keys.access_file_key(name), K.ACCESS_FILE, P.DELTA_INDEX, None),
        (lambda name: keys.typed_key(name, DIGEST, OCI_INDEX), K.TYPED_COPY, P.MANIFESTS, DIGEST),
        (lambda name: keys.typed_key(name, "latest", DOCKER_LIST), K.TYPED_COPY, P.TAGS, "latest"),
        (lambda name: keys.typed_key(name, MINE, OCI_INDEX), K.TYPED_COPY, P.REFERRERS, MINE),
        (lambda name: keys.typed_key(name, "_deltaindex", OCI_INDEX), K.TYPED_COPY, P.DELTA_INDEX, "_deltaindex"),
        (lambda name: keys.tag_link_key(name, "latest"), K.TAG_LINK, P.TAGS, "latest"),
        (lambda name: keys.tag_link_key(name, f"{MINE}.sig"), K.TAG_LINK, P.TAGS, f"{MINE}.sig"),
        (lambda name: keys.digest_mark_key(name, DIGEST), K.DIGEST_MARK, P.MANIFESTS, DIGEST),
        (lambda name: keys.digest_mark_key(name, OTHER), K.DIGEST_MARK, P.MANIFESTS, OTHER),
        (lambda name: keys.sidecar_key(name, DIGEST), K.SIDECAR, P.MANIFESTS, DIGEST),
        (lambda name: keys.sidecar_key(name, "v1.meta"), K.SIDECAR, P.TAGS, "v1.meta"),
        (lambda name: keys.sidecar_key(name, MINE), K.SIDECAR, P.REFERRERS, MINE),
        (lambda name: keys.sidecar_key(name, "_deltaindex"), K.SIDECAR, P.DELTA_INDEX, "_deltaindex"),
    ],
)
def test_every_key_is_read_back(
    name: str, make: Callable[[str], Key], kind: Kind, phase: Phase, reference: str | Digest | None
) -> None:
    key = make(name)
    assert is_key(key)
    parsed = keys.classify(key)
    assert parsed is not None
    assert (parsed.kind, parsed.phase, parsed.repository, parsed.reference) == (kind, phase, name, reference)
    assert keys.repository_of(key) == name
    assert parsed.digest == (reference if isinstance(reference, Digest) else None)
    named_for_their_bytes = {Kind.BLOB, Kind.MANIFEST, Kind.TYPED_COPY}
    assert parsed.content_digest == (parsed.digest if kind in named_for_their_bytes else None)
    assert (parsed.media_type is None) == (kind is not Kind.TYPED_COPY)


@pytest.mark.parametrize(
    ("key", "kind", "phase"),
    [
        ("v2/index.html", K.PING, P.SERVERS),
        ("v2/", K.PING, P.SERVERS),
        (".htaccess", K.SERVER_FILE, P.SERVERS),
        (keys.server_key("nginx.conf"), K.SERVER_FILE, P.SERVERS),
        (keys.server_key("README"), K.SERVER_FILE, P.SERVERS),
        ("index.html", K.PAGE, P.LISTINGS),
        ("v2/_catalog", K.CATALOG, P.LISTINGS),
        ("index/static", K.FLATPAK_INDEX, P.LISTINGS),
        ("example.flatpakrepo", K.FLATPAK_REPO, P.LISTINGS),
        ("org.example.App.flatpakref", K.FLATPAK_REF, P.LISTINGS),
        ("org.example.My-App@1.0-beta.flatpakref", K.FLATPAK_REF, P.LISTINGS),
        ("_deltapress/ledger.json", K.LEDGER, None),
        (keys.REPORTS_KEY, K.REPORT, None),
        (keys.report_key(31), K.REPORT, None),
        (LOCK_KEY, K.LOCK, None),
    ],
)
def test_what_belongs_to_no_repository(key: str, kind: Kind, phase: Phase | None) -> None:
    assert keys.classify(key) == keys.ParsedKey(kind=kind, phase=phase)
    assert keys.repository_of(key) is None


def test_an_icon_is_named_for_its_bytes() -> None:
    parsed = keys.classify(keys.flatpak_icon_key(DIGEST))
    assert parsed == keys.ParsedKey(kind=K.FLATPAK_ICON, phase=P.BLOBS, reference=DIGEST)
    assert keys.repository_of(keys.flatpak_icon_key(DIGEST)) is None


@pytest.mark.parametrize(
    "key",
    [
        "",
        "v2",
        "/v2/",
        "v2/blobs/x",
        f"v2/blobs/{DIGEST}",
        "v2/tags/list",
        "v2/app/tags/other",
        "v2/app/uploads/x",
        f"v3/app/blobs/{DIGEST}",
        f"app/v2/blobs/{DIGEST}",
        f"v2/app//blobs/{DIGEST}",
        f"v2/../blobs/{DIGEST}",
        f"v2/app/blobs/{str(DIGEST).upper()}",
        f"v2/app/blobs/{DIGEST}\n",
        "v2/app/blobs/latest",
        "v2/app/referrers/latest",
        f"v2/app/tags/{DIGEST}",
        f"v2/app/manifests/{DIGEST}0",
        "v2/app/manifests/.hidden",
        "v2/app/manifests/-tag",
        f"v2/app/manifests/{'t' * 129}",
        "v2/app/manifests/.web/latest",
        "v2/app/manifests/.web/.meta",
        "v2/app/.web/latest.meta",
        "v2/app/blobs/.htaccess",
        "v2/manifests/.htaccess",
        "v2/App/manifests/latest",
        "v2/app/index.html",
        "page.html",
        "pages",
        "pages/_page.html",
        "pages/app/index.html",
        "pages/App/_page.html",
        "pages/app/_page.html/_page.html",
        "pages/app/_feed.atom\n",
        "v2/app/_page.html",
        "index/static/more",
        "index/icons/a.png",
        f"index/icons/{DIGEST.hex}.png\n",
        ".flatpakrepo",
        "a/b.flatpakrepo",
        "app.flatpakref",
        "org.example..flatpakref",
        "org.example.App@.flatpakref",
        "org.example.App@a@b.flatpakref",
        f"org.{'a' * 100}.flatpakref",
        "_deltapress/lock.old",
        "_deltapress/servers/",
        "_deltapress/servers/.hidden",
        "_deltapress/servers/more/nginx.conf",
        "_deltapress/typed/oci-index/v2/app/tags/list",
        "_deltapress/typed/oci-index/v2/app/manifests/.web/latest.meta",
        "_deltapress/typed/oci-index/_deltapress/typed/oci-index/v2/app/manifests/latest",
        "_deltapress/typed/other/v2/app/manifests/latest",
    ],
)
def test_what_no_publisher_writes(key: str) -> None:
    assert keys.classify(key) is None
    assert keys.repository_of(key) is None


def _words(alphabet: str) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=8)


hashes = st.builds(Digest.of, st.binary(max_size=2)) | st.just(OTHER)
references = hashes | _words("aZ09._-").filter(is_tag) | hashes.map(keys.referrers_tag) | st.just("_deltaindex")
names = _words("v2blobs") | st.sampled_from(["manifests", "tags", "a.b", "a__b"])
repository_names = st.lists(names, min_size=1, max_size=4).map("/".join)


@given(repository_names, references, st.sampled_from(sorted(keys.TYPED)))
def test_any_manifest_and_what_lies_beside_it(name: str, reference: str | Digest, media_type: str) -> None:
    manifest = keys.classify(keys.manifest_key(name, reference))
    assert manifest is not None
    assert (manifest.repository, manifest.reference) == (name, reference)
    assert manifest.kind is keys.kind_of(reference)
    copy = keys.classify(keys.typed_key(name, reference, media_type))
    assert copy == replace(manifest, kind=Kind.TYPED_COPY, media_type=media_type)
    assert keys.classify(keys.sidecar_key(name, reference)) == replace(manifest, kind=Kind.SIDECAR)
    if isinstance(reference, Digest):
        mark = keys.digest_mark_key(name, reference)
        assert keys.classify(mark) == replace(manifest, kind=Kind.DIGEST_MARK)
        assert not keys.is_link(mark)
        link = keys.tag_link_key(name, "x")
        way = posixpath.normpath(posixpath.join(posixpath.dirname(link), keys.tag_link_text(name, reference)))
        assert way == posixpath.dirname(mark)
    elif manifest.kind is Kind.TAG:
        assert keys.classify(keys.tag_link_key(name, reference)) == replace(manifest, kind=Kind.TAG_LINK)
        assert keys.is_link(keys.tag_link_key(name, reference))
    else:
        assert keys.classify(keys.tag_link_key(name, reference)) is None


@given(st.lists(st.sampled_from(["v2", "app", "manifests", "blobs", "tags", "list", ".web", "x.meta", str(DIGEST)])))
def test_no_two_readings(parts: list[str]) -> None:
    """A key that is read is the one that is made of what was read."""
    key = "/".join(parts)
    parsed = keys.classify(key)
    if parsed is None or parsed.repository is None:
        return
    made = {keys.tags_key(parsed.repository), keys.access_file_key(parsed.repository)}
    if parsed.digest is not None:
        made |= {keys.blob_key(parsed.repository, parsed.digest), keys.referrers_key(parsed.repository, parsed.digest)}
    if parsed.reference is not None:
        made.add(keys.manifest_key(parsed.repository, parsed.reference))
        made.add(keys.sidecar_key(parsed.repository, parsed.reference))
    assert key in made


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("v2/app/blobs/no-digest", "blobs"),
        ("v2/App/manifests/x", "manifests"),
        ("v2/app/referrers/latest", "referrers"),
        ("v2/none/tags/list", "tags"),
        ("v2/none/tags/other", None),
        ("v2/tags/list", None),
        ("v2/", None),
        ("app/blobs/x/y", None),
    ],
)
def test_what_a_request_asks_for_even_where_there_is_no_such_key(path: str, endpoint: str | None) -> None:
    assert keys.endpoint_of(path) == endpoint


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("index.html", True),
        ("docs/how-to.html", True),
        ("v2/app/page.html", False),
        ("_deltapress/page.html", False),
        (".hidden/page.html", False),
        ("docs//page.html", False),
        ("page.htm", False),
    ],
)
def test_pages(path: str, expected: bool) -> None:
    assert keys.is_page(path) is expected


def test_the_page_of_a_repository_is_one_of_those_that_anybody_may_see() -> None:
    assert keys.is_page(keys.page_key("team/app"))


def test_the_pattern_of_feeds_fits_them_alone() -> None:
    assert re.fullmatch(keys.FEED_PATTERN, keys.feed_key("team/app"))
    assert not re.fullmatch(keys.FEED_PATTERN, keys.page_key("team/app"))
    assert not re.fullmatch(keys.FEED_PATTERN, "pages/_feed.atom")


def test_the_tag_for_referrers_is_a_legal_one() -> None:
    assert keys.referrers_tag(DIGEST) == MINE
    assert keys.referrers_tag(OTHER) == f"sha512-{'1' * 64}"
    assert is_tag(keys.referrers_tag(OTHER))


def test_an_index_is_looked_up_before_a_manifest() -> None:
    """So that a tag which changes its type is switched by one write or one delete."""
    folders = list(keys.TYPED.values())
    assert max(folders.index("oci-index"), folders.index("docker-list")) < min(
        folders.index("oci-manifest"), folders.index("docker-manifest")
    )
