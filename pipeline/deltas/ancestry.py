"""Pure: which image of an older version is the one before an image of the latest.

Rule 1. Images are compared by the kind of their platform, in which `arm64` and `arm64/v8` are the same; flatpaks by
        their ref too, since one index may hold several.
Rule 2. Where a version has several of a kind (one for each compression, say), those of the very same platform count; of
        those the one in the same place, if it has as many of them as the latest. Otherwise none: a guess would make
        deltas that nobody asks for.
Rule 3. Each version is read once, whatever the number of platforms.
"""

from collections.abc import Iterator, Sequence

from ..history.records.images import FLATPAK_LABELS, ImageRecord, PlatformRecord
from ..oci.descriptor import Platform
from ..oci.digest import Digest

_Kind = tuple[Platform, str]


class Ancestry:
    """The images before those of `latest`, in `older` versions, the newest first."""

    def __init__(self, latest: ImageRecord, older: Sequence[ImageRecord]) -> None:
        self._latest, self._older = _Groups(latest), older
        self._groups: list[_Groups] = []

    def before(self, target: PlatformRecord) -> Iterator[tuple[Digest, PlatformRecord | None]]:
        """Each older version with its image before `target`, which is one of the latest; None where rule 2 tells none.

        A version that has no such image, or the very same one, is left out.
        """
        for version, groups in self._read():
            same = groups.like(target)
            if len(same) > 1 and len(same) == len(self._latest.like(target)):
                same = [same[self._latest.places[target.manifest, target.platform]]]
            if len(same) > 1:
                yield version, None
            elif same and same[0].manifest != target.manifest:
                yield version, same[0]

    def _read(self) -> Iterator[tuple[Digest, "_Groups"]]:
        for position, image in enumerate(self._older):
            if position == len(self._groups):
                self._groups.append(_Groups(image))
            yield image.digest, self._groups[position]


class _Groups:
    """The images of one version by what they are compared by. `places` counts those of the very same platform."""

    def __init__(self, image: ImageRecord) -> None:
        self._of_kind: dict[_Kind, list[PlatformRecord]] = {}
        self._exact: dict[_Kind, list[PlatformRecord]] = {}
        self.places: dict[tuple[Digest, Platform], int] = {}
        for entry in image.platforms:
            self._of_kind.setdefault((entry.platform.kind, _flatpak_ref(entry)), []).append(entry)
            group = self._exact.setdefault((entry.platform, _flatpak_ref(entry)), [])
            self.places[entry.manifest, entry.platform] = len(group)
            group.append(entry)

    def like(self, target: PlatformRecord) -> list[PlatformRecord]:
        exact = self._exact.get((target.platform, _flatpak_ref(target)))
        return exact or self._of_kind.get((target.platform.kind, _flatpak_ref(target)), [])


def _flatpak_ref(image: PlatformRecord) -> str:
    return image.labels.get(FLATPAK_LABELS[0], "")
