"""From a reference to the image of one platform: its manifest, its config, and its layers as records."""

from dataclasses import dataclass
from typing import Final

from ..errors import DeltapressError
from ..history.records.images import FLATPAK_LABELS, LayerRecord, PlatformRecord
from ..oci.descriptor import Platform
from ..oci.digest import Digest
from ..oci.fields import FieldError
from ..oci.manifest import MAX_CONFIG_SIZE, Document, Index, Manifest, is_document, parse_image_config
from ..targets.base import KeyMissingError
from .repository import Repository, UnknownImageError, WrongContentError

_MAX_INDEXES: Final = 4  # in each other


class NoSuchPlatformError(DeltapressError):
    """The reference leads to an index without this platform."""

    def __init__(self, name: str, platform: Platform, offered: str) -> None:
        super().__init__(f"{name}: has no image for {platform}; it has {offered or 'none'}: choose with --platform")


class NoContainerImageError(DeltapressError):
    """What the reference leads to is something else, or has layers that cannot be read."""

    def __init__(self, name: str, manifest: Manifest) -> None:
        types = sorted({manifest.config.media_type, *(layer.media_type for layer in manifest.layers)})
        problem = f"is no container image of readable layers; it has {', '.join(types)[:300]}"
        super().__init__(f"{name}: {problem if manifest.layers else 'has no layers, so there is nothing to pull'}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteImage:
    """An image as a registry has it.

    root: the digest that the reference led to. indexes: those on the way to the manifest, the first one first.
    config: the bytes of the configuration. record: the same as everybody else knows images.
    """

    root: Digest
    indexes: tuple[Index, ...]
    manifest: Manifest
    config: bytes
    record: PlatformRecord


def resolve(repository: Repository, reference: str | Digest, platform: Platform, *, name: str) -> RemoteImage:
    """The image under a tag or a digest; of an index, that for `platform`.

    Raises:
        UnknownImageError: there is none.
        NoSuchPlatformError, NoContainerImageError: it is none for us.
        WrongContentError, TargetError: it cannot be read.
    """
    try:
        return image_of(repository, repository.document(reference), platform, name=name)
    except KeyMissingError as error:
        raise UnknownImageError(repository.target, name) from error


def image_of(repository: Repository, document: Document, platform: Platform, *, name: str) -> RemoteImage:
    """`resolve`, from a document that was read. What is missing then is a KeyMissingError, too."""
    root, indexes = document.digest, list[Index]()
    while isinstance(document, Index):
        if len(indexes) >= _MAX_INDEXES:
            raise WrongContentError(repository.target, name, f"is nested more than {_MAX_INDEXES} indexes deep")
        indexes.append(document)
        document = repository.document(_chosen(document, platform, name))
    if not document.is_image:
        raise NoContainerImageError(name, document)
    raw = repository.blob(document.config, limit=MAX_CONFIG_SIZE)
    try:
        record = record_of(document, raw)
    except FieldError as error:
        raise WrongContentError(repository.target, f"config {document.config.digest}", str(error)) from error
    return RemoteImage(root=root, indexes=tuple(indexes), manifest=document, config=raw, record=record)


def record_of(manifest: Manifest, raw_config: bytes) -> PlatformRecord:
    """An image as the history of a tree knows it. Raises FieldError where config and manifest do not fit together."""
    config = parse_image_config(raw_config)
    if not config.diff_ids or len(config.diff_ids) != len(manifest.layers):
        raise FieldError(
            "rootfs.diff_ids", f"has {len(config.diff_ids)} entries, the manifest {len(manifest.layers)} layers"
        )
    is_flatpak = all(name in config.labels for name in FLATPAK_LABELS)
    return PlatformRecord(
        platform=config.platform,
        manifest=manifest.digest,
        config=manifest.config.digest,
        layers=tuple(
            LayerRecord(diff_id=diff_id, digest=layer.digest, size=layer.size, media_type=layer.media_type)
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        ),
        labels=config.labels if is_flatpak else {},
    )


def _chosen(index: Index, platform: Platform, name: str) -> Digest:
    entries = [entry for entry in index.manifests if is_document(entry)]
    for entry in entries:
        if entry.platform is not None and entry.platform.kind == platform.kind:
            return entry.digest
    if len(entries) == 1 and entries[0].platform is None:
        return entries[0].digest  # an index within an index, or of one image
    offered = sorted({str(entry.platform) for entry in entries if entry.platform and not entry.platform.is_unknown})
    raise NoSuchPlatformError(name, platform, ", ".join(offered)[:300])
