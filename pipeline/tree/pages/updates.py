"""Pure: what an update downloads, whole and by deltas, as the rows of a table and the bars of a chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...deltas.savings import Saving
from ...oci.digest import Digest

_LEAST_SHOWN: Final = 0.5  # percent of the chart: what is there must be seen
_ROW: Final = 46  # the height of a row in pixels; its text stands above its bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """From one old image, which people know by `name`, to the latest for one platform; sizes in bytes.

    Of a bar, `whole_width` and `delta_width` are percent of the chart; `top` is in pixels.
    """

    source: Digest
    name: str
    whole: int
    with_deltas: int
    saved: int
    layers: int
    deltas: int
    pending: int
    refused: tuple[str, ...]
    top: int
    whole_width: float
    delta_width: float

    @property
    def state(self) -> str:
        """`pending` and `refused` mean that there is no delta at all; otherwise there are some: `saved`."""
        if self.deltas:
            return "saved"
        return "pending" if self.pending else "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """The updates into one image. `height` is that of their chart in pixels."""

    updates: tuple[Update, ...]

    @property
    def height(self) -> int:
        return _ROW * len(self.updates)


def matrix_of(savings: Sequence[Saving], names: Mapping[Digest, str]) -> Matrix:
    """`savings` lead into one image, the nearest source first; `names` are those of sources."""
    most = max((saving.whole for saving in savings), default=0) or 1
    return Matrix(
        updates=tuple(
            Update(
                source=saving.source,
                name=names.get(saving.source, saving.source.short),
                whole=saving.whole,
                with_deltas=saving.with_deltas,
                saved=saving.saved,
                layers=saving.layers,
                deltas=saving.deltas,
                pending=saving.pending,
                refused=saving.refused,
                top=_ROW * number,
                whole_width=_width(saving.whole, most),
                delta_width=_width(saving.with_deltas, most),
            )
            for number, saving in enumerate(savings)
        )
    )


def _width(size: int, most: int) -> float:
    return round(max(100 * size / most, _LEAST_SHOWN), 2)
