"""Content-Encoding: what is sent to who does not ask for it, and to who would take it, as most clients say."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.manifest import Document
from ..answers import Answer
from ..rules import Observation, Rule
from ..survey import Site, digest_like, spread
from .blobs import blob_answer

_MANIFESTS: Final = 6  # that are asked for again: proxies choose by type, by size and by name
_DECODED: Final = 64 << 20


def encodings(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        documents = dict(repository.references)
        for reference in (*documents, *repository.gone):
            document = documents.get(reference)
            yield from _encoded(site.host.get(repository.path(reference)), _content(reference, document))
        largest = sorted(documents, key=lambda reference: len(documents[reference].raw))
        for reference in spread(largest, _MANIFESTS):
            path = repository.path(reference)
            asked = site.host.get(path, Accept_Encoding="gzip")
            yield from _encoded(asked, _content(reference, documents[reference]))
            is_named = site.host.head(path).header("docker-content-digest") is not None
            if reference in repository.tags and asked.is_ok and asked.encoding is not None and not is_named:
                detail = f"has Content-Encoding: {asked.encoding}, and HEAD names no digest"
                yield Observation(rule=Rule.COMPRESSED_TAG, path=path, detail=detail)
        for blob in repository.blobs:
            yield from _encoded(blob_answer(site.host, repository, blob), blob)
            yield from _encoded(blob_answer(site.host, repository, blob, Accept_Encoding="gzip"), blob)


def _content(reference: str | Digest, document: Document | None) -> Descriptor | None:
    """What a manifest is, as a descriptor would say it."""
    if document is None:
        return None
    return replace(document.descriptor(), digest=digest_like(reference, document.raw))


def _encoded(answer: Answer, content: Descriptor | None) -> Iterator[Observation]:
    """What comes of an answer, to who decodes it; `content` is None where nothing could be made of it."""
    if not answer.is_ok or answer.encoding is None:
        return
    is_right = content is not None and _is_right(answer, content)
    rule = Rule.COMPRESSED if is_right else Rule.ENCODED
    detail = f"has Content-Encoding: {answer.encoding}" + ("" if is_right else ", and decoded it is something else")
    yield Observation(rule=rule, path=answer.path, detail=detail)


def _is_right(answer: Answer, content: Descriptor) -> bool:
    if not answer.is_whole:  # what is sent with the length that it is stored with was not encoded on the way
        return answer.length != content.size
    decoded = answer.decoded(limit=_DECODED)
    return decoded is not None and digest_like(content.digest, decoded) == content.digest
