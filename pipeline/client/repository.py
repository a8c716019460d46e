"""One repository of a registry, a tree or a bundle: its documents, each verified against what led to it."""

from dataclasses import dataclass, replace
from typing import Final

from ..errors import DeltapressError, ExitCode
from ..keys import Key, blob_key, manifest_key, referrers_key, referrers_tag
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.fields import FieldError
from ..oci.manifest import MAX_MANIFEST_SIZE, Document, Index, is_document, parse_document
from ..oci.writing import write_index
from ..targets.base import DeniedError, KeyMissingError, ReadableTarget, TooLargeError, read_bytes

_MAX_READ: Final = 20  # entries of a list that tells too little


class WrongContentError(DeltapressError):
    """What a registry gave is not what its digest promises, or no document at all."""

    exit_code = ExitCode.VERIFICATION_FAILED

    def __init__(self, target: ReadableTarget, key: str, problem: str) -> None:
        super().__init__(f"{target.url}: {key}: {problem}")


class UnknownImageError(DeltapressError):
    """There is no such image."""

    exit_code = ExitCode.TARGET_FAILED

    def __init__(self, target: ReadableTarget, name: str) -> None:
        super().__init__(
            f"{target.url} has no image {name}; correct the name or the tag, or log in where it is private"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """The repository `name` of `target`."""

    target: ReadableTarget
    name: str

    def document(self, reference: str | Digest) -> Document:
        """The manifest or index under a tag or a digest.

        Raises:
            KeyMissingError: there is none.
            WrongContentError: it has another digest, or is no document.
            TargetError: it cannot be read.
        """
        key = manifest_key(self.name, reference)
        raw = read_bytes(self.target, key, limit=MAX_MANIFEST_SIZE)
        digest = reference if isinstance(reference, Digest) else Digest.of(raw)
        self._verify(key, raw, digest)
        try:
            return parse_document(raw, digest=digest)
        except FieldError as error:
            raise WrongContentError(self.target, key, str(error)) from error

    def blob(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """A small blob, whole. Raises as `document`."""
        key = self.key_of(descriptor)
        if descriptor.size > limit:
            raise TooLargeError(key, limit)
        raw = read_bytes(self.target, key, limit=descriptor.size)
        self._verify(key, raw, descriptor.digest)
        return raw

    def referrers(self, subject: Digest) -> Index | None:
        """What is attached to a manifest; None where nobody can tell. Raises as `document`."""
        for key in (referrers_key(self.name, subject), manifest_key(self.name, referrers_tag(subject))):
            found = self.listing(key)
            if found is not None:
                return self._completed(found)
        return None

    def _completed(self, listing: Index) -> Index:
        """The list with types and annotations, of which some registries tell none: then the documents themselves do.

        Those are few: the first of them are read.
        """
        bare = [entry for entry in listing.manifests if not entry.annotations and is_document(entry)]
        told = {entry.digest: self._described(entry) for entry in bare[:_MAX_READ]}
        if not told:
            return listing
        document = parse_document(write_index([told.get(entry.digest, entry) for entry in listing.manifests]))
        return document if isinstance(document, Index) else listing

    def _described(self, entry: Descriptor) -> Descriptor:
        try:
            document = self.document(entry.digest)
        except (KeyMissingError, WrongContentError):
            return entry  # it is nothing that anybody could use
        return replace(document.descriptor(), artifact_type=document.artifact_type, annotations=document.annotations)

    def listing(self, key: Key) -> Index | None:
        """An index that nothing promises: a list of referrers, or of deltas; None where there is none."""
        try:
            raw = read_bytes(self.target, key, limit=MAX_MANIFEST_SIZE)
            document = parse_document(raw)
        except (KeyMissingError, DeniedError):  # a bucket denies what it does not have
            return None
        except FieldError as error:
            raise WrongContentError(self.target, key, str(error)) from error
        return document if isinstance(document, Index) else None

    def key_of(self, blob: Descriptor) -> Key:
        return blob_key(self.name, blob.digest)

    def _verify(self, key: Key, raw: bytes, digest: Digest) -> None:
        hasher = digest.new_hasher()
        hasher.update(raw)
        if hasher.hexdigest() != digest.hex:
            raise WrongContentError(self.target, key, f"what is there does not have the digest {digest}")
