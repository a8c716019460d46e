"""Pure: the index that flatpak clients read, `index/static`.

Rule 1. A client neither filters nor sorts what a static host answers: so exactly one image per flatpak ref, the newest.
Rule 2. An image counts when its labels hold `org.flatpak.ref` and `org.flatpak.metadata`.
Rule 3. `Digest` is that of an image manifest of one platform, never of an index; `Registry` is relative, so that the
        tree works below any path.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..history.records import PlatformRecord, RepositoryRecord
from ..history.versions import series_of
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """One image that could stand for a flatpak ref. `since`: when a tag came to point to it."""

    repository: str
    root: Digest
    image: PlatformRecord
    media_type: str
    is_latest: bool
    since: datetime
    position: int

    @property
    def rank(self) -> tuple[bool, datetime, int, str]:
        return self.is_latest, self.since, self.position, self.repository


def flatpak_index(repositories: Mapping[str, RepositoryRecord]) -> bytes:
    """The JSON of `index/static`; an empty list where no image is a flatpak."""
    newest: dict[str, _Candidate] = {}
    for name, record in sorted(repositories.items()):
        for candidate in _candidates(name, record):
            ref = candidate.image.labels["org.flatpak.ref"]
            if ref not in newest or newest[ref].rank < candidate.rank:
                newest[ref] = candidate
    images: dict[str, list[dict[str, object]]] = {}
    for _, candidate in sorted(newest.items(), key=lambda item: item[0]):
        name = candidate.repository
        images.setdefault(name, []).append(_image_json(candidate, repositories[name]))
    results = [{"Name": name, "Lists": [], "Images": found} for name, found in sorted(images.items())]
    document = {"Registry": "../", "Results": results}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _candidates(repository: str, record: RepositoryRecord) -> Iterator[_Candidate]:
    latest = {series.latest for series in series_of(record) if not series.is_of_line}
    for position, known in enumerate(record.tags.values()):
        image = record.images.get(known.image)
        if image is None:
            continue
        documents: dict[Digest, Descriptor] = {document.digest: document for document in image.documents}
        for platform in image.platforms:
            if platform.is_flatpak:
                yield _Candidate(
                    repository=repository,
                    root=known.image,
                    image=platform,
                    media_type=documents[platform.manifest].media_type,
                    is_latest=known.image in latest,
                    since=known.moves[-1].since,
                    position=position,
                )


def _image_json(candidate: _Candidate, record: RepositoryRecord) -> dict[str, object]:
    return {
        "Digest": str(candidate.image.manifest),
        "MediaType": candidate.media_type,
        "OS": candidate.image.platform.os,
        "Architecture": candidate.image.platform.architecture,
        "Tags": sorted(tag for tag, known in record.tags.items() if known.image == candidate.root),
        "Annotations": {},
        "Labels": dict(sorted(candidate.image.labels.items())),
    }
