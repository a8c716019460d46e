"""Pure: what is attached to images: by a subject (a signature, an SBOM), or by cosign's tags, `sha256-<hex>.sig`."""

from collections.abc import Set

from ..oci.digest import Digest
from ..oci.reference import attached_to
from .records.repositories import RepositoryRecord


def with_attached(record: RepositoryRecord, images: Set[Digest]) -> set[Digest]:
    """`images`, and what is attached to any of their documents, and what is attached to that."""
    attached: dict[Digest, list[Digest]] = {}
    for digest, image in record.images.items():
        if image.subject is not None:
            attached.setdefault(image.subject, []).append(digest)
    for tag, known in record.tags.items():
        if (subject := attached_to(tag)) is not None:
            attached.setdefault(subject, []).append(known.image)
    found = set(images)
    waiting = [digest for digest in images if digest in record.images]
    while waiting:
        for document in record.images[waiting.pop()].documents:
            new = [digest for digest in attached.get(document.digest, ()) if digest not in found]
            found.update(new)
            waiting += [digest for digest in new if digest in record.images]
    return found
