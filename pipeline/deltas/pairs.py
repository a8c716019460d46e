"""Pure: the layers of an old and a new image -> from which to which of them deltas lead.

Everything that is looked up is counted once, so that the work grows as the number of layers does.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from ..history.records.deltas import DeltaKey
from ..history.records.images import LayerRecord, PlatformRecord
from ..history.records.repositories import RepositoryRecord
from ..oci.digest import DiffID
from ..tardiff.layer.outline import Outline


class Pairs:
    """What deltas lead from and to, in one repository. `outlines` are those of all layers that are known."""

    def __init__(self, record: RepositoryRecord, outlines: Mapping[DiffID, Outline]) -> None:
        self._record, self._outlines = record, outlines

    def between(self, old: PlatformRecord, new: PlatformRecord) -> Iterator[tuple[DeltaKey, LayerRecord]]:
        """What leads from one image to another: the key of each delta, and the layer that it makes."""
        if not old.layers:
            return
        if new.is_flatpak:
            last = old.layers[-1].diff_id
            below = () if last in self._ambiguous else tuple(layer.diff_id for layer in old.layers[:-1])
            for layer in {layer.diff_id: layer for layer in new.layers}.values():
                yield DeltaKey(from_diff_id=last, to_diff_id=layer.diff_id, below=below), layer
            return
        done = {layer.diff_id for layer in old.layers}
        sources = _Sources(old.layers, self._outlines)
        for position, layer in enumerate(new.layers):
            if layer.diff_id not in done:
                done.add(layer.diff_id)
                best = sources.best(self._outlines.get(layer.diff_id), len(new.layers) - position)
                yield DeltaKey(from_diff_id=best.diff_id, to_diff_id=layer.diff_id), layer

    def of_whole_images(self, old: PlatformRecord, new: PlatformRecord) -> Iterator[tuple[DeltaKey, LayerRecord]]:
        """The same where the client has all of the old image for certain, and takes from it what did not change."""
        if not old.layers:
            return
        *below, last = (layer.diff_id for layer in old.layers)
        for layer in changed_layers(old, new):
            yield DeltaKey(from_diff_id=last, to_diff_id=layer.diff_id, below=tuple(below)), layer

    @cached_property
    def _ambiguous(self) -> frozenset[DiffID]:
        """The last layers that lie on other layers in another image of the repository."""
        chains: dict[DiffID, set[tuple[DiffID, ...]]] = {}
        for image in self._record.platform_images():
            if image.layers:
                chain = tuple(layer.diff_id for layer in image.layers)
                chains.setdefault(chain[-1], set()).add(chain)
        return frozenset(last for last, found in chains.items() if len(found) > 1)


def changed_layers(old: PlatformRecord, new: PlatformRecord) -> list[LayerRecord]:
    """The layers of `new` that `old` does not have, each once, in their order."""
    there = {layer.diff_id for layer in old.layers}
    return list({layer.diff_id: layer for layer in new.layers if layer.diff_id not in there}.values())


class _Sources:
    """The layers of an old image, by the names and the contents of their largest files."""

    def __init__(self, layers: Sequence[LayerRecord], outlines: Mapping[DiffID, Outline]) -> None:
        self._layers = layers
        self._named: dict[str, set[int]] = {}
        self._holding: dict[str, set[int]] = {}
        for position, layer in enumerate(layers):
            outline = outlines.get(layer.diff_id)
            for file in outline.files if outline is not None else ():
                self._named.setdefault(file.name, set()).add(position)
                self._holding.setdefault(file.content, set()).add(position)

    def best(self, target: Outline | None, depth: int) -> LayerRecord:
        """The layer that has most bytes of the target's large files, by name or by content; ties go to the one that
        lies as deep below the top."""
        place = len(self._layers) - depth
        shared: dict[int, int] = {}
        for file in target.files if target is not None else ():
            for position in self._named.get(file.name, set()) | self._holding.get(file.content, set()):
                shared[position] = shared.get(position, 0) + file.size
        if not shared:
            return self._layers[min(max(place, 0), len(self._layers) - 1)]
        return self._layers[min(shared, key=lambda position: (-shared[position], abs(position - place), position))]
