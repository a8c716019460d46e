"""Artifacts of a registry into one oci-archive."""

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, Final, cast

from ...compression import Writable
from ...content import CHUNK
from ...deltas.formats.oci_delta import OciDelta
from ...errors import DeltapressError
from ...layout.refs import INDEX, MARKER, MARKER_CONTENT
from ...layout.storage import blob_name
from ...oci.descriptor import Descriptor
from ...oci.digest import Digest, Hasher
from ...oci.manifest import Manifest
from ...oci.writing import write_index
from ...progress import Progress, Task
from ..images import RemoteImage, resolve
from ..repository import Repository, WrongContentError
from ..request import Request, locate, read_root, wanted_image
from ..stored import NAME, REF_NAME, ROOT

_MODE: Final = 0o644


class NoArtifactError(DeltapressError):
    """No artifact leads from the old image to the new one."""

    def __init__(self, source: str, name: str) -> None:
        super().__init__(
            f"{name}: no artifact of oci-delta leads there from {source}; only the last images have one (versions and "
            "formats in [policy] of its publisher)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """An artifact in the bundle: from which image it leads, by the name that was given and by its manifest; the bytes
    that it needs."""

    source: str
    manifest: Digest
    artifact: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOutcome:
    """What is in a bundle. `size` is that of all blobs, `whole` what a client without deltas downloads."""

    name: str
    root: Digest
    manifest: Digest
    artifacts: tuple[Bundled, ...]
    size: int
    whole: int


def write_bundle(request: Request, sources: Sequence[str | Digest], out: Writable, progress: Progress) -> BundleOutcome:
    """Write the bundle that leads from each of `sources`, tags or digests, to the image of `request`, to `out`.

    Raises:
        NoArtifactError: there is no artifact for one of them.
        DeltapressError: what there is cannot be read, or is not what it should be.
    """
    located = locate(request)
    repository, name = located.repository, str(request.name)
    image = wanted_image(request, located, read_root(request, located))
    documents: dict[Digest, bytes] = {image.root: (image.indexes[0].raw if image.indexes else image.manifest.raw)}
    blobs: dict[Digest, Descriptor] = {}
    entries, bundled = [], []
    for source in sources:
        old = resolve(
            repository,
            source,
            request.platform,
            name=f"{repository.name}{'@' if isinstance(source, Digest) else ':'}{source}",
        )
        artifact = _artifact(repository, image, old, str(source), name)
        documents |= {old.manifest.digest: old.manifest.raw, old.manifest.config.digest: old.config}
        documents[artifact.digest] = artifact.raw
        parts = {part.digest: part for part in (artifact.config, *artifact.layers)}
        blobs |= parts
        entries.append(_entry(artifact, image, request, repository.name))
        size = sum(part.size for part in parts.values()) + len(artifact.raw)
        found = Bundled(source=str(source), manifest=old.manifest.digest, artifact=artifact.digest, size=size)
        bundled.append(found)
    blobs = {digest: blob for digest, blob in blobs.items() if digest not in documents}
    index = write_index(sorted(entries, key=lambda entry: str(entry.digest)))
    total = sum(map(len, documents.values())) + sum(blob.size for blob in blobs.values())
    with progress.task("bundle", total, "bytes") as task:
        _write(repository, {MARKER: MARKER_CONTENT, INDEX: index}, documents, blobs, out, task)
    return BundleOutcome(
        name=name,
        root=image.root,
        manifest=image.manifest.digest,
        artifacts=tuple(bundled),
        size=total,
        whole=image.record.size,
    )


def _artifact(repository: Repository, image: RemoteImage, old: RemoteImage, source: str, name: str) -> Manifest:
    """The artifact that leads from `old` to `image`, with its parts as they should be."""
    delta_format = OciDelta()
    known = {image.manifest.digest: image.record, old.manifest.digest: old.record}
    for subject in (image.manifest.digest, *(index.digest for index in reversed(image.indexes))):
        listing = repository.referrers(subject)
        for listed in delta_format.parse_listing(listing).documents if listing is not None else ():
            if listed.target != image.manifest.digest or listed.source != old.manifest.digest:
                continue
            document = repository.document(listed.descriptor.digest)
            if isinstance(document, Manifest) and delta_format.owns(document):
                parsed = delta_format.parse(document, known)
                if parsed.problems:
                    raise WrongContentError(repository.target, str(document.digest), parsed.problems[0])
                return document
    raise NoArtifactError(source, name)


def _entry(artifact: Manifest, image: RemoteImage, request: Request, repository: str) -> Descriptor:
    """Of `index.json`. Its notes are for us: others need nothing but the digest."""
    notes = {NAME: repository, ROOT: str(image.root)}
    if request.name.tag is not None:
        notes[REF_NAME] = request.name.tag
    return replace(artifact.descriptor(), artifact_type=artifact.artifact_type, annotations=notes)


def _write(
    repository: Repository,
    files: dict[str, bytes],
    documents: dict[Digest, bytes],
    blobs: dict[Digest, Descriptor],
    out: Writable,
    task: Task,
) -> None:
    with tarfile.open(fileobj=cast(BinaryIO, out), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            archive.addfile(_member(name, len(data)), io.BytesIO(data))
        for digest in sorted([*documents, *blobs]):
            if digest in documents:
                data = documents[digest]
                archive.addfile(_member(blob_name(digest), len(data)), io.BytesIO(data))
                task.advance(len(data))
            else:
                with repository.target.open(repository.key_of(blobs[digest])) as stream:
                    content = _Verified(repository, blobs[digest], stream, task)
                    archive.addfile(_member(blob_name(digest), blobs[digest].size), cast(BinaryIO, content))
                    content.check()


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A file without owner and time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, _MODE
    return member


class _Verified:
    """A blob as it comes, compared with its digest at the end."""

    def __init__(self, repository: Repository, blob: Descriptor, stream: BinaryIO, task: Task) -> None:
        self._repository, self._blob, self._stream, self._task = repository, blob, stream, task
        self._hasher: Hasher = blob.digest.new_hasher()

    def read(self, size: int) -> bytes:
        """All of `size` bytes, as tarfile wants them; it never asks for more than 16 KiB."""
        data = b""
        while len(data) < size and (more := self._stream.read(min(CHUNK, size - len(data)))):
            data += more
        if len(data) < size:
            raise WrongContentError(self._repository.target, self._repository.key_of(self._blob), "ends too early")
        self._hasher.update(data)
        self._task.advance(size)
        return data

    def check(self) -> None:
        """Raises WrongContentError."""
        if self._stream.read(1) or self._hasher.hexdigest() != self._blob.digest.hex:
            key = self._repository.key_of(self._blob)
            raise WrongContentError(self._repository.target, key, "what is there has another digest")
