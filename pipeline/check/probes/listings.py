"""The lists of tags and of repositories, and the publisher's, which is nobody else's."""

from collections.abc import Iterator

from ...keys import CATALOG_KEY, LEDGER_KEY, tags_key
from ...oci.fields import FieldError, parse_json_object
from ...oci.reference import is_reserved_tag
from ..rules import Observation, Rule
from ..survey import MAX_LISTING, Site, catalog


def tags(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        path = f"/{tags_key(repository.name)}"
        answer = site.host.get(path, limit=MAX_LISTING)
        if repository.listed is None:
            how = ", and is no list of tags" if answer.is_ok else ""
            yield Observation(rule=Rule.TAGS_LIST, path=path, detail=f"answers {answer.said}{how}")
        reserved = [tag for tag in repository.listed or () if is_reserved_tag(tag)]
        if reserved:
            yield Observation(rule=Rule.TAGS_ARE_IMAGES, path=path, detail=f"lists {reserved[0]}")


def repositories(site: Site) -> Iterator[Observation]:
    path = f"/{CATALOG_KEY}"
    answer = site.host.get(path, limit=MAX_LISTING)
    if catalog(answer) is None:
        how = ", and is no list of repositories" if answer.is_ok else ""
        yield Observation(rule=Rule.CATALOG, path=path, detail=f"answers {answer.said}{how}")


def ledger(site: Site) -> Iterator[Observation]:
    """A page or an error for everything that is missing is no ledger."""
    path = f"/{LEDGER_KEY}"
    answer = site.host.get(path, limit=MAX_LISTING)
    raw = answer.decoded(limit=MAX_LISTING) if answer.is_ok else None
    try:
        is_served = raw is not None and "schema" in parse_json_object(raw)
    except FieldError:
        return
    if is_served:
        yield Observation(rule=Rule.PUBLISHER_STATE, path=path, detail=f"answers {answer.said}")
