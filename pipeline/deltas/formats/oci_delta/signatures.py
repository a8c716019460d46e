"""cosign's signatures of an image, which its deltas carry along: a device checks them without a registry.

(Go oci-delta, README, "Embedded signatures"; cosign, `SIGNATURE_SPEC.md`.)

Rule 1. They sign the manifest of a platform. One of an index says nothing to a client that has but its platform's.
Rule 2. A signature is known by its form, wherever it is attached: it has a layer of cosign's payload type, and lies
        under the tag `sha256-<hex>.sig` or has a subject; or it is a bundle with a subject, and states nothing else.
        Other statements about an image, such as its SBOM, are none, and may be large.
Rule 3. Every device loads them with each update: what has no room in 1 MiB, by the order of the digests, stays behind.
"""

from collections.abc import Iterator
from typing import Final

from ....history.records.images import ImageRecord
from ....history.records.repositories import RepositoryRecord
from ....oci.digest import Digest
from ....oci.media_types import MANIFESTS
from ....oci.reference import attached_to

MAX_SIZE: Final = 1024 * 1024

_TAG_END: Final = ".sig"
_PAYLOAD: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
_BUNDLE: Final = "application/vnd.dev.sigstore.bundle"  # versions follow, in several ways
_PREDICATE: Final = "dev.sigstore.bundle.predicateType"
_SIGNS: Final = "https://sigstore.dev/cosign/sign/v1"


def signatures_by_image(record: RepositoryRecord) -> dict[Digest, tuple[ImageRecord, ...]]:
    """The signatures of each manifest that has some, in the order of their digests."""
    found: dict[Digest, dict[Digest, ImageRecord]] = {}
    for signed, image in _attached(record):
        if _is_signature(image):
            found.setdefault(signed, {})[image.digest] = image
    return {signed: tuple(_with_room(images)) for signed, images in found.items()}


def _attached(record: RepositoryRecord) -> Iterator[tuple[Digest, ImageRecord]]:
    for image in record.images.values():
        if image.subject is not None:
            yield image.subject, image
    for tag, known in record.tags.items():
        signed = attached_to(tag)
        if tag.endswith(_TAG_END) and signed is not None and known.image in record.images:
            yield signed, record.images[known.image]


def _is_signature(image: ImageRecord) -> bool:
    root = image.root
    if root.media_type not in MANIFESTS:
        return False
    is_bundle = (root.artifact_type or "").startswith(_BUNDLE) and root.annotations.get(_PREDICATE) == _SIGNS
    return is_bundle or any(blob.media_type == _PAYLOAD for blob in image.blobs)


def _with_room(images: dict[Digest, ImageRecord]) -> Iterator[ImageRecord]:
    left = MAX_SIZE
    for _, image in sorted(images.items()):
        size = image.root.size + sum(blob.size for blob in image.blobs)
        if size <= left:
            left -= size
            yield image
