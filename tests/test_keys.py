"""The keys of the tree: made from names, read back from the right."""

import pytest

from pipeline import keys
from pipeline.oci.digest import Digest
from pipeline.oci.media_types import DOCKER_LIST, OCI_INDEX
from pipeline.targets.checks import is_key

DIGEST = Digest.of(b"x")
# names that contain what the tree itself calls its folders
NAMES = ["app", "team/app", "blobs", "foo/manifests", "a/tags/list", "v2", "referrers/x/blobs", "manifests/latest"]


@pytest.mark.parametrize("name", NAMES)
def test_every_key_leads_back_to_its_repository(name: str) -> None:
    content = {
        keys.blob_key(name, DIGEST): "blobs",
        keys.manifest_key(name, DIGEST): "manifests",
        keys.manifest_key(name, "latest"): "manifests",
        keys.delta_index_key(name): "manifests",
        keys.referrers_key(name, DIGEST): "referrers",
        keys.tags_key(name): "tags",
    }
    for key, kind in content.items():
        parsed = keys.parse_key(key)
        assert parsed is not None
        assert (parsed.repository, parsed.kind) == (name, kind)
        assert parsed.digest == (DIGEST if str(DIGEST) in key else None)
    beside = [
        keys.typed_key(name, DIGEST, OCI_INDEX),
        keys.typed_key(name, "latest", DOCKER_LIST),
        keys.sidecar_key(name, DIGEST),
        keys.sidecar_key(name, "latest"),
        keys.access_file_key(name),
    ]
    for key in beside:
        assert keys.parse_key(key) is None, key
    for key in (*content, *beside):
        assert keys.repository_of(key) == name, key
        assert is_key(key)
    assert len({*content, *beside}) == len(content) + len(beside)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "v2",
        "v2/",
        "v2/index.html",
        "v2/blobs/x",
        "v2/tags/list",
        "v2/app/tags/other",
        "v2/app/uploads/x",
        "v3/app/blobs/x",
        "app/v2/blobs/x",
        "v2/app/manifests/.htaccess",
        "v2/app/manifests/.web/latest.meta",
        "index/static",
        keys.LEDGER_KEY,
        keys.server_key("nginx.conf"),
    ],
)
def test_what_is_no_content(key: str) -> None:
    assert keys.parse_key(key) is None


@pytest.mark.parametrize(
    "key", [keys.PING_KEY, keys.PAGE_KEY, keys.FLATPAK_INDEX_KEY, keys.LEDGER_KEY, keys.server_key("x"), ".htaccess"]
)
def test_what_belongs_to_no_repository(key: str) -> None:
    assert keys.repository_of(key) is None


def test_an_index_is_looked_up_before_a_manifest() -> None:
    """So that a tag which changes its type is switched by one write or one delete."""
    folders = list(keys.TYPED.values())
    assert max(folders.index("oci-index"), folders.index("docker-list")) < min(
        folders.index("oci-manifest"), folders.index("docker-manifest")
    )
