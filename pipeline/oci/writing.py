"""Documents that are made and not copied: the same values give the same bytes."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .descriptor import Descriptor
from .media_types import OCI_INDEX, OCI_MANIFEST

# The config of an artifact that has none (image-spec, manifest.md, "Guidelines for Artifact Usage").
EMPTY_JSON: Final = b"{}"


def write_json(value: Any) -> bytes:
    """Compact, in the order of the members."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def write_index(manifests: Iterable[Descriptor]) -> bytes:
    """An image index. `mediaType` is inside: flatpak then works with any Content-Type."""
    return write_json(
        {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json() for entry in manifests]}
    )


def write_manifest(
    *,
    config: Descriptor,
    layers: Iterable[Descriptor],
    annotations: Mapping[str, str],
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> bytes:
    """An image manifest, with its `mediaType` inside."""
    return write_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            **({"artifactType": artifact_type} if artifact_type is not None else {}),
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
            **({"subject": subject.to_json()} if subject is not None else {}),
            "annotations": dict(annotations),
        }
    )
