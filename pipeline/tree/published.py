"""A published tree, read back: what keys it has, and its repositories as if they were layouts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..content import Content
from ..keys import Key, blob_key, manifest_key, parse_key
from ..oci.digest import Digest, DigestError
from ..targets.base import ReadableTarget
from ..targets.stored import StoredContent


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRepository:
    """The keys of one repository, by what they are. `lists`: its tags list, its referrers."""

    name: str
    blobs: Mapping[Digest, Key] = field(default_factory=dict)
    manifests: Mapping[Digest, Key] = field(default_factory=dict)
    tags: Mapping[str, Key] = field(default_factory=dict)
    referrers: Mapping[Digest, Key] = field(default_factory=dict)
    tags_list: Key | None = None


def by_repository(keys: Iterable[Key]) -> dict[str, PublishedRepository]:
    """Sort the keys of a tree; what belongs to no repository, or is no content, is left out."""
    parts: dict[str, dict[str, dict[str, Key]]] = {}
    for key in keys:
        parsed = parse_key(key)
        if parsed is not None:
            parts.setdefault(parsed.repository, {}).setdefault(parsed.kind, {})[parsed.name] = key
    return {name: _repository(name, kinds) for name, kinds in sorted(parts.items())}


def _repository(name: str, kinds: Mapping[str, Mapping[str, Key]]) -> PublishedRepository:
    manifests = kinds.get("manifests", {})
    return PublishedRepository(
        name=name,
        blobs=_by_digest(kinds.get("blobs", {})),
        manifests=_by_digest(manifests),
        tags={reference: key for reference, key in manifests.items() if _digest(reference) is None},
        referrers=_by_digest(kinds.get("referrers", {})),
        tags_list=kinds.get("tags", {}).get("list"),
    )


def _by_digest(names: Mapping[str, Key]) -> dict[Digest, Key]:
    found = ((_digest(name), key) for name, key in names.items())
    return {digest: key for digest, key in found if digest is not None}


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except DigestError:
        return None


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
