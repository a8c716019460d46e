"""What caches are told: how long they may keep what changes, and whether they may compress; and what they give out."""

from collections.abc import Iterator
from typing import Final

from ...keys import CATALOG_KEY, FLATPAK_INDEX_KEY, tags_key
from ..answers import Answer, number
from ..rules import Observation, Rule
from ..survey import MAX_LISTING, Site, document_in
from .blobs import blob_answer

_SHORT: Final = 60  # seconds that do not matter to who publishes once a night
_LONG: Final = 86_400
_TAGS: Final = 3  # of a repository that are asked for past the caches
# A query that no cache knows, and no static host looks at.
_PAST_CACHES: Final = "?deltapress-check=past-caches"


def lifetimes(site: Site) -> Iterator[Observation]:
    for answer in _mutable(site):
        seconds = lifetime(answer)
        if answer.is_ok and seconds > _SHORT:
            rule = Rule.CACHED_LONG if seconds >= _LONG else Rule.CACHED
            detail = f"may be kept for {seconds:,} s (Cache-Control: {answer.header('cache-control')})"
            yield Observation(rule=rule, path=answer.path, detail=detail)
    answer = site.host.get(f"/{FLATPAK_INDEX_KEY}", limit=MAX_LISTING)
    if answer.is_ok and not answer.cache_rules and answer.header("expires") is None:
        yield Observation(rule=Rule.FLATPAK_CACHE, path=answer.path, detail="has neither Cache-Control nor Expires")


def transforms(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        answers = [site.host.get(repository.path(reference)) for reference, _ in repository.references]
        answers += [blob_answer(site.host, repository, blob) for blob in repository.blobs]
        for answer in answers:
            if answer.is_ok and "no-transform" not in answer.cache_rules:
                detail = f"has Cache-Control: {answer.header('cache-control') or 'nothing'}"
                yield Observation(rule=Rule.NO_TRANSFORM, path=answer.path, detail=detail)


def stale(site: Site) -> Iterator[Observation]:
    """A tag as everybody gets it, beside the one that comes past caches."""
    for repository in site.repositories:
        for tag in [*repository.tags][:_TAGS]:
            path = repository.path(tag)
            fresh = document_in(site.host.get(f"{path}{_PAST_CACHES}", Cache_Control="no-cache"))
            if fresh is not None and fresh.digest != repository.tags[tag].digest:
                age = site.host.get(path).header("age")
                detail = (
                    f"is {repository.tags[tag].digest.short}{f' (Age: {age} s)' if age else ''}, past caches it is "
                )
                yield Observation(rule=Rule.STALE, path=path, detail=f"{detail}{fresh.digest.short}")


def lifetime(answer: Answer) -> int:
    """For how many seconds a shared cache may give this out without asking again; 0 where nothing is said."""
    rules = answer.cache_rules
    if rules.keys() & {"no-cache", "no-store", "private"}:
        return 0
    for name in ("s-maxage", "max-age"):
        if name in rules:
            return number(rules[name]) or 0
    return 0


def _mutable(site: Site) -> Iterator[Answer]:
    for repository in site.repositories:
        for tag in (*repository.tags, *repository.listings):
            yield site.host.get(repository.path(tag))
        for digest in repository.documents:
            yield site.host.get(repository.referrers_path(digest))
        yield site.host.get(f"/{tags_key(repository.name)}", limit=MAX_LISTING)
    for key in (CATALOG_KEY, FLATPAK_INDEX_KEY):
        yield site.host.get(f"/{key}", limit=MAX_LISTING)
