"""Pure: the record of a repository, and what its deltas save -> all that its page shows."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...config.values import FlatpakRemote
from ...deltas.savings import Saving
from ...history.moves import last_move
from ...history.order import line_of
from ...history.records.images import FLATPAK_LABELS, SHOWN_LABELS, ImageRecord, LayerRecord, PlatformRecord
from ...history.records.repositories import RepositoryRecord
from ...history.versions import series_of
from ...oci.digest import Digest
from ...oci.flatpak import FlatpakRef
from ...oci.media_types import INDEXES
from ...oci.reference import is_reserved_tag
from .attached import Attached, attached_by_subject
from .commands import Command, commands_of
from .updates import Matrix, matrix_of

_MOST_DETAILED: Final = 50  # versions of which the page shows more than a row
_MOST_LISTED: Final = 1000  # tags


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformView:
    """An image for one platform. `size` in bytes is what a client without deltas downloads of layers; `matrix` are the
    updates into it, None where no deltas lead."""

    name: str
    manifest: Digest
    size: int
    layers: tuple[LayerRecord, ...]
    matrix: Matrix | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An image and the tags that lead to it. `is_latest` of a series; `since` is when it was published first, None for
    one that no tag has led to."""

    digest: Digest
    is_index: bool
    tags: tuple[str, ...]
    is_latest: bool
    created: datetime | None
    since: datetime | None
    platforms: tuple[PlatformView, ...]
    labels: Mapping[str, str]
    attached: tuple[Attached, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TagRow:
    """A tag; `since` is when it began to lead to its image. `size` is that of the largest platform, in bytes."""

    tag: str
    digest: Digest
    since: datetime
    platforms: tuple[str, ...]
    size: int
    is_latest: bool
    is_detailed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryView:
    """`recommended` is the tag of what is newest, if there is any; `updated` is when a tag moved last.

    `versions` are shown in full, the newest first. `more_tags` are counted only, and so are the `untagged` images, from
    which deltas lead, or to which tags may go back.
    """

    name: str
    recommended: str | None
    updated: datetime | None
    tags: tuple[TagRow, ...]
    more_tags: int
    versions: tuple[Version, ...]
    untagged: int
    commands: tuple[Command, ...]

    @property
    def latest(self) -> Version | None:
        """What the recommended tag leads to."""
        return next((version for version in self.versions if self.recommended in version.tags), None)


def repository_view(
    name: str, record: RepositoryRecord, savings: Sequence[Saving], remote: FlatpakRemote | None, *, url: str | None
) -> RepositoryView:
    """`savings` are those of this repository, each update once; `url` is where the target is served."""
    tags = tags_in_order(record)
    recommended = next(iter(tags), None)
    images = list(dict.fromkeys(record.tags[tag].image for tag in tags))
    shown = images[:_MOST_DETAILED]
    first_seen = _first_seen(record)
    reader = _Reader(
        record=record,
        savings=savings,
        latest=latest_images(record),
        tags=tags,
        first_seen=first_seen,
        attached=attached_by_subject(record),
        names=_names(record, first_seen),
    )
    return RepositoryView(
        name=name,
        recommended=recommended,
        updated=last_move(record),
        tags=tuple(reader.row(tag, is_detailed=record.tags[tag].image in shown) for tag in tags[:_MOST_LISTED]),
        more_tags=max(len(tags) - _MOST_LISTED, 0),
        versions=tuple(map(reader.version, shown)),
        untagged=len(record.images.keys() - set(images) - _attached_images(record)),
        commands=commands_of(name, recommended, url=url, remote=remote, ref=_ref(record.images[images[0]]))
        if recommended is not None
        else (),
    )


def tags_in_order(record: RepositoryRecord) -> list[str]:
    """Those that lead to images: first what is the latest of a series, versions before tags that move, then what is
    left, the highest version first. The first of all is what a person should take who does not know."""
    tags = [tag for tag, known in record.tags.items() if not is_reserved_tag(tag) and known.image in record.images]
    line = line_of(tags, record)[::-1]
    moving = sorted(set(tags).difference(line), key=lambda tag: (record.tags[tag].moves[-1].since, tag), reverse=True)
    latest = latest_images(record)
    first = [tag for tag in line if record.tags[tag].image in latest]
    return list(dict.fromkeys([*first, *moving, *line]))


def latest_images(record: RepositoryRecord) -> set[Digest]:
    """The latest of each series; of a tag that has its place in a line, the line alone says what is newest."""
    scopes = record.rules.scopes if record.rules is not None else ()
    return {series.latest for series in series_of(record, scopes) if not series.is_of_line}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Rows and versions of one repository, of what is looked up once for all of them."""

    record: RepositoryRecord
    savings: Sequence[Saving]
    latest: Set[Digest]
    tags: Sequence[str]
    first_seen: Mapping[Digest, datetime]
    attached: Mapping[Digest, tuple[Attached, ...]]
    names: Mapping[Digest, str]

    def row(self, tag: str, *, is_detailed: bool) -> TagRow:
        known = self.record.tags[tag]
        image = self.record.images[known.image]
        return TagRow(
            tag=tag,
            digest=known.image,
            since=known.moves[-1].since,
            platforms=platform_names(image),
            size=max((platform.size for platform in image.platforms), default=0),
            is_latest=known.image in self.latest,
            is_detailed=is_detailed,
        )

    def version(self, digest: Digest) -> Version:
        image = self.record.images[digest]
        documents = tuple(document.digest for document in reversed(image.documents))
        return Version(
            digest=digest,
            is_index=image.root.media_type in INDEXES,
            tags=tuple(tag for tag in self.tags if self.record.tags[tag].image == digest),
            is_latest=digest in self.latest,
            created=image.created,
            since=self.first_seen.get(digest),
            platforms=tuple(map(self._platform, image.platforms)),
            labels=dict(_labels(image)),
            attached=tuple(what for document in documents for what in self.attached.get(document, ())),
        )

    def _platform(self, platform: PlatformRecord) -> PlatformView:
        into = [
            saving
            for saving in self.savings
            if (saving.target, saving.platform) == (platform.manifest, platform.platform)
        ]
        return PlatformView(
            name=str(platform.platform),
            manifest=platform.manifest,
            size=platform.size,
            layers=platform.layers,
            matrix=matrix_of(into, self.names) if into else None,
        )


def _first_seen(record: RepositoryRecord) -> dict[Digest, datetime]:
    found: dict[Digest, datetime] = {}
    for known in record.tags.values():
        for move in known.moves:
            found[move.image] = min(move.since, found.get(move.image, move.since))
    return found


def _names(record: RepositoryRecord, first_seen: Mapping[Digest, datetime]) -> dict[Digest, str]:
    """What to call each image manifest: by the tags that lead to it, or by when it was published."""
    tags: dict[Digest, list[str]] = {}
    for tag, known in record.tags.items():
        tags.setdefault(known.image, []).append(tag)
    return {
        platform.manifest: ", ".join(tags[digest]) if digest in tags else f"{first_seen[digest]:%Y-%m-%d %H:%M}"
        for digest, image in record.images.items()
        if digest in tags or digest in first_seen
        for platform in image.platforms
    }


def platform_names(image: ImageRecord) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(platform.platform) for platform in image.platforms))


def _labels(image: ImageRecord) -> Iterator[tuple[str, str]]:
    """What is said of any of its platforms, the first that says it; under the last word of the label's name."""
    for name in SHOWN_LABELS:
        text = next((text for platform in image.platforms if (text := platform.labels.get(name, ""))), "")
        if text:
            yield name.removeprefix("org.opencontainers.image."), text


def _ref(image: ImageRecord) -> FlatpakRef | None:
    """What a flatpak is; None for other images."""
    found: Mapping[str, str] = next((platform.labels for platform in image.platforms if platform.is_flatpak), {})
    return FlatpakRef.parse(found.get(FLATPAK_LABELS[0], ""))


def _attached_images(record: RepositoryRecord) -> set[Digest]:
    """Those that are no versions: signatures and the like."""
    reserved = {known.image for tag, known in record.tags.items() if is_reserved_tag(tag)}
    return reserved | {digest for digest, image in record.images.items() if image.subject is not None}
