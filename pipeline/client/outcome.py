"""What a pull did, or would do, as values."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..oci.descriptor import Platform
from ..oci.digest import DiffID, Digest
from .images import RemoteImage
from .layers import LayerPlan, MadeLayer, Way


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOutcome:
    """One layer: `bytes` were or would be downloaded, `size` is what a client without deltas downloads for it.

    `delta` and `source` are the delta that was chosen, and the old image that it was applied to.
    """

    digest: Digest
    diff_id: DiffID
    size: int
    way: Way
    bytes: int
    delta: Digest | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOutcome:
    """`root` is what the name led to, `manifest` the registry's manifest for the platform, `config` its config.

    is_changed: what `into` holds is another image than before. layers: none where nothing had to be looked at.
    """

    name: str
    into: str
    platform: Platform
    root: Digest
    manifest: Digest
    config: Digest
    is_changed: bool
    is_dry: bool = False
    layers: tuple[LayerOutcome, ...] = ()

    @property
    def downloaded(self) -> int:
        """Bytes of layers and deltas."""
        return sum(layer.bytes for layer in self.layers)

    @property
    def whole(self) -> int:
        """Bytes of the layers that were not here, as a client without deltas downloads them."""
        return sum(layer.size for layer in self.layers if layer.way != "here")


def planned(plans: Iterable[LayerPlan]) -> tuple[LayerOutcome, ...]:
    """What carrying out the plans would do."""
    return tuple(_outcome(plan, plan.way, plan.bytes) for plan in plans)


def done(plans: Iterable[LayerPlan], made: Iterable[MadeLayer]) -> tuple[LayerOutcome, ...]:
    """What came of the plans."""
    return tuple(_outcome(plan, layer.way, layer.bytes) for plan, layer in zip(plans, made, strict=True))


def _outcome(plan: LayerPlan, way: Way, size: int) -> LayerOutcome:
    offer = plan.offer if plan.here is None else None
    return LayerOutcome(
        digest=plan.layer.digest,
        diff_id=plan.layer.diff_id,
        size=plan.layer.size,
        way=way,
        bytes=size,
        delta=None if offer is None else offer.blob.digest,
        source=None if offer is None else offer.source.name,
    )


def outcome_of(
    image: RemoteImage, name: str, into: str, *, is_changed: bool, is_dry: bool, layers: tuple[LayerOutcome, ...]
) -> PullOutcome:
    """The outcome for an image that a registry has."""
    return PullOutcome(
        name=name,
        into=into,
        platform=image.record.platform,
        root=image.root,
        manifest=image.manifest.digest,
        config=image.manifest.config.digest,
        is_changed=is_changed,
        is_dry=is_dry,
        layers=layers,
    )
