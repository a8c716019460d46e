"""Names of repositories and tags (distribution-spec, "Pulling manifests", the grammar of <name> and <reference>)."""

import re
from typing import Final

from ..errors import DeltapressError
from .digest import Digest, DigestError

# The length of a name leaves room for a host: docker and containerd count both and refuse more than 255.
_NAME: Final = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_MAX_NAME: Final = 200

# the grammar of tags, for messages
TAG_RULE: Final = "1 to 128 letters, digits, '_', '.' and '-', the first of which is neither '.' nor '-'"

DELTA_INDEX: Final = "_deltaindex"
_REFERRERS_TAG: Final = re.compile(r"(sha256|sha512)-([0-9a-f]{64,128})(\..*)?")


class NameGrammarError(DeltapressError):
    """A repository name or a tag that registries and clients refuse."""


def check_repository(name: str) -> str:
    """Return `name` if it is a legal repository name.

    Raises:
        NameGrammarError: saying what is wrong with it.
    """
    if len(name) > _MAX_NAME:
        raise NameGrammarError(
            f"repository name {name[:40]!r}… has {len(name)} characters, at most {_MAX_NAME} are allowed"
        )
    if not is_repository(name):
        raise NameGrammarError(
            f"repository name {name!r} is not allowed; "
            "use lower-case letters and digits, joined by '.', '_', '__' or '-', in parts joined by '/'"
        )
    return name


def is_repository(text: str) -> bool:
    return len(text) <= _MAX_NAME and _NAME.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    return _TAG.fullmatch(text) is not None


def is_reserved_tag(tag: str) -> bool:
    """True for tags that carry listings instead of images: `_deltaindex` and the referrers fallback `sha256-<hex>`.

    Also for cosign's `sha256-<hex>.sig`; `tags/list` leaves all of them out, because `docker pull -a` walks it and
    aborts on what is not an image.
    """
    return tag == DELTA_INDEX or _REFERRERS_TAG.fullmatch(tag) is not None


def attached_to(tag: str) -> Digest | None:
    """What a tag made of a digest belongs to: a fallback listing of referrers, or cosign's `sha256-<hex>.sig`."""
    match = _REFERRERS_TAG.fullmatch(tag)
    try:
        return Digest.parse(f"{match[1]}:{match[2]}") if match else None
    except DigestError:
        return None
