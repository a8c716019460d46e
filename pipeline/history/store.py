"""Where the ledger lies: a root, a document for each repository, a journal. Only what changed is read and written.

Rule 1. Documents are written first, then the root, which is the moment at which they begin to hold; then those that it
        no longer names are deleted, and the journal, which has said all this before.
Rule 2. Nothing is written that could not be read again.
Rule 3. A document that is damaged or missing is the problem of its repository alone.
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from ..content import BytesContent
from ..keys import IMMUTABLE, JSON, LEDGER_KEY, MUTABLE, Headers, Key, journal_key, ledger_document_key
from ..oci.digest import Digest
from ..oci.fields import FieldError, Fields, parse_json_object
from ..parallel import threads
from ..targets.base import KeyMissingError, ReadableTarget, Target, TooLargeError, read_bytes
from .documents import MAX_DOCUMENT_SIZE, MAX_ROOT_SIZE, Part, Rest, Root, divide, join
from .journal import Entry, Journal, mark_of, read_journal
from .ledger import SCHEMA, Ledger, LedgerError
from .records.deltas import DeltaRecord
from .whole import read_whole

_CHANGING: Final = Headers(content_type=JSON, cache_control=MUTABLE)
_LASTING: Final = Headers(content_type=JSON, cache_control=IMMUTABLE)
_NONE_KNOWN: Final[Mapping[str, Rest | None]] = MappingProxyType({})
_TRIES: Final = 3  # of a reader without a lock, beside a publisher who replaces what it reads


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLedger:
    """A ledger as it was found.

    `bad` says of each repository whose document cannot be read what is wrong with it; `ledger` knows nothing of those.
    `root` is None where there is none, or a ledger of an older schema; `mark` is by which the journal names it.
    """

    ledger: Ledger
    bad: Mapping[str, str] = field(default_factory=dict)
    root: Root | None = None
    mark: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)


class LedgerStore:
    """The ledger of one target, for the publisher that holds its lock."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._root: Root | None = None
        self._mark = ""
        self._parts: Mapping[str, Part] = {}
        self._peeked: tuple[bytes | None, Journal] | None = None
        # as in the journal: how many entries hold, and the folded ones behind them
        self._entries = 0
        self._named: frozenset[Digest] = frozenset()
        self._left = 0
        self._left_named: frozenset[Digest] = frozenset()

    @property
    def has_ledger(self) -> bool:
        """True where there was one that could be read, or one was written since."""
        return bool(self._mark)

    @property
    def keys(self) -> frozenset[Key]:
        """Those under which the ledger itself lies."""
        entries = range(1, self._entries + self._left + 1)
        return frozenset({LEDGER_KEY, *map(ledger_document_key, self._documents.values()), *map(journal_key, entries)})

    @property
    def repositories(self) -> Set[str]:
        """All of which the stored root knows something."""
        return self._documents.keys()

    @property
    def at_rest(self) -> Mapping[str, Rest]:
        """Those of which it says that they are at rest."""
        return self._root.rests if self._root is not None else {}

    def peek(self) -> Root | None:
        """The root, where it says all that there is to say. Raises TargetError."""
        raw = _read_root(self.target)
        self._peeked = raw, read_journal(self.target, mark_of(raw))
        if raw is None or self._peeked[1].length:
            return None
        try:
            fields = Fields(parse_json_object(raw, max_objects=None))
            return Root.read(fields) if fields.integer("schema") == SCHEMA else None
        except FieldError:
            return None

    def load(self) -> StoredLedger | None:
        """None when there is none. Raises LedgerError for one that cannot be read as a whole, and TargetError."""
        found = _read_below(self.target, *self._peeked) if self._peeked is not None else _read(self.target)
        self._peeked = None
        self._root, self._mark, self._parts = found.root, found.mark, found.parts
        self._entries, self._named = len(found.journal.entries), found.journal.documents
        self._left, self._left_named = found.journal.left, found.journal.left_documents
        return found if found.mark else None

    def save(self, ledger: Ledger, rests: Mapping[str, Rest | None] = _NONE_KNOWN) -> bool:
        """Write what differs from the stored ledger, and say whether something did.

        Of the repositories that `rests` does not name, those stay at rest whose documents do not change; none does when
        what is retracted changes, which concerns any.

        Raises:
            LedgerError: `load` would refuse it; nothing was written.
            TargetError: the storage failed.
        """
        parts, shared = divide(ledger)
        raws = {name: part.serialise(name) for name, part in parts.items() if part != self._parts.get(name)}
        documents = {name: Digest.of(raws[name]) if name in raws else self._documents[name] for name in parts}
        found = {**self._still_at_rest(documents, ledger), **rests}
        root = Root(
            documents=documents,
            rests={name: rest for name, rest in found.items() if rest is not None and name in documents},
            keys=shared,
            retractions=ledger.retractions,
            remotes=ledger.remotes,
            renewed=ledger.renewed,
        )
        if root == self._root and not self._entries:
            self._delete_left()
            return False
        raw = root.serialise()
        _check_sizes(raw, raws)
        before = frozenset(self._documents.values())
        new = {documents[name]: raws[name] for name in raws if documents[name] not in before}
        gone = (before | self._named) - {*documents.values()}
        self._delete_left()
        if new or gone:
            self._append(Entry(documents=tuple(sorted({*new, *gone}))))
        with threads(self.target.properties.concurrency) as each:
            for _ in each(lambda digest: self._put_document(digest, new[digest]), new):
                pass
            if root != self._root:
                self.target.put(LEDGER_KEY, BytesContent(raw), _CHANGING, digest=Digest.of(raw))
                self._mark = mark_of(raw)
            self._root, self._parts = root, parts
            self._left, self._left_named = self._entries, gone
            self._entries, self._named = 0, frozenset()
        self._delete_left()
        return True

    def note(self, delta: DeltaRecord, repositories: Iterable[str]) -> None:
        """Remember a result at once, whose blob is about to be stored in `repositories`; the next save says so too.

        Raises TargetError.
        """
        self._delete_left()
        self._append(Entry(delta=delta, repositories=tuple(repositories)))

    @property
    def _documents(self) -> Mapping[str, Digest]:
        return self._root.documents if self._root is not None else {}

    def _still_at_rest(self, documents: Mapping[str, Digest], ledger: Ledger) -> Mapping[str, Rest]:
        if self._root is None or ledger.retractions != self._root.retractions:
            return {}
        return {name: rest for name, rest in self.at_rest.items() if documents.get(name) == self._documents[name]}

    def _append(self, entry: Entry) -> None:
        raw = entry.serialise(self._mark)
        self.target.put(journal_key(self._entries + 1), BytesContent(raw), _CHANGING, digest=Digest.of(raw))
        self._entries += 1

    def _put_document(self, digest: Digest, raw: bytes) -> None:
        self.target.put(ledger_document_key(digest), BytesContent(raw), _LASTING, digest=digest)

    def _delete_left(self) -> None:
        """Delete the entries that were folded into the root, after the documents that they name and it does not."""
        if not self._left:
            return
        gone = self._left_named - {*self._documents.values()}
        with threads(self.target.properties.concurrency) as each:
            for _ in each(self.target.delete, map(ledger_document_key, sorted(gone))):
                pass
        while self._left:
            self.target.delete(journal_key(self._entries + self._left))
            self._left -= 1
        self._left_named = frozenset()


