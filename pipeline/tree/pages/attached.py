"""Pure: what is attached to an image: by a subject (image-spec, manifest.md), or by the tags that cosign makes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ...history.records.images import ImageRecord
from ...history.records.repositories import RepositoryRecord
from ...oci.digest import Digest
from ...oci.reference import attached_to

# What people call an artifact of a type; the first that is in the type counts.
_CALLED: Final = {
    "cosign.artifact.sig": "signature",
    "cncf.notary.signature": "signature",
    "sigstore.bundle": "signature or attestation",
    "in-toto": "attestation",
    "spdx": "SBOM",
    "cyclonedx": "SBOM",
    "syft": "SBOM",
}
_OF_TAGS: Final = {"sig": "signature", "att": "attestation", "sbom": "SBOM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Something that is attached to the document `subject` of an image. `size` in bytes is that of its blobs; `called`
    is a word for people, `artifact_type` what it says of itself, which may be nothing."""

    subject: Digest
    digest: Digest
    called: str
    artifact_type: str
    size: int


def attached_by_subject(record: RepositoryRecord) -> Mapping[Digest, tuple[Attached, ...]]:
    """All that is attached, by the digest of what it is attached to; each once, in a fixed order."""
    found: dict[Digest, dict[Digest, Attached]] = {}
    for image in record.images.values():
        types = {document.digest: document.artifact_type or "" for document in image.documents}
        for digest, subject in image.subjects.items():
            kind = types.get(digest, "")
            what = _attached(image, subject, digest, _called(kind), kind)
            found.setdefault(subject, {}).setdefault(digest, what)
    for tag, known in record.tags.items():
        signed, signature = attached_to(tag), record.images.get(known.image)
        if signed is not None and signature is not None:
            called = _OF_TAGS.get(tag.rpartition(".")[2], "artifact")
            what = _attached(signature, signed, signature.digest, called, "")
            found.setdefault(signed, {}).setdefault(signature.digest, what)
    return {
        subject: tuple(sorted(those.values(), key=lambda what: (what.called, what.digest)))
        for subject, those in found.items()
    }


def _attached(image: ImageRecord, subject: Digest, digest: Digest, called: str, kind: str) -> Attached:
    return Attached(subject=subject, digest=digest, called=called, artifact_type=kind, size=image.size)


def _called(kind: str) -> str:
    return next((word for part, word in _CALLED.items() if part in kind), "artifact")
