"""Deltas of both formats: each document that is listed is there, and each of its parts has the size that it says."""

from collections.abc import Iterator, Mapping
from typing import Final

from ...config.values import FormatName
from ...deltas.formats import FORMATS, DeltaFormat, DeltaListing
from ...keys import referrers_tag
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.manifest import Index, Manifest, successors
from ..rules import Observation, Rule
from ..survey import Repository, Site, digest_like, document_in

MAX_DOCUMENTS: Final = 100  # of a format, in a repository

LISTED: Final[Mapping[FormatName, Rule]] = {"deltaindex": Rule.DELTA_INDEX, "oci-delta": Rule.ARTIFACTS}


def parts(site: Site) -> Iterator[Observation]:
    for repository in site.repositories:
        for delta_format in FORMATS:
            rule = LISTED[delta_format.name]
            seen: set[Digest] = set()
            for path, listing in listings(site, repository, delta_format):
                for problem in listing.problems:
                    yield Observation(rule=rule, path=path, detail=problem)
                for entry in listing.documents:
                    if entry.descriptor.digest not in seen and len(seen) < MAX_DOCUMENTS:
                        seen.add(entry.descriptor.digest)
                        yield from _document(site, repository, entry.descriptor, rule)


def listings(site: Site, repository: Repository, delta_format: DeltaFormat) -> Iterator[tuple[str, DeltaListing]]:
    """Where a client of the format looks, and what it finds there."""
    if delta_format.tag is not None:
        paths = [repository.path(delta_format.tag)]
    else:
        paths = [repository.referrers_path(digest) for digest in repository.documents]
        paths += [repository.path(referrers_tag(digest)) for digest in repository.documents]
    for path in paths:
        index = document_in(site.host.get(path))
        if isinstance(index, Index):
            yield path, delta_format.parse_listing(index)


def _document(site: Site, repository: Repository, descriptor: Descriptor, rule: Rule) -> Iterator[Observation]:
    path = repository.path(descriptor.digest)
    answer = site.host.get(path)
    document = document_in(answer)
    if not isinstance(document, Manifest):
        yield Observation(rule=rule, path=path, detail=f"is listed, and answers {answer.said}")
        return
    if digest_like(descriptor.digest, document.raw) != descriptor.digest or len(document.raw) != descriptor.size:
        yield Observation(rule=rule, path=path, detail="has other bytes than its listing says")
        return
    for blob in successors(document).blobs:
        place = repository.blob_path(blob.digest)
        found = site.host.look(place)
        if not found.is_ok:
            yield Observation(rule=rule, path=place, detail=f"answers {found.said}; {path} needs it")
        elif found.length not in {None, blob.size}:
            detail = f"has {found.length:,} bytes; {path} says {blob.size:,}"
            yield Observation(rule=rule, path=place, detail=detail)
