"""Pure: which of the images before the latest one are the sources of deltas into it.

Rule 1. The last `versions` distinct images, and those that were chosen for their time (`history.sources`).
Rule 2. Where pulls were counted, it is not the last `versions` but those that were pulled most; of equal ones the
        newer. What was not counted comes first, the newest of it before others: it was the latest when the counting
        ended, so nobody knows yet how many clients stay with it.
Rule 3. What was counted and nobody pulled is no source, whatever chooses it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..config.values import SourceRule
from ..history.records.images import PlatformRecord
from ..oci.digest import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An old image, and the `rules` that make it a source."""

    image: PlatformRecord
    rules: tuple[SourceRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """`found` are distinct images, the newest first. `unclear` counts the versions of which nothing tells which image
    of theirs it is, `idle` the images that nobody pulled."""

    found: tuple[Source, ...]
    unclear: int
    idle: int = 0


def choose_sources(
    before: Iterable[tuple[Digest, PlatformRecord | None]],
    *,
    versions: int,
    timed: Mapping[Digest, Sequence[SourceRule]],
    pulls: Mapping[Digest, int] | None,
) -> Sources:
    """Choose of the images that `before` yields with their versions, the newest first. No more are read than needed.

    Args:
        timed: versions, with the rules that choose them for their time.
        pulls: of image manifests, None where none were counted.
    """
    images: dict[Digest, PlatformRecord] = {}
    rules: dict[Digest, set[SourceRule]] = {}
    left, unclear = set(timed), 0
    older = iter(before)
    # whoever goes by demand must see all
    while (pulls is not None or left or len(images) < versions) and (entry := next(older, None)) is not None:
        version, image = entry
        left.discard(version)
        if image is None:
            unclear += 1
            continue
        images.setdefault(image.manifest, image)
        rules.setdefault(image.manifest, set()).update(timed.get(version, ()))
    counted = pulls or {}
    idle = {manifest for manifest in images if counted.get(manifest) == 0}
    asked = [manifest for manifest in images if manifest not in idle]
    # sorting is stable: of equal ones the newer stays before
    asked.sort(key=lambda manifest: (manifest in counted, -counted.get(manifest, 0)))
    for manifest in asked[:versions]:
        rules[manifest].add("versions" if pulls is None else "demand")
    return Sources(
        found=tuple(
            Source(image=image, rules=tuple(sorted(rules[manifest])))
            for manifest, image in images.items()
            if rules[manifest] and manifest not in idle
        ),
        unclear=unclear,
        idle=len(idle),
    )