def load_ledger(target: ReadableTarget) -> StoredLedger | None:
    """The ledger, for those who do not write it; None when there is none. Raises LedgerError, TargetError."""
    found = _read(target)
    return found if found.mark else None


def _read(target: ReadableTarget) -> StoredLedger:
    """Of an empty mark where there is no ledger."""
    raw = _read_root(target)
    for _ in range(_TRIES):
        found = _read_below(target, raw, read_journal(target, mark_of(raw)))
        if not found.bad:
            break
        # a publisher may have replaced what this root names, while it was read by somebody without a lock
        again = _read_root(target)
        if again == raw:
            break
        raw = again
    return found


def _read_root(target: ReadableTarget) -> bytes | None:
    try:
        return read_bytes(target, LEDGER_KEY, limit=MAX_ROOT_SIZE)
    except KeyMissingError:
        return None


def _read_below(target: ReadableTarget, raw: bytes | None, journal: Journal) -> StoredLedger:
    mark = mark_of(raw)
    if raw is None:
        return StoredLedger(ledger=Ledger(), journal=journal)
    try:
        fields = Fields(parse_json_object(raw, max_objects=None))
        schema = fields.integer("schema")
        if schema > SCHEMA:
            raise LedgerError(
                f"has schema {schema}, this deltapress knows up to {SCHEMA}; use the newer one that wrote it",
                is_newer=True,
            )
        if schema < SCHEMA:
            return StoredLedger(ledger=read_whole(fields), mark=mark, journal=journal)
        root = Root.read(fields)
    except FieldError as error:
        raise LedgerError(f"cannot be read: {error}") from error
    parts, bad = _read_parts(target, root)
    ledger = join(parts, root)
    for entry in journal.entries:
        ledger = entry.applied(ledger)
    return StoredLedger(ledger=ledger, bad=bad, root=root, mark=mark, parts=parts, journal=journal)


def _read_parts(target: ReadableTarget, root: Root) -> tuple[dict[str, Part], dict[str, str]]:
    parts: dict[str, Part] = {}
    bad: dict[str, str] = {}
    with threads(target.properties.concurrency) as each:
        for name, part in zip(
            root.documents, each(lambda item: _read_part(target, *item), root.documents.items()), strict=True
        ):
            if isinstance(part, Part):
                parts[name] = part
            else:
                bad[name] = part
    return parts, bad


def _read_part(target: ReadableTarget, name: str, digest: Digest) -> Part | str:
    """The part of a repository, or what is wrong with its document, in words. Raises TargetError."""
    key = ledger_document_key(digest)
    try:
        raw = read_bytes(target, key, limit=MAX_DOCUMENT_SIZE)
        if Digest.of(raw) != digest:
            return f"{key}: is damaged: its {len(raw):,} bytes have another digest"
        return Part.parse(name, raw)
    except (KeyMissingError, TooLargeError) as error:
        return str(error)
    except FieldError as error:
        return f"{key}: cannot be read: {error}"


def _check_sizes(root: bytes, documents: Mapping[str, bytes]) -> None:
    """Raises LedgerError for what `load` would refuse."""
    for name, raw, most in (
        ("the root", root, MAX_ROOT_SIZE),
        *((f"the document of {name}", raw, MAX_DOCUMENT_SIZE) for name, raw in documents.items()),
    ):
        if len(raw) > most:
            raise LedgerError(
                f"{name} would have {len(raw):,} bytes, at most {most:,} are read again, so all is left as it was; "
                "publish some of the repositories to another target, or fewer tags"
            )
