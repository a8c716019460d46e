"""Every listed delta, applied to the old layers that the host serves, as `verify` does it with a target.

Rule 1. What is downloaded has the size that its descriptor says, or is not read to its end.
Rule 2. No layer is kept: each is extracted once for all deltas that start from it.
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from ..config.values import FormatName
from ..content import CHUNK, BytesContent, Content
from ..deltas.formats import FORMATS, DeltaFormat
from ..deltas.layers import LayerSource
from ..history.ledger import Ledger
from ..history.records.images import PlatformRecord
from ..history.resolver import ContentResolver, LayerLocator, Place, Store
from ..history.scan import record_of
from ..keys import Key, blob_key
from ..layout.documents import Origin
from ..layout.images import Reader
from ..layout.storage import LayoutError
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest, DigestError
from ..oci.manifest import MAX_MANIFEST_SIZE, Manifest
from ..progress import Progress
from ..scratch import scratch_folder
from ..targets.base import Stored, TargetError
from ..targets.http.target import HTTPTarget
from ..verify.deltas import check_deltas
from ..verify.findings import Findings, FoundDelta
from .connection import Host
from .probes.deltas import LISTED, MAX_DOCUMENTS, listings
from .rules import Observation, Rule
from .survey import Repository, Site, document_in, spread

MAX_TAGS: Final = 200  # of a repository, among which old images are looked for
MAX_REQUESTS: Final = 10_000  # more than without deltas
_PROVEN: Final[Mapping[FormatName, Rule]] = {
    "deltaindex": Rule.DELTA_INDEX_PROVEN,
    "oci-delta": Rule.ARTIFACTS_PROVEN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """So many `deltas` were tried; one that both formats list counts once. `unproven` are sentences about those that
    could not be."""

    deltas: int
    observations: tuple[Observation, ...]
    unproven: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """One repository as images are read from it: by what the host answers, whatever it calls that, and to GET alone."""

    host: Host
    repository: Repository

    @property
    def path(self) -> Path:
        return Path(self.host.address.registry) / self.repository.name

    def blob(self, digest: Digest) -> Content | None:
        """A manifest or a config; more is not read of a blob."""
        answer = self.host.get(self.repository.path(digest))
        if document_in(answer) is None:
            answer = self.host.get(self.repository.blob_path(digest))
        raw = answer.decoded(limit=MAX_MANIFEST_SIZE) if answer.is_ok and answer.is_whole else None
        return BytesContent(raw) if raw is not None else None


class _Bounded:
    """A host as a target that is only read. `sizes` are those that descriptors promise, in bytes: no more is read."""

    def __init__(self, host: HTTPTarget, sizes: Mapping[Key, int]) -> None:
        self._host, self._sizes = host, sizes
        self.url, self.properties = host.url, host.properties

    def open(self, key: Key) -> BinaryIO:
        stream = _Limited(key, self._host.open(key), self._sizes.get(key, MAX_MANIFEST_SIZE))
        return cast(BinaryIO, io.BufferedReader(stream, CHUNK))

    def stat(self, key: Key) -> Stored | None:
        return self._host.stat(key)

    def keys(self) -> Iterator[Key]:
        return self._host.keys()


class _Limited(io.RawIOBase):
    """A stream that fails where it has more than `limit` bytes."""

    def __init__(self, key: Key, stream: BinaryIO, limit: int) -> None:
        self._key, self._stream, self._left = key, stream, limit

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # Buffer needs Python 3.12
        data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise TargetError("has more bytes than its descriptor says", key=self._key)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def apply_deltas(site: Site, *, limits: Limits, jobs: int, progress: Progress) -> Applied:
    """Download and apply all that is listed. Raises SpentError where that takes more requests than are allowed."""
    site.host.max_requests += MAX_REQUESTS
    work = _Work(site.host)
    for repository in site.repositories:
        work.read(site, repository)
    with scratch_folder(None) as directory:
        source = LayerSource(resolver=ContentResolver(target=work.target), limits=limits)
        proofs = check_deltas(work.findings, Ledger(), work.target, source, directory, jobs=jobs, progress=progress)
    return Applied(
        deltas=proofs.applied,
        observations=tuple(work.observations()),
        unproven=(*work.unreadable, *proofs.unproven),
    )


class _Work:
    """The deltas that are listed, and the images that they lead from and to."""

    def __init__(self, host: Host) -> None:
        self.findings = Findings()
        self.unreadable: list[str] = []
        self._sizes: dict[Key, int] = {}
        self._rules: dict[str, set[Rule]] = {}
        self._bad_listings: list[Observation] = []
        self.target = _Bounded(HTTPTarget(str(host.address)), self._sizes)

    def read(self, site: Site, repository: Repository) -> None:
        found = [
            (delta_format, entry.descriptor)
            for delta_format in FORMATS
            for _, listing in listings(site, repository, delta_format)
            for entry in listing.documents[:MAX_DOCUMENTS]
        ]
        images = self._images(site, repository, [descriptor for _, descriptor in found])
        for delta_format, digest in dict.fromkeys((delta_format, entry.digest) for delta_format, entry in found):
            document = document_in(site.host.get(repository.path(digest)))
            if isinstance(document, Manifest):  # where it is none, a probe has said so
                self._parse(repository, delta_format, document, images)

    def observations(self) -> Iterator[Observation]:
        """What is wrong: a delta for the clients of each format that lists it, an old layer for everybody."""
        yield from self._bad_listings
        for problem in self.findings.problems:
            for rule in sorted(self._rules.get(problem.key, {Rule.BLOB_BYTES}), key=lambda rule: rule.label):
                yield Observation(rule=rule, path=f"/{problem.key}", detail=problem.problem)

    def _parse(
        self,
        repository: Repository,
        delta_format: DeltaFormat,
        document: Manifest,
        images: Mapping[Digest, PlatformRecord],
    ) -> None:
        path = repository.path(document.digest)
        parsed = delta_format.parse(document, images)
        for problem in parsed.problems:
            self._bad_listings.append(Observation(rule=LISTED[delta_format.name], path=path, detail=problem))
        if parsed.unknown is not None:
            self.unreadable.append(f"{path}: {parsed.unknown}")
        for delta in parsed.deltas:
            found = FoundDelta.of(delta, repository.name)
            self._sizes[found.key] = delta.blob.size
            self._rules.setdefault(found.key, set()).add(_PROVEN[delta_format.name])
            self.findings.deltas.append(found)

    def _images(self, site: Site, repository: Repository, entries: list[Descriptor]) -> dict[Digest, PlatformRecord]:
        """The images of all tags, and those that the listings name in their annotations, whatever the format is."""
        references: dict[str | Digest, None] = dict.fromkeys(spread(repository.image_tags, MAX_TAGS))
        references |= dict.fromkeys(digest for entry in entries for digest in _digests(entry.annotations.values()))
        reader = Reader(_Served(host=site.host, repository=repository))
        images: dict[Digest, PlatformRecord] = {}
        for reference in references:
            document = document_in(site.host.get(repository.path(reference)))
            if document is None:
                continue
            try:
                record = record_of(
                    reader.image(document.descriptor(), origin=Origin.of(document, tag=None, platform=None))
                )
            except LayoutError as error:
                self.unreadable.append(f"{repository.path(reference)}: {error.problem}")
                continue
            place = Place(store=Store.TARGET, repository=repository.name)
            for platform in record.platforms:
                images[platform.manifest] = platform
                for layer in platform.layers:
                    self._sizes[blob_key(repository.name, layer.digest)] = layer.size
                    self.findings.layers.setdefault(layer.diff_id, LayerLocator(layer=layer, places=(place,)))
        return images


def _digests(texts: Iterable[str]) -> Iterator[Digest]:
    for text in texts:
        with suppress(DigestError):
            yield Digest.parse(text)
