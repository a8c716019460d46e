"""What the server does with conditional writes: found out once per store, and remembered there.

Rule 1. Servers enforce a condition (412), ignore it (200) or do not know it (501). One that is not enforced is never
        sent, and what it would have protected is looked at first, which is not atomic.
Rule 2. The answer lies beside the ledger, in an object of the target's own; delete it to have the server asked again.
"""

import json
import secrets
from dataclasses import dataclass
from typing import Final

from ...keys import JSON, MUTABLE, PRIVATE, Key
from ..base import TEMPORARY_PREFIX, KeyMissingError, TargetError
from .probe import PROBE, PROBE_HEADERS, check_kept
from .store import ABSENT, ConditionError, ObjectHeaders, ObjectStore, UnsupportedError, Version

ANSWER_KEY: Final = Key(f"{PRIVATE}/{TEMPORARY_PREFIX}conditions.json")
OWN: Final = ObjectHeaders(content_type=JSON, cache_control=MUTABLE)
_MAX_ANSWER: Final = 4096
_NOBODY: Final = Version("0" * 32)  # in the form of an ETag, and none of these bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Which conditions the server enforces."""

    if_none_match: bool
    if_match: bool

    @property
    def are_enforced(self) -> bool:
        return self.if_none_match and self.if_match

    def enforced(self, over: Version | None) -> Version | None:
        """`over` where a write may carry it as its condition, else None."""
        if over is None:
            return None
        return over if (self.if_none_match if over.etag is None else self.if_match) else None

    @property
    def lost(self) -> str | None:
        """What is not guaranteed on this server, for people."""
        if self.are_enforced:
            return None
        names = [
            name
            for name, is_enforced in (("If-None-Match", self.if_none_match), ("If-Match", self.if_match))
            if not is_enforced
        ]
        return (
            f"the server does not enforce {' and '.join(names)}: two publishers that start within the same second may "
            "both take the lock, and what a rival writes is noticed only if it came before we looked"
        )


def conditions_of(store: ObjectStore) -> Conditions:
    """The remembered answer, or that of asking now. Raises TargetError."""
    known = _read(store)
    if known is None:
        known = _ask(store)
        document = {"schema": 1, "if_none_match": known.if_none_match, "if_match": known.if_match}
        store.put(ANSWER_KEY, json.dumps(document).encode() + b"\n", OWN)
    return known


def _read(store: ObjectStore) -> Conditions | None:
    try:
        _, body = store.get(ANSWER_KEY)
    except KeyMissingError:
        return None
    try:
        document = json.loads(body.read(_MAX_ANSWER))
    except (ValueError, RecursionError):
        return None
    finally:
        body.close()
    match document:
        case {"schema": 1, "if_none_match": bool(if_none_match), "if_match": bool(if_match)}:
            return Conditions(if_none_match=if_none_match, if_match=if_match)
    return None


def _ask(store: ObjectStore) -> Conditions:
    key = Key(f"{PRIVATE}/{TEMPORARY_PREFIX}probe-{secrets.token_hex(8)}")
    etag = store.put(key, PROBE, PROBE_HEADERS)
    try:
        check_kept(store, key, PROBE, PROBE_HEADERS)
        return Conditions(
            if_none_match=_is_refused(store, key, ABSENT),
            # enforced means both: the wrong ETag is refused, and the right one is not
            if_match=_is_refused(store, key, _NOBODY) and not _is_refused(store, key, Version(etag)),
        )
    finally:
        store.delete(key)


def _is_refused(store: ObjectStore, key: Key, over: Version) -> bool:
    try:
        store.put(key, PROBE, PROBE_HEADERS, over=over)
    except ConditionError:
        return True
    except UnsupportedError:
        return False
    except TargetError as error:
        raise TargetError(f"the server cannot be asked about conditional writes: {error.problem}", key=key) from error
    return False
