"""What a source shows: its repositories, where their tags lead, what is attached to an image.

Rule 1. A store that has the publisher's ledger is asked for that and for little else: it says which bytes each key has.
        Of a key that is pending there nothing is certain, so it is read. Anything else is asked as its clients do.
Rule 2. Referrers and deltas are where clients find them; of what is un-listed at the source, nothing is mirrored.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

from ..history.ledger import Ledger, LedgerError
from ..history.records.repositories import Move
from ..history.store import load_ledger
from ..keys import CATALOG_KEY, Key, Kind, kind_of, manifest_key, referrers_key, tags_key
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..oci.manifest import MAX_MANIFEST_SIZE
from ..oci.reference import DELTA_INDEX, is_repository, is_tag
from ..publish.repair import MAX_LISTING
from ..targets.base import KeyMissingError, ReadableTarget, TargetError, read_bytes
from ..tree.contents import EMPTY_INDEX
from ..tree.published import PublishedRepository, by_repository

_EMPTY: Final = Digest.of(EMPTY_INDEX)
# what cosign names by an image; a published tree has such tags, and does not list them
_COMPANIONS: Final = ("sig", "att", "sbom")


class Source:
    """The tree or registry `tree`. Listings that `own`, the target's ledger, knows are read from `target`."""

    def __init__(self, tree: ReadableTarget, target: ReadableTarget, own: Ledger, *, has_ledger: bool) -> None:
        self.tree, self._target, self._own = tree, target, own
        self._ledger = _ledger_of(tree) if has_ledger else None
        self._tells_digests = True

    def repositories(self) -> list[str]:
        """Raises TargetError where it does not tell."""
        if self._ledger is not None:
            return sorted(self._ledger.repositories)
        try:
            return sorted(filter(is_repository, self._names(CATALOG_KEY, "repositories")))
        except KeyMissingError as error:
            raise TargetError(
                f"{self.tree.url} does not list its repositories (there is no {error.key}); name each with "
                "--repository, or, where nothing is published there, another source: a registry begins with https://"
            ) from error
        except TargetError as error:
            raise TargetError(
                f"{self.tree.url} does not list its repositories ({error}); name each with --repository"
            ) from error

    def tags(self, repository: str) -> list[str]:
        """Those that lead to images, and cosign's as far as they are listed. Raises TargetError."""
        if self._ledger is None:
            try:
                found = [tag for tag in self._names(tags_key(repository), "tags") if is_tag(tag)]
            except KeyMissingError as error:
                raise self._unknown(repository) from error
        elif repository in self._ledger.repositories:
            found = sorted(self._shown(repository).tags)
        else:
            raise self._unknown(repository)
        return [tag for tag in dict.fromkeys(found) if kind_of(tag) is Kind.TAG]

    def companions(self, image: Digest) -> Iterator[str]:
        """Tags that the tree may have and not list."""
        if self._ledger is None:
            yield from (f"{image.algorithm}-{image.hex}.{name}" for name in _COMPANIONS)

    def untagged(self, repository: str) -> list[Digest]:
        """Images that no tag leads to, as far as the source tells of any."""
        record = None if self._ledger is None else self._ledger.repositories.get(repository)
        if record is None:
            return []
        there = self._shown(repository).manifests
        tagged = {known.image for known in record.tags.values()}
        return [
            digest
            for digest, image in record.images.items()
            if digest in there and digest not in tagged and image.subject is None
        ]

    def moves(self, repository: str, tag: str) -> tuple[Move, ...]:
        """Where a tag has pointed, as far as the source tells."""
        record = None if self._ledger is None else self._ledger.repositories.get(repository)
        known = None if record is None else record.tags.get(tag)
        return () if known is None else known.moves

    def lead(self, repository: str, tag: str, known: Digest | None) -> tuple[Digest, bytes | None]:
        """Where a tag leads, and the bytes where they had to be read for that; `known` is where it led before.

        Raises KeyMissingError, TargetError.
        """
        key = manifest_key(repository, tag)
        if (certain := self._certain(key)) is not None:
            return certain, None
        if known is not None and self._tells_digests:
            stored = self.tree.stat(key)
            if stored is not None and stored.headers is not None and stored.headers.digest is not None:
                return stored.headers.digest, None
            self._tells_digests = False  # a web server does not know where a tag leads
        raw = read_bytes(self.tree, key, limit=MAX_MANIFEST_SIZE)
        return Digest.of(raw), raw

    def delta_index(self, repository: str) -> bytes | None:
        """The listing of deltas; None where there is none. Raises TargetError."""
        return self._listing(manifest_key(repository, DELTA_INDEX))

    def referrers(self, repository: str, subject: Digest) -> bytes | None:
        """What is attached to a document; None where it does not tell. Raises TargetError."""
        return self._listing(referrers_key(repository, subject))

    def _unknown(self, repository: str) -> TargetError:
        return TargetError(f"{self.tree.url} shows no {tags_key(repository)}; correct the name, or publish it there")

    def _listing(self, key: Key) -> bytes | None:
        certain = self._certain(key)
        if certain == _EMPTY:
            return EMPTY_INDEX
        own = self._own.keys.get(key)
        if certain is not None and own is not None and own.digest == certain and not own.is_pending:
            raw = read_bytes(self._target, key, limit=MAX_LISTING)
            if Digest.of(raw) == certain:
                return raw
        if certain is None and self._ledger is not None and key not in self._ledger.keys:
            return None
        try:
            return read_bytes(self.tree, key, limit=MAX_LISTING)
        except KeyMissingError:
            return None

    def _certain(self, key: Key) -> Digest | None:
        record = None if self._ledger is None else self._ledger.keys.get(key)
        return None if record is None or record.is_pending else record.digest

    def _shown(self, repository: str) -> PublishedRepository:
        return self._by_repository.get(repository) or PublishedRepository(name=repository)

    @cached_property
    def _by_repository(self) -> Mapping[str, PublishedRepository]:
        keys = self._ledger.keys if self._ledger is not None else {}
        return by_repository(key for key, record in keys.items() if record.unreferenced is None)

    def _names(self, key: Key, member: str) -> tuple[str, ...]:
        try:
            raw = read_bytes(self.tree, key, limit=MAX_LISTING)
            return Fields(parse_json_object(raw, max_objects=None)).list_of_texts(member)
        except FieldError as error:
            raise TargetError(f"is no list of a registry: {error}", key=key) from error


def _ledger_of(tree: ReadableTarget) -> Ledger | None:
    """None also for one of which a part is damaged: the tree itself tells. Raises LedgerError for that of a newer
    deltapress."""
    try:
        stored = load_ledger(tree)
    except LedgerError as error:
        if error.is_newer:
            raise
        return None
    return None if stored is None or stored.bad else stored.ledger
