"""Manifests and indexes, by tag and by digest: whether they are there, what they are called, what HEAD says of them."""

from collections.abc import Iterator
from typing import Final

from ...oci.digest import Digest
from ...oci.fields import Fields, parse_json_object
from ...oci.manifest import Index, successors
from ..answers import Answer
from ..rules import Observation, Rule
from ..survey import Gone, Repository, Site, digest_like, document_in

# of nothing: no manifest and no blob is empty
MISSING_DIGEST: Final = Digest.of(b"")
MISSING_TAG: Final = "deltapress-check-of-a-missing-tag"


def there(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        for reference, gone in repository.gone.items():
            path = repository.path(reference)
            answer = site.host.get(path)
            how = f"answers {answer.said}" + (", and is no manifest" if answer.is_ok else "")
            if isinstance(reference, Digest) and document_in(site.host.get(_escaped(path))) is not None:
                yield Observation(rule=Rule.COLON, path=path, detail=f"{how}; with %3A it is there")
                continue
            rule = _rule_of(repository, reference, gone)
            yield Observation(rule=rule, path=path, detail=f"{how}; {gone.named_by} names it")


def _rule_of(repository: Repository, reference: str | Digest, gone: Gone) -> Rule:
    """Which rule is broken by a manifest that is not there."""
    if not isinstance(reference, Digest):
        return Rule.MANIFEST_THERE
    index = repository.documents.get(gone.index) if gone.index is not None else None
    if index is None:
        return Rule.TAG_BY_DIGEST
    is_left = any(child.digest not in repository.gone for child in successors(index).documents)
    return Rule.PLATFORM_THERE if is_left else Rule.MANIFEST_THERE


def types(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        for reference, document in repository.references:
            path = repository.path(reference)
            answer = site.host.get(path)
            if answer.media_type == document.media_type:
                if isinstance(document, Index) and answer.content_type != document.media_type:
                    detail = f"is served {_as(answer)}"
                    yield Observation(rule=Rule.INDEX_TYPE_EXACT, path=path, detail=detail)
                continue
            detail = f"is served {_as(answer)}, and is {document.media_type}"
            rule = Rule.INDEX_TYPE if isinstance(document, Index) else Rule.MANIFEST_TYPE
            yield Observation(rule=rule, path=path, detail=detail)
            if not Fields(parse_json_object(document.raw)).has("mediaType"):
                yield Observation(rule=Rule.MANIFEST_TYPE_ALONE, path=path, detail=detail)


def digests(site: Site) -> Iterator[Observation]:
    """The bytes, and what Docker-Content-Digest says of them."""
    for repository in site.repositories:
        for reference, document in repository.references:
            path = repository.path(reference)
            digest = digest_like(reference, document.raw)
            if isinstance(reference, Digest) and digest != reference:
                yield Observation(rule=Rule.MANIFEST_BYTES, path=path, detail=f"has the digest {digest}")
            for answer in (site.host.get(path), site.host.head(path)):
                named = answer.header("docker-content-digest")
                if answer.is_ok and named is not None and named not in {str(digest), str(document.digest)}:
                    detail = f"{answer.method} says {named}, and it is {digest}"
                    yield Observation(rule=Rule.DIGEST_HEADER, path=path, detail=detail)
                elif answer.is_ok and named is None and reference in repository.tags and answer.method == "HEAD":
                    yield Observation(rule=Rule.TAG_DIGEST_HEADER, path=path, detail="HEAD names no digest")


def heads(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        for reference, document in repository.references:
            path = repository.path(reference)
            answer, got = site.host.head(path), site.host.get(path)
            if not answer.is_ok:
                rule = Rule.HEAD if answer.status == 405 else Rule.HEAD_DENIED
                yield Observation(rule=rule, path=path, detail=f"HEAD answers {answer.said}, GET {got.said}")
                continue
            if answer.content_type != got.content_type:
                detail = f"HEAD is answered {_as(answer)}, GET {_as(got)}"
                yield Observation(rule=Rule.HEAD_TYPE, path=path, detail=detail)
            if answer.length is None:
                yield Observation(rule=Rule.HEAD_LENGTH, path=path, detail="HEAD has no Content-Length")
            elif answer.length != len(document.raw):
                detail = f"HEAD says {answer.length:,} bytes, GET gives {len(document.raw):,}"
                yield Observation(rule=Rule.LENGTH, path=path, detail=detail)


def missing(site: Site) -> Iterator[Observation]:
    """What is not there must be 404."""
    for repository in site.repositories:
        for path, rule in (
            (repository.path(MISSING_TAG), Rule.MISSING_MANIFEST),
            (repository.blob_path(MISSING_DIGEST), Rule.MISSING_BLOB),
        ):
            answer = site.host.get(path)
            if answer.is_ok:
                yield Observation(rule=Rule.MISSING_PAGE, path=path, detail=f"answers {answer.said}")
            elif answer.status not in {0, 404}:
                yield Observation(rule=rule, path=path, detail=f"answers {answer.said}")


def names(site: Site) -> Iterator[Observation]:
    """Other spellings of a name."""
    for repository in site.repositories:
        for digest in [*repository.documents][:1]:
            path = _escaped(repository.path(digest))
            answer = site.host.get(path)
            if document_in(answer) is None:
                yield Observation(rule=Rule.ENCODED_COLON, path=path, detail=f"answers {answer.said}")
        for tag in [tag for tag in repository.tags if tag.swapcase() != tag][:1]:
            if tag.swapcase() in (repository.listed or ()):
                continue
            path = repository.path(tag.swapcase())
            if document_in(site.host.get(path)) is not None:
                yield Observation(rule=Rule.CASE, path=path, detail=f"is answered as {tag} is")


def _escaped(path: str) -> str:
    return path.replace(":", "%3A")


def _as(answer: Answer) -> str:
    return f"as {answer.content_type}" if answer.content_type else "without a type"
