"""A bundle as a target: what a registry would answer that had nothing but its artifacts.

Also for an archive that `skopeo copy docker://REPOSITORY@ARTIFACT oci-archive:FILE` made, which notes no names: there
is one new image in it, and every tag means that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...content import BytesContent, Content
from ...deltas.formats import FORMATS
from ...errors import DeltapressError, ExitCode
from ...keys import IMMUTABLE, OCTET_STREAM, Headers, Key, Kind, ParsedKey, classify
from ...layout.refs import index_entries, open_storage
from ...layout.storage import Storage, read_small
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest
from ...oci.fields import FieldError, Fields
from ...oci.manifest import MAX_MANIFEST_SIZE, Index, Manifest, parse_document
from ...oci.writing import write_index
from ...targets.base import KeyMissingError, Properties, Stored, TargetError
from ..reference import BadReferenceError, ImageName
from ..stored import NAME, REF_NAME, ROOT, noted_digest

_MAX_ARTIFACTS = 1000


class NoBundleError(DeltapressError):
    """A file or a folder that is no bundle."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: is no bundle: {problem}; `deltapress bundle` makes one")


class UnnamedImageError(DeltapressError):
    """A bundle does not say what the one image in it is called."""

    exit_code = ExitCode.BAD_CONFIGURATION

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: does not say which one image is in it; name it, as in `deltapress pull NAME:TAG --from {path}`"
        )


class NotInBundleError(KeyMissingError):
    """A bundle leads only from its sources, and has nothing else."""

    def __init__(self, key: Key) -> None:
        TargetError.__init__(
            self,
            "is not in the bundle, which leads only from the images that it was made for; make one with a --source "
            "that is here",
            key=key,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An entry of `index.json`. `target` is the image into which it leads, `root` what its tag should lead to.

    `tag` and `repository` are None where nobody noted them.
    """

    listed: Descriptor
    target: Digest
    root: Digest
    tag: str | None
    repository: str | None


@dataclass(frozen=True, slots=True)
class BundleTarget:
    """The bundle at `path`. Its keys are those of whatever repository is asked for."""

    path: Path
    _storage: Storage
    _artifacts: tuple[Artifact, ...] = field(repr=False)

    @classmethod
    def at(cls, path: Path) -> "BundleTarget":
        """Raises NoBundleError, LayoutError."""
        storage = open_storage(path)
        try:
            entries = index_entries(storage)
            artifacts = tuple(_artifacts(storage, entries[:_MAX_ARTIFACTS]))
        except FieldError as error:
            raise NoBundleError(path, str(error)) from error
        if not artifacts:
            raise NoBundleError(path, "it has no artifact of oci-delta")
        return cls(path, storage, artifacts)

    @property
    def url(self) -> str:
        return str(self.path)

    @property
    def properties(self) -> Properties:
        return Properties(stores_headers=True)

    @property
    def image(self) -> ImageName:
        """The one image that is in it. Raises UnnamedImageError."""
        names = {
            f"{artifact.repository}:{artifact.tag}" if artifact.tag else f"{artifact.repository}@{artifact.root}"
            for artifact in self._artifacts
            if artifact.repository is not None
        }
        try:
            [name] = names
            return ImageName.parse(name)
        except (ValueError, BadReferenceError) as error:
            raise UnnamedImageError(self.path) from error

    def open(self, key: Key) -> BinaryIO:
        try:
            content, _ = self._find(key)
            return content.open()
        except OSError as error:
            raise TargetError(f"cannot be read from {self.path}: {error.strerror}", key=key) from error

    def stat(self, key: Key) -> Stored | None:
        try:
            content, digest = self._find(key)
        except KeyMissingError:
            return None
        headers = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE, digest=digest)
        return Stored(size=content.size, headers=headers)

    def keys(self) -> Iterator[Key]:
        raise TargetError(f"{self.path} is a bundle, which has no names of repositories")

    def _find(self, key: Key) -> tuple[Content, Digest | None]:
        """Raises KeyMissingError."""
        parsed = classify(key)
        if parsed is not None and parsed.kind is Kind.REFERRERS:
            listed = [artifact.listed for artifact in self._artifacts if artifact.target == parsed.digest]
            return BytesContent(write_index(listed)), None
        digest = None if parsed is None else self._tagged(parsed) if parsed.kind is Kind.TAG else parsed.content_digest
        content = None if digest is None else self._storage.blob(digest)
        if content is None:
            raise NotInBundleError(key)
        return content, digest

    def _tagged(self, parsed: ParsedKey) -> Digest | None:
        """Where a tag leads; None where that is not certain."""
        meant = {
            artifact.root
            for artifact in self._artifacts
            if artifact.repository in (None, parsed.repository) and artifact.tag in (None, parsed.reference)
        }
        return meant.pop() if len(meant) == 1 else None


def _artifacts(storage: Storage, entries: tuple[Fields, ...]) -> Iterator[Artifact]:
    for entry in entries:
        descriptor = Descriptor.read(entry)
        content = storage.blob(descriptor.digest)
        if content is None:
            raise FieldError("index.json", f"names {descriptor.digest}, which is not there")
        raw = read_small(storage, str(descriptor.digest), content, limit=MAX_MANIFEST_SIZE)
        document = parse_document(raw, descriptor.media_type, descriptor.digest)
        if isinstance(document, Manifest):
            yield from _artifact(storage, document, descriptor)


def _artifact(storage: Storage, manifest: Manifest, descriptor: Descriptor) -> Iterator[Artifact]:
    """As a registry would list it."""
    listed = Descriptor(
        media_type=manifest.media_type,
        digest=manifest.digest,
        size=len(manifest.raw),
        artifact_type=manifest.artifact_type,
        annotations=manifest.annotations,
    )
    listing = parse_document(write_index([listed]))
    assert isinstance(listing, Index)
    for delta_format in FORMATS:
        if delta_format.tag is None and delta_format.owns(manifest):
            for found in delta_format.parse_listing(listing).documents:
                notes = descriptor.annotations
                is_ours = ROOT in notes
                root = noted_digest(notes, ROOT)
                yield Artifact(
                    listed=listed,
                    target=found.target,
                    root=root if root is not None and storage.blob(root) is not None else found.target,
                    tag=notes.get(REF_NAME) if is_ours else None,
                    repository=notes.get(NAME) if is_ours else None,
                )
