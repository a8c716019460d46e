"""What is attached to a manifest: its listing, and the tag that stands in for it."""

from collections.abc import Iterator

from ...deltas.formats import FORMATS
from ...keys import referrers_tag
from ...oci.digest import Digest
from ...oci.fields import FieldError, Fields, parse_json_object
from ...oci.manifest import Index, successors
from ...oci.media_types import OCI_INDEX
from ..answers import Answer
from ..rules import Observation, Rule
from ..survey import Repository, Site, document_in
from .manifests import MISSING_DIGEST


def known(site: Site) -> Iterator[Observation]:
    """The referrers of each manifest."""
    for repository in site.repositories:
        for digest in repository.documents:
            path = repository.referrers_path(digest)
            answer = site.host.get(path)
            tag = repository.path(referrers_tag(digest))
            listing = document_in(answer)
            if answer.is_ok:
                yield from _of_type(answer)
            elif answer.status == 404:
                if _code(answer) == "NAME_UNKNOWN":
                    yield Observation(rule=Rule.REFERRERS_CODE, path=path, detail="answers 404 with NAME_UNKNOWN")
                if document_in(site.host.get(tag)) is None:
                    yield Observation(rule=Rule.REFERRERS_THERE, path=path, detail=f"answers {answer.said}, {tag} too")
            elif answer.status:
                yield Observation(rule=Rule.REFERRERS_DENIED, path=path, detail=f"answers {answer.said}")
            if isinstance(listing, Index) and listing.manifests and document_in(site.host.get(tag)) is None:
                detail = f"answers {site.host.get(tag).said}; {len(listing.manifests)} are listed at {path}"
                yield Observation(rule=Rule.REFERRERS_TAG, path=tag, detail=detail)


def of_indexes(site: Site) -> Iterator[Observation]:
    """Who resolved a tag knows the digest of the index alone."""
    for repository in site.repositories:
        for document in repository.tags.values():
            if isinstance(document, Index):
                children = [child.digest for child in successors(document).documents]
                inside = {found for child in children for found in delta_artifacts(site, repository, child)}
                absent = inside - delta_artifacts(site, repository, document.digest)
                if absent:
                    detail = f"leaves out {len(absent)} artifacts with deltas, which its platforms have"
                    path = repository.path(referrers_tag(document.digest))
                    yield Observation(rule=Rule.REFERRERS_OF_INDEX, path=path, detail=detail)


def unknown(site: Site) -> Iterator[Observation]:
    """The referrers of a digest that nobody has published."""
    for repository in site.repositories:
        path = repository.referrers_path(MISSING_DIGEST)
        answer = site.host.get(path)
        if answer.is_ok:
            yield from _of_type(answer)
        elif answer.status == 404:
            yield Observation(rule=Rule.REFERRERS_UNKNOWN, path=path, detail=f"answers {answer.said}")
            if _code(answer) == "NAME_UNKNOWN":
                yield Observation(rule=Rule.REFERRERS_CODE, path=path, detail="answers 404 with NAME_UNKNOWN")
        elif answer.status:
            yield Observation(rule=Rule.REFERRERS_UNKNOWN_DENIED, path=path, detail=f"answers {answer.said}")


def delta_artifacts(site: Site, repository: Repository, digest: Digest) -> set[Digest]:
    """The artifacts with deltas that are found for `digest`, by the tag or by the listing."""
    found = set()
    for path in (repository.referrers_path(digest), repository.path(referrers_tag(digest))):
        listing = document_in(site.host.get(path))
        for delta_format in FORMATS:
            if delta_format.tag is None and isinstance(listing, Index):
                found |= {entry.descriptor.digest for entry in delta_format.parse_listing(listing).documents}
    return found


def _of_type(answer: Answer) -> Iterator[Observation]:
    if answer.content_type != OCI_INDEX:
        detail = f"is served as {answer.content_type or 'nothing'}, not as {OCI_INDEX}"
        yield Observation(rule=Rule.REFERRERS_TYPE, path=answer.path, detail=detail)
    elif not isinstance(document_in(answer), Index):
        yield Observation(rule=Rule.REFERRERS_TYPE, path=answer.path, detail="is no index")


def _code(answer: Answer) -> str | None:
    """The first error code of a registry's body (distribution-spec, "Error Codes")."""
    try:
        errors = Fields(parse_json_object(answer.body)).objects("errors")
        return errors[0].optional_text("code") if errors else None
    except FieldError:
        return None
