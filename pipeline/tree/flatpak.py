"""Pure: the index that flatpak clients read, `index/static`, and the icons that it names.

Rule 1. A client neither filters nor sorts what a static host answers: so exactly one image per flatpak ref, the newest.
Rule 2. An image counts when its labels hold `org.flatpak.ref` and `org.flatpak.metadata`.
Rule 3. `Digest` is that of an image manifest of one platform, never of an index; `Registry` is relative, so that the
        tree works below any path.
Rule 4. Labels are an image's own, but for two: an icon is a file beside the index, because every client reads all of
        the index again when any of it has changed; and on request the index names the delta manifest of an image.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..deltas.formats.delta_index import DeltaIndex
from ..history.ledger import Ledger
from ..history.records.images import PlatformRecord
from ..history.records.repositories import RepositoryRecord
from ..history.versions import series_of
from ..keys import FLATPAK_INDEX_KEY, Key, classify, flatpak_icon_key, manifest_key
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.manifest import Index, parse_document
from .contents import RepositoryContents

# flatpak, common/flatpak-oci-registry.c: an address in either is relative, to the index and to the registry
_ICONS: Final = ("org.freedesktop.appstream.icon-64", "org.freedesktop.appstream.icon-128")
_DELTA_URL: Final = "io.github.containers.DeltaUrl"
_PNG: Final = "data:image/png;base64,"
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_MAX_ICON: Final = 1 << 20  # bytes; a larger one stays in its label


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatpakImage:
    """One image that may stand for a flatpak ref. `since`: when a tag came to point to it."""

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


def flatpak_index(ledger: Ledger, published: Iterable[RepositoryContents]) -> dict[Key, bytes]:
    """The index, which lists nothing where no image is a flatpak, and the icons, by key."""
    delta_urls = {
        contents.name: _delta_urls(contents)
        for contents in published
        if (rules := ledger.repositories[contents.name].rules) is not None and rules.delta_url
    }
    files: dict[Key, bytes] = {}
    images: dict[str, list[dict[str, object]]] = {}
    for candidate in newest_flatpaks(ledger.repositories).values():
        name, image = candidate.repository, candidate.image
        labels = dict(image.labels)
        for label in _ICONS:
            if (icon := _icon(labels.get(label, ""))) is not None:
                key = flatpak_icon_key(Digest.of(icon))
                files[key] = icon
                labels[label] = key.removeprefix("index/")
        if (delta_url := delta_urls.get(name, {}).get(image.manifest)) is not None:
            labels[_DELTA_URL] = delta_url
        images.setdefault(name, []).append(_image_json(candidate, ledger.repositories[name], labels))
    results = [{"Name": name, "Lists": [], "Images": found} for name, found in sorted(images.items())]
    document = {"Registry": "../", "Results": results}
    files[FLATPAK_INDEX_KEY] = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return files


def newest_flatpaks(repositories: Mapping[str, RepositoryRecord]) -> dict[str, FlatpakImage]:
    """The one image that clients are shown of each ref, in the order of the refs, which are what a label says."""
    newest: dict[str, FlatpakImage] = {}
    for name, record in sorted(repositories.items()):
        for candidate in _candidates(name, record):
            ref = candidate.image.labels["org.flatpak.ref"]
            if ref not in newest or newest[ref].rank < candidate.rank:
                newest[ref] = candidate
    return dict(sorted(newest.items()))


def _delta_urls(contents: RepositoryContents) -> dict[Digest, str]:
    """Where the delta manifest of each image is, as its `_deltaindex` says."""
    listing = contents.tags.get(DeltaIndex.tag)
    index = parse_document(listing.content) if listing is not None and listing.content is not None else None
    entries = DeltaIndex().parse_listing(index).documents if isinstance(index, Index) else ()
    return {entry.target: manifest_key(contents.name, entry.descriptor.digest) for entry in entries}


def _icon(label: str) -> bytes | None:
    """The picture in the label; None where it is an address, or nothing that could be served as a PNG."""
    if not label.startswith(_PNG) or len(label) > 2 * _MAX_ICON:
        return None
    try:
        icon = base64.b64decode(label.removeprefix(_PNG), validate=True)
    except ValueError:
        return None
    return icon if icon.startswith(_PNG_MAGIC) and len(icon) <= _MAX_ICON else None


def linked_keys(labels: Mapping[str, str]) -> Iterator[Key]:
    """What of this tree the labels of the index lead to, beside the image itself."""
    for prefix, label in (("index/", _ICONS[0]), ("index/", _ICONS[1]), ("", _DELTA_URL)):
        key = Key(prefix + labels.get(label, ""))
        if classify(key) is not None:
            yield key


def _candidates(repository: str, record: RepositoryRecord) -> Iterator[FlatpakImage]:
    latest = {series.latest for series in series_of(record) if not series.is_of_line}
    for position, known in enumerate(record.tags.values()):
        image = record.images.get(known.image)
        if image is None:
            continue
        documents: dict[Digest, Descriptor] = {document.digest: document for document in image.documents}
        for platform in image.platforms:
            if platform.is_flatpak:
                yield FlatpakImage(
                    repository=repository,
                    root=known.image,
                    image=platform,
                    media_type=documents[platform.manifest].media_type,
                    is_latest=known.image in latest,
                    since=known.moves[-1].since,
                    position=position,
                )


def _image_json(candidate: FlatpakImage, record: RepositoryRecord, labels: Mapping[str, str]) -> dict[str, object]:
    return {
        "Digest": str(candidate.image.manifest),
        "MediaType": candidate.media_type,
        "OS": candidate.image.platform.os,
        "Architecture": candidate.image.platform.architecture,
        "Tags": sorted(tag for tag, known in record.tags.items() if known.image == candidate.root),
        "Annotations": {},
        "Labels": dict(sorted(labels.items())),
    }
