"""Descriptors: the edges of the content graph (image-spec, descriptor.md)."""

from dataclasses import dataclass, field
from typing import Any, Final, Self

from .digest import Digest
from .fields import Fields

_SYSTEMS: Final = {"macos": "darwin"}
_ARCHITECTURES: Final = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_VARIANTS: Final = {
    ("amd64", "v1"): "",
    ("arm64", "v8"): "",
    ("arm64", "8"): "",
    ("arm", ""): "v7",
    **{("arm", str(number)): f"v{number}" for number in range(5, 9)},
}


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Platform:
    """What an image runs on. Two images are versions of each other only when their `kind` agrees."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    @classmethod
    def read(cls, fields: Fields) -> Self:
        return cls(
            os=fields.text("os", ""),
            architecture=fields.text("architecture", ""),
            variant=fields.text("variant", ""),
            os_version=fields.text("os.version", ""),
        )

    @property
    def is_unknown(self) -> bool:
        """True for the `unknown/unknown` that docker buildx gives its attestation manifests."""
        return self.os == "unknown" or self.architecture == "unknown"

    @property
    def kind(self) -> "Platform":
        """What clients take for the same: arm64 and arm64/v8 (containerd's platforms, "Normalization"), and a build of
        Windows, whatever its revision."""
        os = _SYSTEMS.get(self.os.lower(), self.os.lower())
        architecture = "arm64" if self.architecture.lower() == "aarch64" else self.architecture.lower()
        architecture, variant = _ARCHITECTURES.get(architecture, (architecture, self.variant.lower()))
        variant = _VARIANTS.get((architecture, variant), variant)
        build = ".".join(self.os_version.split(".")[:3])
        return Platform(os=os, architecture=architecture, variant=variant, os_version=build)

    def to_json(self) -> dict[str, str]:
        found = {"architecture": self.architecture, "os": self.os}
        if self.variant:
            found["variant"] = self.variant
        if self.os_version:
            found["os.version"] = self.os_version
        return found

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Type, digest and size in bytes of some content, with what was said about it."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()

    @classmethod
    def read(cls, fields: Fields) -> Self:
        """Raises FieldError naming the key path below which `fields` lies."""
        return cls(
            media_type=fields.text("mediaType", ""),
            digest=fields.digest("digest"),
            size=fields.size("size"),
            platform=Platform.read(fields.object("platform")) if fields.has("platform") else None,
            annotations=fields.texts("annotations"),
            artifact_type=fields.optional_text("artifactType"),
            urls=fields.list_of_texts("urls"),
        )

    def to_json(self) -> dict[str, Any]:
        """The JSON members in the order of the specification's examples; absent ones left out."""
        found: dict[str, Any] = {"mediaType": self.media_type}
        if self.artifact_type is not None:
            found["artifactType"] = self.artifact_type
        found |= {"digest": str(self.digest), "size": self.size}
        if self.platform is not None:
            found["platform"] = self.platform.to_json()
        if self.annotations:
            found["annotations"] = dict(sorted(self.annotations.items()))
        return found
