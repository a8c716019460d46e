"""What a run may use, and how large a layer may be: [limits], which commands without a configuration have too."""

from dataclasses import dataclass
from typing import Final

# bytes that any layer may have, whatever its ratio: they are read in no time, and small layers may be all zeros
_ANY_RATIO: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds in bytes. `memory` None means `memory_share` of the machine's; `layer` is for one layer, uncompressed.

    `ratio` is how many times its stored bytes a layer may have uncompressed. gzip reaches 1,030 and zstd 32,000, both
    with zeros; what is not a bomb stays below `ratio`, even hundreds of copies of one file.
    """

    memory: int | None = None
    memory_share: float = 0.5
    layer: int = 64 << 30
    ratio: int = 1000

    def memory_of(self, machine: int) -> int:
        """The bytes that a run may use on a machine that has `machine` bytes."""
        return self.memory if self.memory is not None else int(machine * self.memory_share)

    def layer_of(self, stored: int) -> int:
        """The bytes that a layer may have uncompressed which has `stored` bytes as it is stored."""
        return min(self.layer, max(_ANY_RATIO, self.ratio * stored))

    def key_for(self, stored: int) -> str:
        """Which key of [limits] says so: the one to raise where it is too little."""
        return "ratio" if self.layer_of(stored) < self.layer else "layer"
