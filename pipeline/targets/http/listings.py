"""Lists that registries give in pages: tags, repositories, referrers (distribution-spec, "Listing Tags").

Rule. A list of one page is given as it came; one of several is put together to one document of the same form.
"""

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from ...keys import Key
from ...oci.fields import FieldError, Fields, parse_json_object
from ...oci.writing import write_json
from ..base import TargetError, TooLargeError
from .connections import host_of, joined
from .requests import Requests

MAX_LISTING: Final = 64 << 20
_MAX_PAGES: Final = 10_000
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel\s*=\s*"?next"?', re.IGNORECASE)


def read_listing(requests: Requests, key: Key, member: str) -> bytes:
    """The whole list, whose entries stand in `member`.

    Raises:
        TargetError: as `Requests.send`; or the list does not end, or is none.
    """
    pages = _pages(requests, key)
    first = next(pages)
    whole: dict[str, Any] | None = None
    for page in pages:
        whole = whole or _parsed(key, first, member)
        whole[member] = [*(whole[member] or ()), *(_parsed(key, page, member)[member] or ())]
    return first if whole is None else write_json(whole)


def _pages(requests: Requests, key: Key) -> Iterator[bytes]:
    url: str | None = None
    seen, left = set[str](), MAX_LISTING
    while True:
        try:
            answer, data = requests.read(key, limit=left, url=url)
        except TooLargeError:
            raise TooLargeError(key, MAX_LISTING) from None
        left -= len(data)
        yield data
        following = _next(answer.headers("Link"))
        if following is None:
            return
        url = joined(url or requests.url_of(key), following)
        if urlsplit(url)[:2] != urlsplit(requests.base)[:2]:
            raise TargetError(f"{host_of(requests.base)} continues the list on another host, {host_of(url)}", key=key)
        if url in seen or len(seen) >= _MAX_PAGES:
            raise TargetError(f"{host_of(requests.base)} gives a list that does not end", key=key)
        seen.add(url)


def _next(links: list[str]) -> str | None:
    """Where the next page is (RFC 8288)."""
    found = _NEXT.search(", ".join(links))
    return found[1] if found else None


def _parsed(key: Key, page: bytes, member: str) -> dict[str, Any]:
    try:
        document = parse_json_object(page, max_objects=None)
        if Fields(document).has(member) and not isinstance(document[member], list):
            raise FieldError(member, "must be a list")
    except FieldError as error:
        raise TargetError(f"is no list of a registry: {error}", key=key) from error
    return {member: None} | document
