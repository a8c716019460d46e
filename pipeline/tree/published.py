"""A published tree, read back: what keys it has, and its repositories as if they were layouts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ..content import Content
from ..keys import MANIFESTS, Key, Kind, ParsedKey, blob_key, classify, manifest_key
from ..oci.digest import Digest
from ..targets.base import ReadableTarget
from ..targets.stored import StoredContent

_CONTENT: Final = MANIFESTS | {Kind.BLOB, Kind.REFERRERS, Kind.TAGS_LIST}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRepository:
    """The keys of one repository, by what they are. `tags` are all references that are no digests."""

    name: str
    blobs: Mapping[Digest, Key] = field(default_factory=dict)
    manifests: Mapping[Digest, Key] = field(default_factory=dict)
    tags: Mapping[str, Key] = field(default_factory=dict)
    referrers: Mapping[Digest, Key] = field(default_factory=dict)
    tags_list: Key | None = None


def by_repository(keys: Iterable[Key]) -> dict[str, PublishedRepository]:
    """Sort the keys of a tree; what belongs to no repository, or is not content, is left out."""
    found: dict[str, _Sorted] = {}
    for key in keys:
        parsed = classify(key)
        if parsed is not None and parsed.repository is not None and parsed.kind in _CONTENT:
            found.setdefault(parsed.repository, _Sorted()).add(key, parsed)
    return {name: sorted_keys.repository(name) for name, sorted_keys in sorted(found.items())}


@dataclass(slots=True)
class _Sorted:
    """The keys of a repository, as far as they were seen."""

    digests: dict[Kind, dict[Digest, Key]] = field(default_factory=dict)
    tags: dict[str, Key] = field(default_factory=dict)
    tags_list: Key | None = None

    def add(self, key: Key, parsed: ParsedKey) -> None:
        if isinstance(parsed.reference, Digest):
            self.digests.setdefault(parsed.kind, {})[parsed.reference] = key
        elif parsed.reference is not None:
            self.tags[parsed.reference] = key
        else:
            self.tags_list = key

    def repository(self, name: str) -> PublishedRepository:
        return PublishedRepository(
            name=name,
            blobs=self.digests.get(Kind.BLOB, {}),
            manifests=self.digests.get(Kind.MANIFEST, {}),
            tags=self.tags,
            referrers=self.digests.get(Kind.REFERRERS, {}),
            tags_list=self.tags_list,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedBlobs:
    """One repository of a published tree, as images are read from it."""

    target: ReadableTarget
    repository: str

    @property
    def path(self) -> Path:
        return Path(self.target.url) / "v2" / self.repository

    def blob(self, digest: Digest) -> Content | None:
        """A manifest or a blob. Raises TargetError."""
        for key in (manifest_key(self.repository, digest), blob_key(self.repository, digest)):
            stored = self.target.stat(key)
            if stored is not None:
                return StoredContent(target=self.target, key=key, size=stored.size)
        return None
