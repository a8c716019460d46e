"""Requests for manifests + the ledger -> how often each image was pulled.

Rule 1. What is counted is the manifest of one platform's image, of which each client gets exactly one, and never an
        index, after which a client asks for that manifest.
Rule 2. A tag means what it pointed to when it was asked for, as the ledger remembers.
Rule 3. An image that was the latest of a series when the logs end, or came later, is left out: how many clients stay
        with it nobody knows yet. So is a repository of which nothing was pulled: its logs may be elsewhere.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import datetime

from ..history.ledger import Ledger
from ..history.records.repositories import RepositoryRecord, TagRecord
from ..history.versions import losses, reigns, series_of
from ..oci.digest import Digest, DigestError
from .access_log import ManifestRequest


class Count:
    """How often the images of a ledger were pulled, as far as requests have been added.

    `pulls` were of those, `others` of what is not published, or of indexes; `first` and `last` are the times of the
    earliest and the latest pull.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._records = ledger.repositories
        self._counts = {
            name: {image.manifest: 0 for image in record.platform_images()} for name, record in self._records.items()
        }
        self.pulls = self.others = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, requests: Iterable[ManifestRequest]) -> None:
        for request in requests:
            if not any(self._counted(name, reference, request.time) for name, reference in request.names()):
                self.others += 1
                continue
            self.pulls += 1
            self.first = min(request.time, self.first or request.time)
            self.last = max(request.time, self.last or request.time)

    def result(self) -> dict[str, dict[Digest, int]]:
        """The pulls of each image manifest that is old enough, by repository."""
        found: dict[str, dict[Digest, int]] = {}
        for name, counts in sorted(self._counts.items()):
            if self.last is not None and any(counts.values()):
                current = _current(self._records[name], self.last)
                found[name] = {manifest: count for manifest, count in counts.items() if manifest not in current}
        return found

    def _counted(self, name: str, reference: str, time: datetime) -> bool:
        counts = self._counts.get(name)
        if counts is None:
            return False
        try:
            manifest: Digest | None = Digest.parse(reference)
        except DigestError:
            manifest = _meant(self._records[name].tags.get(reference), time)
        if manifest not in counts:
            return False
        counts[manifest] += 1
        return True


def _meant(tag: TagRecord | None, time: datetime) -> Digest | None:
    if tag is None:
        return None
    position = bisect_right(tag.moves, time, key=lambda move: move.since)
    return tag.moves[position - 1].image if position else None


def _current(record: RepositoryRecord, last: datetime) -> set[Digest]:
    """The manifests of the images that are the latest of a series, or were when the logs end."""
    scopes = record.rules.scopes if record.rules is not None else ()
    lost = losses(record)
    images: set[Digest] = set()
    for series in series_of(record, scopes):
        images.add(series.latest)
        images.update(reign.image for reign in reigns(series, lost) if reign.until >= last)
    return {platform.manifest for image in images for platform in record.images[image].platforms}


def steadied(counted: Mapping[Digest, int], before: Mapping[Digest, int]) -> dict[Digest, int]:
    """What was `counted`, but for what differs from `before` by less than half: the numbers of every night are others,
    and the deltas should not change with them."""
    return {
        manifest: before[manifest] if manifest in before and _is_near(count, before[manifest]) else count
        for manifest, count in counted.items()
    }


def _is_near(one: int, other: int) -> bool:
    return 0 < max(one, other) <= 2 * min(one, other)
