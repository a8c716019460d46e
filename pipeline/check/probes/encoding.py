"""Content-Encoding: what is sent to who does not ask for it, and to who would take it, as most clients say."""

from collections.abc import Iterator
from typing import Final

from ...oci.digest import Digest
from ...oci.manifest import MAX_MANIFEST_SIZE
from ..answers import Answer
from ..rules import Observation, Rule
from ..survey import Site, digest_like, spread
from .blobs import WHOLE, blob_answer

_MANIFESTS: Final = 6  # that are asked for again: proxies choose by type, by size and by name
_DECODED: Final = 64 << 20


def encodings(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        documents = [(reference, digest_like(reference, document.raw)) for reference, document in repository.references]
        for reference in (*(reference for reference, _ in documents), *repository.gone):
            answer = site.host.get(repository.path(reference))
            if answer.encoding is not None:
                yield _unasked(answer)
        largest = sorted(documents, key=lambda found: len(site.host.get(repository.path(found[0])).body))
        for reference, digest in spread(largest, _MANIFESTS):
            path = repository.path(reference)
            if site.host.get(path).encoding is None:
                yield from _asked(site.host.get(path, Accept_Encoding="gzip"), digest, MAX_MANIFEST_SIZE)
        for blob in repository.blobs:
            answer = blob_answer(site.host, repository, blob)
            if answer.encoding is not None:
                yield _unasked(answer)
            elif answer.is_ok:
                asked = blob_answer(site.host, repository, blob, Accept_Encoding="gzip")
                yield from _asked(asked, blob.digest, _DECODED if asked.is_whole else WHOLE)


def _unasked(answer: Answer) -> Observation:
    detail = f"has Content-Encoding: {answer.encoding}, though nobody asked for it"
    return Observation(rule=Rule.ENCODED, path=answer.path, detail=detail)


def _asked(answer: Answer, digest: Digest, limit: int) -> Iterator[Observation]:
    """`answer` is to one who takes gzip."""
    if not answer.is_ok or answer.encoding is None:
        return
    decoded = answer.decoded(limit=limit) if answer.is_whole else None
    if decoded is not None and digest_like(digest, decoded) == digest:
        detail = f"is sent with Content-Encoding: {answer.encoding} to who takes it"
        yield Observation(rule=Rule.COMPRESSED, path=answer.path, detail=detail)
    elif answer.is_whole:
        detail = f"is sent with Content-Encoding: {answer.encoding} to who takes it, and decoded it has another digest"
        yield Observation(rule=Rule.ENCODED, path=answer.path, detail=detail)
    else:
        detail = f"is sent with Content-Encoding: {answer.encoding} to who takes it"
        yield Observation(rule=Rule.COMPRESSED, path=answer.path, detail=detail)
