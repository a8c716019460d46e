"""What somebody else had in the target before us, such as the `index.html` of a web root.

Rule 1. A key is ours if the ledger knows it, or if it holds the very bytes that are to be written. Any other is
        somebody's, and is overwritten only when a person says so.
Rule 2. Doubted are the keys that have several forms; what is named for its digest has one. Where there was no ledger,
        the target was listed, and all are doubted; later only those outside of repositories, where others are likely.
Rule 3. A page that a person put in the place of ours, when we were told to write none, is not ours to delete either.
"""

from collections.abc import Container
from typing import Final

from ..content import chunks
from ..errors import DeltapressError, ExitCode
from ..history.ledger import Ledger
from ..keys import PAGE_KEY, PRIVATE, Key, classify
from ..oci.digest import Digest
from ..targets.base import KeyMissingError, ReadableTarget
from ..tree.static import Entry, Tree

_MAX_NAMED: Final = 5


class ForeignFilesError(DeltapressError):
    """A publish would overwrite what is not ours."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, keys: tuple[Key, ...], url: str) -> None:
        self.keys = keys
        named = ", ".join(keys[:_MAX_NAMED]) + (f" and {len(keys) - _MAX_NAMED:,} more" if keys[_MAX_NAMED:] else "")
        one = len(keys) == 1
        page = ", set `pages = false` in [site] to keep your own index.html" if PAGE_KEY in keys else ""
        super().__init__(
            f"{named}: {'is' if one else 'are'} in the target already, and not ours; nothing was written. Move "
            f"{'it' if one else 'them'} away{page}, or let `publish --adopt` overwrite {'it' if one else 'them'} "
            f"(target {url})"
        )


def foreign_keys(
    target: ReadableTarget, tree: Tree, ledger: Ledger, *, present: Container[Key] | None
) -> tuple[Key, ...]:
    """The keys of `tree` under which somebody else's bytes stand.

    `present` are the keys of the target, where it was listed. Raises TargetError.
    """
    doubted = (entry for entry in tree.in_order() if entry.key not in ledger.keys and _is_doubted(entry.key, present))
    return tuple(sorted(entry.key for entry in doubted if _holds_other(target, entry)))


def without_foreign_page(target: ReadableTarget, ledger: Ledger) -> Ledger:
    """`ledger`, without the page if somebody has put another one there. Raises TargetError."""
    known = ledger.keys.get(PAGE_KEY)
    if known is None or _digest_of(target, PAGE_KEY, known.digest) in {None, known.digest.hex}:
        return ledger
    return ledger.without_keys({PAGE_KEY})


def _is_doubted(key: Key, present: Container[Key] | None) -> bool:
    parsed = classify(key)
    if key.startswith(f"{PRIVATE}/") or parsed is None or parsed.digest is not None:
        return False
    return parsed.repository is None if present is None else key in present


def _holds_other(target: ReadableTarget, entry: Entry) -> bool:
    stored = target.stat(entry.key)
    if stored is None:
        return False
    return stored.size != entry.size or _digest_of(target, entry.key, entry.digest) not in {None, entry.digest.hex}


def _digest_of(target: ReadableTarget, key: Key, like: Digest) -> str | None:
    hasher = like.new_hasher()
    try:
        with target.open(key) as stream:
            for data in chunks(stream):
                hasher.update(data)
    except KeyMissingError:
        return None
    return hasher.hexdigest()
