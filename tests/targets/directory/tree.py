"""Keys of a small tree, and how tests write and list it."""

from datetime import UTC, datetime
from pathlib import Path

from pipeline.content import BytesContent
from pipeline.keys import IMMUTABLE, OCTET_STREAM, Headers, Key
from pipeline.oci.digest import Digest
from pipeline.targets.directory import DirectoryTarget

NOW = datetime(2025, 6, 1, 2, 30, tzinfo=UTC)
BLOB = Key("v2/team/app/blobs/sha256:0")
COPY = Key("v2/team/other/blobs/sha256:0")
TAG = Key("v2/team/app/manifests/latest")
LEFTOVER = ".deltapress-00000000deadbeef.tmp"


def put(target: DirectoryTarget, key: str, data: bytes, *, same_as: Key | None = None, cache: str = IMMUTABLE) -> None:
    headers = Headers(content_type=OCTET_STREAM, cache_control=cache)
    target.put(Key(key), BytesContent(data), headers, digest=Digest.of(data), same_as=same_as)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())
