"""The media types and annotations of an artifact, and what its parts are called."""

from typing import Final

ARTIFACT_TYPE: Final = "application/vnd.io.github.containers.oci-delta.v1"
_PREFIX: Final = "io.github.containers.delta."
TARGET: Final = f"{_PREFIX}target"
SOURCE: Final = f"{_PREFIX}source"
SOURCE_CONFIG: Final = f"{_PREFIX}source-config"
REUSED: Final = f"{_PREFIX}reused"
REUSED_DIFF_ID: Final = f"{_PREFIX}reused-diff-id"
CONTENT: Final = f"{_PREFIX}content"
TO: Final = f"{_PREFIX}to"
MANIFEST_CONTENT: Final = "image-manifest"
CONFIG_CONTENT: Final = "image-config"
LAYER_CONTENT: Final = "image-layer"
SIGNATURE_CONTENT: Final = "cosign-signature"
SIGNATURE_PART_CONTENT: Final = "cosign-signature-content"
