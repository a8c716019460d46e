"""How hard to try when deltas are made. What each effort does is the encoder's (`tardiff.encoder`)."""

from typing import Final, Literal, get_args

Effort = Literal["fast", "default", "max"]
EFFORTS: Final[tuple[Effort, ...]] = get_args(Effort)
DEFAULT_EFFORT: Final[Effort] = "default"
