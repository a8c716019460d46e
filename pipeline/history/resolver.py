"""Where the bytes of a digest come from: the one place that knows.

Rule 1. Bytes are published under the name of a repository when its own layout has them, or when the ledger says that
        the repository had them before; then any copy in the target serves. To know a digest is not to have its bytes,
        so no other layout is asked. A delta belongs to each repository that has both of its ends.
Rule 2. The old and new layers of deltas are read where they were verified last: in a layout that was read in this very
        run, else in the target, which verifies what it takes; other layouts come after that. But from a bucket bytes
        have to travel, and are paid for: it comes last.
Rule 3. Nothing is verified here. Targets compare what is put with its digest, `deltas.layers` each layer with its
        digest and its DiffID; a wrong copy in one place says nothing of the others.
"""

from collections.abc import Container, Iterable, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from ..content import Content
from ..keys import Key, Phase, blob_key, classify, repository_of
from ..layout import BrokenTag
from ..oci.digest import DiffID, Digest
from ..tardiff.layer.outline import Outline
from ..targets.base import ReadableTarget
from ..targets.stored import StoredContent
from .ledger import Ledger
from .records.images import LayerRecord

_UNCHANGING: Final = (Phase.BLOBS, Phase.MANIFESTS)
_NONE_SEEN: Final[Mapping[str, "Contents"]] = MappingProxyType({})
_NOTHING_FOUND: Final[Mapping[Digest, Key]] = MappingProxyType({})


class Contents(Protocol):
    """What was seen of one repository in this run: in its layout, or at the source that it is mirrored from."""

    @property
    def digests(self) -> frozenset[Digest]:
        """Of all documents and blobs that can be published from there."""
        ...

    @property
    def outlines(self) -> Mapping[DiffID, Outline]:
        """Those of the layers that were read."""
        ...

    @property
    def broken(self) -> tuple[BrokenTag, ...]:
        """The tags that are left out."""
        ...

    def content(self, digest: Digest) -> Content | None:
        """The bytes of a blob or a document; None where it has none of that digest."""
        ...


