"""The layers of an artifact, as a client that has the old image takes them."""

import json
from collections.abc import Iterator
from typing import Any

from ....history.records.deltas import DeltaKey
from ....history.records.images import LayerRecord, PlatformRecord
from ....oci.descriptor import Descriptor
from ....oci.digest import Digest, DigestError
from ....oci.manifest import Manifest
from ....oci.media_types import IMAGE_CONFIGS, MANIFESTS, OCI_GZIP_LAYER
from ..contract import TAR_DIFF, ListedDelta
from .terms import (
    CONFIG_CONTENT,
    CONTENT,
    LAYER_CONTENT,
    MANIFEST_CONTENT,
    REUSED,
    REUSED_DIFF_ID,
    SIGNATURE_CONTENT,
    TO,
)


class PartLayers:
    """The layers of an artifact, read for images that are known; what is wrong with them goes to `problems`.

    `whole` are those of the target that are there as they are, once the deltas were read.
    """

    def __init__(self, manifest: Manifest, old: PlatformRecord, new: PlatformRecord, problems: list[str]) -> None:
        self._manifest, self._old, self._new, self._problems = manifest, old, new, problems
        self.whole: list[LayerRecord] = []
        self._targets: dict[Digest, LayerRecord] = {layer.digest: layer for layer in new.layers}
        self._there = {layer.diff_id for layer in old.layers}

    def deltas(self) -> Iterator[ListedDelta]:
        """The deltas, once each part was looked at."""
        contents: dict[str, list[Digest]] = {}
        done: set[Digest] = set()
        for position, part in enumerate(self._manifest.layers):
            content = part.annotations.get(CONTENT, "")
            contents.setdefault(content, []).append(part.digest)
            if content in {MANIFEST_CONTENT, SIGNATURE_CONTENT} and part.media_type not in MANIFESTS:
                self._complain(position, f"has the type {part.media_type!r}, which is none of a manifest")
            elif content == CONFIG_CONTENT and part.media_type not in IMAGE_CONFIGS:
                self._complain(position, f"has the type {part.media_type!r}, which is none of a config")
            elif content == LAYER_CONTENT and (layer := self._target(position, part)) is not None:
                if layer.digest in done:
                    self._complain(position, f"leads to {layer.digest} a second time")
                done.add(layer.digest)
                if part.media_type == TAR_DIFF:
                    yield ListedDelta(blob=part, key=self._key(layer), is_exact=True)
                elif part.media_type != OCI_GZIP_LAYER or part.digest != layer.digest:
                    self._complain(position, f"is neither a {TAR_DIFF} nor the gzip layer {layer.digest} itself")
                else:
                    self.whole.append(layer)
        for content, wanted in ((MANIFEST_CONTENT, self._new.manifest), (CONFIG_CONTENT, self._new.config)):
            if contents.get(content) != [wanted]:
                self._problems.append(f"layers must have one with {CONTENT} {content!r}, which is {wanted}")
        for layer in self._new.layers:
            if layer.diff_id not in self._there and layer.digest not in done:
                self._problems.append(f"layers lack {layer.digest}, which the source does not have")
                done.add(layer.digest)
        self._check_reused(done)

    def _target(self, position: int, part: Descriptor) -> LayerRecord | None:
        try:
            digest = Digest.parse(part.annotations.get(TO, ""))
        except DigestError as error:
            self._complain(position, f"annotations.{TO}: {error}")
            return None
        if digest not in self._targets:
            self._complain(position, f"annotations.{TO}: {digest} is no layer of {self._new.manifest}")
        return self._targets.get(digest)

    def _key(self, layer: LayerRecord) -> DeltaKey:
        *below, last = (source.diff_id for source in self._old.layers)
        return DeltaKey(from_diff_id=last, to_diff_id=layer.diff_id, below=tuple(below))

    def _check_reused(self, done: set[Digest]) -> None:
        """Clients do not read it today; who writes it should be right."""
        reused = {layer.digest: layer for layer in self._new.layers if layer.digest not in done}.values()
        expected: dict[str, list[str]] = {
            REUSED: [str(layer.digest) for layer in reused],
            REUSED_DIFF_ID: [str(layer.diff_id) for layer in reused],
        }
        for name, texts in expected.items():
            if name in self._manifest.annotations and _listed(self._manifest.annotations[name]) != sorted(texts):
                self._problems.append(f"annotations.{name} must list {', '.join(texts) or 'nothing'}")

    def _complain(self, position: int, problem: str) -> None:
        self._problems.append(f"layers[{position}] {problem}")


def _listed(text: str) -> list[str] | None:
    """The strings of a JSON array, sorted; None for anything else."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_list = isinstance(found, list) and all(isinstance(entry, str) for entry in found)
    return sorted(found) if is_list else None
