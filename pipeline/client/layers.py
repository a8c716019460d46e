"""Each layer of an image into a layout: found there, rebuilt by a delta, or fetched whole.

Rule 1. A layer enters the layout when its uncompressed bytes have its DiffID, whatever it was made of.
Rule 2. A delta that fails in any way is told in one line, and the whole layer comes instead; a full disk is no failure
        of the delta.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal, cast

from ..compression import CompressionError, OutputTooLargeError, Writable, decompressed
from ..content import FileContent, chunks
from ..errors import DeltapressError
from ..history.records.images import LayerRecord
from ..layout.writing import WritableLayout
from ..limits import Limits
from ..oci.descriptor import Descriptor
from ..oci.digest import DiffID, Digest
from ..parallel import HashingThread
from ..progress import Progress, Task
from ..tardiff.decoder import apply
from .download import download
from .offers import DeltaOffer
from .repository import Repository
from .sources import OpenedSources

Way = Literal["here", "delta", "whole"]

PLAIN_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class WrongDeltaError(DeltapressError):
    """A delta that can be applied, and makes another layer."""


class WrongLayerError(DeltapressError):
    """A layer whose stored bytes are right, and whose uncompressed ones are not what the image's config says."""


class LayerOverLimitError(DeltapressError):
    """A layer with more bytes, uncompressed, than `limits` allow one that has `stored` bytes."""

    def __init__(self, digest: Digest, limits: Limits, stored: int) -> None:
        advice = "if that is right, allow more with --max-size"
        if limits.key_for(stored) == "ratio":
            advice = f"that is {limits.ratio:,} times what is stored, as in layers that shall fill disks"
        super().__init__(
            f"layer {digest} decompresses to more than the allowed {limits.layer_of(stored):,} bytes; {advice}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlan:
    """How a layer is come by: `here` is what the layout has of it, `offer` the delta that makes it."""

    layer: LayerRecord
    here: Descriptor | None = None
    offer: DeltaOffer | None = None

    @property
    def way(self) -> Way:
        if self.here is not None:
            return "here"
        return "whole" if self.offer is None else "delta"

    @property
    def bytes(self) -> int:
        """What is to be downloaded."""
        if self.here is not None:
            return 0
        return self.layer.size if self.offer is None else self.offer.blob.size


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLayer:
    """A layer that is in the layout as `stored` says; how it came there, and how many bytes were fetched for that."""

    layer: LayerRecord
    way: Way
    stored: Descriptor
    bytes: int


def plan_layers(
    layers: tuple[LayerRecord, ...], here: Mapping[DiffID, Descriptor], offers: Mapping[DiffID, DeltaOffer]
) -> tuple[LayerPlan, ...]:
    """How to come by each layer; by the fewest bytes. A layer that stands there twice is made once."""
    plans = {}
    for layer in layers:
        offer = offers.get(layer.diff_id)
        plans[layer.diff_id] = LayerPlan(
            layer=layer,
            here=here.get(layer.diff_id),
            offer=offer if offer is not None and offer.blob.size < layer.size else None,
        )
    return tuple(plans.values())


@dataclass(slots=True, kw_only=True)
class LayerMaker:
    """Makes layers one after the other. `is_plain`: fetched ones are stored uncompressed, too."""

    layout: WritableLayout
    repository: Repository
    sources: OpenedSources
    limits: Limits
    progress: Progress
    is_plain: bool

    def make(self, plan: LayerPlan, task: Task) -> MadeLayer:
        """Have the layer in the layout.

        Raises:
            TargetError, WrongContentError: it cannot be fetched.
            WrongLayerError, LayerOverLimitError: it is not what the image says.
            OSError: the layout cannot be written.
        """
        if plan.here is not None:
            return MadeLayer(layer=plan.layer, way="here", stored=plan.here, bytes=0)
        if plan.offer is None:
            return self._whole(plan.layer, 0, task)
        delta = self._unfinished(plan.offer.blob.digest)
        came = 0
        try:
            came = download(self.repository, plan.offer.blob, delta, task)
            stored = self._rebuilt(plan.layer, plan.offer, delta)
        except DeltapressError as error:
            self.progress.step(f"layer {plan.layer.digest} is fetched whole: delta {plan.offer.blob.digest}: {error}")
            for file in (delta, self._rebuilding(plan.layer)):
                file.unlink(missing_ok=True)
            return self._whole(plan.layer, came, task)
        delta.unlink()
        return MadeLayer(layer=plan.layer, way="delta", stored=stored, bytes=came)

    def unfinished(self, plan: LayerPlan) -> Iterator[str]:
        """The names of the files that a run which is killed on the way may leave, for the next one to go on with."""
        files = [self._unfinished(plan.layer.digest), self._rebuilding(plan.layer)]
        if plan.offer is not None:
            files.append(self._unfinished(plan.offer.blob.digest))
        yield from (file.name for file in files)

    def _rebuilt(self, layer: LayerRecord, offer: DeltaOffer, delta: Path) -> Descriptor:
        files = self.sources.files(offer.source, offer.layers)
        out = self._rebuilding(layer)
        with delta.open("rb") as stream, out.open("wb") as file:
            hasher = layer.diff_id.new_hasher()
            with HashingThread(hasher) as hashing:
                bounded = _Bounded(layer, self.limits, file, hashing)
                apply(stream, files, bounded, expected_size=None)
        made = DiffID.of_hasher(layer.diff_id.algorithm, hasher)
        if made != layer.diff_id:
            raise WrongDeltaError(f"makes {made} instead of {layer.diff_id} from {offer.source.name}")
        return self._keep_plain(out, layer)

    def _whole(self, layer: LayerRecord, before: int, task: Task) -> MadeLayer:
        blob = Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
        file = self._unfinished(layer.digest)
        came = before + download(self.repository, blob, file, task)
        out = self._rebuilding(layer) if self.is_plain else None
        check_layer(file, layer, self.limits, out)
        if out is None:
            self.layout.keep(file, layer.digest)
            stored = blob
        else:
            stored = self._keep_plain(out, layer)
            file.unlink()
        return MadeLayer(layer=layer, way="whole", stored=stored, bytes=came)

    def _keep_plain(self, file: Path, layer: LayerRecord) -> Descriptor:
        size = file.stat().st_size
        digest = Digest.parse(str(layer.diff_id))
        self.layout.keep(file, digest)
        return Descriptor(media_type=PLAIN_LAYER, digest=digest, size=size)

    def _unfinished(self, digest: Digest) -> Path:
        return self.layout.unfinished(f"{digest.algorithm}-{digest.hex}")

    def _rebuilding(self, layer: LayerRecord) -> Path:
        return self.layout.unfinished(f"rebuilt-{layer.diff_id.algorithm}-{layer.diff_id.hex}")


def check_layer(file: Path, layer: LayerRecord, limits: Limits, out: Path | None = None) -> None:
    """Compare the stored layer in `file` with its DiffID, and write its uncompressed bytes to `out`.

    Raises:
        WrongLayerError, LayerOverLimitError: it is not what the image says; `out` is removed.
    """
    hasher = layer.diff_id.new_hasher()
    size = file.stat().st_size
    stored_size = max(size, layer.size)
    try:
        with HashingThread(hasher) as hashing, ExitStack() as opened:
            stored = opened.enter_context(FileContent(path=file, size=size).open())
            tar = opened.enter_context(decompressed(stored, max_bytes=limits.layer_of(stored_size)))
            sinks: list[Writable] = [hashing] if out is None else [hashing, opened.enter_context(out.open("wb"))]
            for data in chunks(cast(BinaryIO, tar)):
                for sink in sinks:
                    sink.write(data)
        made = DiffID.of_hasher(layer.diff_id.algorithm, hasher)
        if made != layer.diff_id:
            raise WrongLayerError(
                f"layer {layer.digest} decompresses to {made}, but the image's config says {layer.diff_id}; the image "
                "was built wrong, or is not what it was"
            )
    except (CompressionError, WrongLayerError) as error:
        if out is not None:
            out.unlink(missing_ok=True)
        if isinstance(error, OutputTooLargeError):
            raise LayerOverLimitError(layer.digest, limits, stored_size) from error
        if isinstance(error, CompressionError):
            raise WrongLayerError(f"layer {layer.digest}: {error}; the image was built wrong") from error
        raise


class _Bounded:
    """Passes a layer on to `sinks`, and stops it where it gets larger than the limits allow."""

    def __init__(self, layer: LayerRecord, limits: Limits, *sinks: Writable) -> None:
        self._layer, self._limits, self._sinks = layer, limits, sinks
        self._left = limits.layer_of(layer.size)

    def write(self, data: bytes, /) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise LayerOverLimitError(self._layer.digest, self._limits, self._layer.size)
        for sink in self._sinks:
            sink.write(data)