class Store(Enum):
    """What kind of place holds bytes."""

    LAYOUT = "layout"
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The layout of a repository, or its part of the target."""

    store: Store
    repository: str

    def __str__(self) -> str:
        return f"{'the layout' if self.store is Store.LAYOUT else 'the target'}, repository {self.repository}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerLocator:
    """A layer (its digest, DiffID, size, media type), and where its bytes may be had, the best place first.

    A plain value, which whoever has a resolver can follow, in any process.
    """

    layer: LayerRecord
    places: tuple[Place, ...]


@dataclass(slots=True, kw_only=True)
class ContentResolver:
    """Finds content in the `layouts` that were seen and in `target`.

    `found` is what the target held before the run, by digest, `stored` what is certainly there now; `had` says which
    digests the ledger knew, by repository.
    """

    target: ReadableTarget
    layouts: Mapping[str, Contents] = field(default_factory=dict)
    found: Mapping[Digest, Key] = field(default_factory=dict)
    stored: dict[Digest, Key] = field(default_factory=dict)
    had: dict[str, set[Digest]] = field(default_factory=dict)
    _by_digest: dict[Digest, list[str]] | None = None

    @classmethod
    def of(
        cls,
        target: ReadableTarget,
        ledger: Ledger,
        *,
        layouts: Mapping[str, Contents] = _NONE_SEEN,
        found: Mapping[Digest, Key] = _NOTHING_FOUND,
    ) -> "ContentResolver":
        """`ledger` is that of the run before, `found` what the target holds, see `find_stored`."""
        resolver = cls(target=target, layouts=layouts, found=found, stored=certainly_stored(ledger))
        for key, record in ledger.keys.items():
            resolver.grant(repository_of(key), record.digest)
        return resolver

    def content(self, repository: str, digest: Digest, size: int) -> Content | None:
        """`size` bytes to be published in `repository`; None where it has no right to them, or nobody has them."""
        layout = self.layouts.get(repository)
        if layout is not None and (own := layout.content(digest)) is not None:
            return own
        key = self._key(digest)
        if key is None or digest not in self.had.get(repository, ()):
            return None
        return StoredContent(target=self.target, key=key, size=size)

    def available(self, repository: str) -> Set[Digest]:
        """All that can be published in `repository`."""
        layout = self.layouts.get(repository)
        own = layout.digests if layout is not None else frozenset[Digest]()
        had = self.had.get(repository, ())
        return own | {digest for digest in had if digest in self.found or digest in self.stored}

    def grant(self, repository: str | None, digest: Digest) -> None:
        """The repository has a right to these bytes, wherever they are in the target."""
        if repository is not None:
            self.had.setdefault(repository, set()).add(digest)

    def carry_over(self, repository: str, formerly: Iterable[str]) -> None:
        """The repository goes on with what these had."""
        for former in formerly:
            self.had.setdefault(repository, set()).update(self.had.get(former, ()))

    def refresh(self, ledger: Ledger) -> None:
        """From now on `ledger` says what is certainly stored, and under which key."""
        self.stored = certainly_stored(ledger)

    def note(self, written: Iterable[tuple[str | None, Key, Digest]]) -> None:
        """Keys that hold their digest for good were written: a repository, a key, the digest."""
        for repository, key, digest in written:
            self.stored[digest] = key
            self.grant(repository, digest)

    def locate(self, layer: LayerRecord) -> LayerLocator:
        """Where to read a layer, best first."""
        holders = self._holders().get(layer.digest, ())
        fresh = [name for name in holders if layer.diff_id in self.layouts[name].outlines]
        key = self._key(layer.digest)
        published = repository_of(key) if key is not None else None
        first = [Place(store=Store.LAYOUT, repository=name) for name in fresh]
        others = [Place(store=Store.LAYOUT, repository=name) for name in holders if name not in fresh]
        ours = [Place(store=Store.TARGET, repository=published)] if published is not None else []
        is_bucket = self.target.properties.stores_headers
        return LayerLocator(layer=layer, places=(*first, *others, *ours) if is_bucket else (*first, *ours, *others))

    def open(self, place: Place, layer: LayerRecord) -> Content | None:
        """The layer as it stands at `place`, unverified; None where there is no such layout or file."""
        if place.store is Store.LAYOUT:
            layout = self.layouts.get(place.repository)
            return layout.content(layer.digest) if layout is not None else None
        return StoredContent(target=self.target, key=blob_key(place.repository, layer.digest), size=layer.size)

    def _holders(self) -> Mapping[Digest, list[str]]:
        """The layouts that have each digest: they are many, and a layer is in few."""
        if self._by_digest is None:
            self._by_digest = {}
            for name, layout in self.layouts.items():
                for digest in layout.digests:
                    self._by_digest.setdefault(digest, []).append(name)
        return self._by_digest

    def _key(self, digest: Digest) -> Key | None:
        return self.stored.get(digest) or self.found.get(digest)


def certainly_stored(ledger: Ledger) -> dict[Digest, Key]:
    """For each blob and each manifest that is certainly in the target one key that has it and never changes."""
    return {
        record.digest: key
        for key, record in ledger.keys.items()
        if record.order[0] in _UNCHANGING and not record.is_pending
    }


def find_stored(ledger: Ledger, target: ReadableTarget, *, damaged: Container[Key] = ()) -> dict[Digest, Key]:
    """`certainly_stored`, and what a run that died has stored of the pending keys, by a look at each of them.

    A key that is named for the digest of its bytes holds them or is not there, since a put is verified and atomic,
    unless it is known to be `damaged`. Raises TargetError.
    """
    pending = {
        record.digest: key
        for key, record in ledger.keys.items()
        if record.is_pending
        and key not in damaged
        and (parsed := classify(key)) is not None
        and parsed.content_digest == record.digest
        and target.stat(key) is not None
    }
    return pending | certainly_stored(ledger)
