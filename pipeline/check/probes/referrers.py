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
            answer = site.host.get(repository.referrers_path(digest))
            tag = site.host.get(repository.path(referrers_tag(digest)))
            listing, instead = document_in(answer), document_in(tag)
            entries = listing.manifests if isinstance(listing, Index) else ()
            if answer.is_ok:
                yield from _of_type(answer)
                if entries and answer.content_type != OCI_INDEX and instead is None:
                    detail = f"is served as {answer.content_type or 'nothing'}, and {tag.path} answers {tag.said}"
                    yield Observation(rule=Rule.REFERRERS_LOST, path=answer.path, detail=detail)
            elif answer.status == 404:
                yield from _of_code(answer)
                if instead is None:
                    detail = f"answers {answer.said}, and {tag.path} {tag.said}"
                    yield Observation(rule=Rule.REFERRERS_THERE, path=answer.path, detail=detail)
            elif answer.status:
                yield Observation(rule=Rule.REFERRERS_DENIED, path=answer.path, detail=f"answers {answer.said}")
            is_led_on = answer.status == 404 or (answer.is_ok and answer.content_type != OCI_INDEX)
            if is_led_on and instead is None and tag.status not in {0, 404}:
                yield Observation(rule=Rule.REFERRERS_DENIED, path=tag.path, detail=f"answers {tag.said}")
            if entries and instead is None:
                detail = f"answers {tag.said}; {len(entries)} are listed at {answer.path}"
                yield Observation(rule=Rule.REFERRERS_TAG, path=tag.path, detail=detail)


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
            yield from _of_code(answer)
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


def _of_code(answer: Answer) -> Iterator[Observation]:
    """The first error of a registry's body (distribution-spec, "Error Codes")."""
    try:
        codes = [error.text("code", "") for error in Fields(parse_json_object(answer.body)).objects("errors")]
    except FieldError:
        return
    if codes[:1] == ["NAME_UNKNOWN"]:
        yield Observation(rule=Rule.REFERRERS_CODE, path=answer.path, detail="answers 404 with NAME_UNKNOWN")
