"""The proof of a delta: applied, it makes the layer that it is for, bit for bit. Nothing is listed without it."""

from pathlib import Path
from typing import BinaryIO

from ..errors import DeltapressError
from ..oci.digest import DiffID
from ..parallel import HashingThread
from ..tardiff.decoder import apply
from ..tardiff.layer.tree import SourceTree


class WrongLayerError(DeltapressError):
    """A delta that can be applied, and makes the layer `made` instead of `expected`."""

    def __init__(self, made: DiffID, expected: DiffID) -> None:
        super().__init__(f"the delta makes {made}, not {expected}")
        self.made = made
        self.expected = expected


def prove(delta: BinaryIO, sources: Path | SourceTree, to_diff_id: DiffID, *, size: int) -> None:
    """Apply `delta` to `sources`, the files below a directory or an extracted tree, and compare.

    Raises:
        DeltaError: it cannot be applied, or makes another number of bytes than `size`.
        WrongLayerError: it makes other bytes than those of `to_diff_id`.
    """
    hasher = to_diff_id.new_hasher()
    with HashingThread(hasher) as hashing:
        apply(delta, sources, hashing, expected_size=size)
    made = DiffID.of_hasher(to_diff_id.algorithm, hasher)
    if made != to_diff_id:
        raise WrongLayerError(made, to_diff_id)
