"""What of a layout is left out because something is wrong with it, while the rest is published.

Rule 1. A fault belongs to the tags that reach it. Only what is wrong with the layout as a whole, such as a missing
        index.json or a bound that is exceeded, is a fault of all of them.
Rule 2. Where not one tag is left, the layout has failed: a repository without a tag is of no use to anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..oci.digest import Digest
from .storage import LayoutError

_MAX_TOLD: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenTag:
    """One entry of an index.json that is not published, and why.

    `tag` is None for an artifact, which has no name, and for an entry whose name could not be read; `is_nameless` tells
    the second from the first: any tag may have been meant.
    """

    tag: str | None
    error: LayoutError
    is_nameless: bool = False

    @property
    def digest(self) -> Digest | None:
        """The content that is at fault, where one is."""
        return self.error.digest

    @property
    def problem(self) -> str:
        return self.error.problem

    @property
    def advice(self) -> str:
        return self.error.advice


class BrokenLayoutError(LayoutError):
    """Not one of several tags can be published."""

    def __init__(self, path: Path, broken: Sequence[BrokenTag]) -> None:
        self.broken = tuple(broken)
        told = [f"{found.tag or 'without a name'}: {found.problem}" for found in broken[:_MAX_TOLD]]
        if len(broken) > _MAX_TOLD:
            told.append(f"and {len(broken) - _MAX_TOLD:,} more")
        super().__init__(path, f"all of its {len(broken):,} tags are broken.", advice=broken[0].advice)
        self.args = ("\n  ".join([f"{path}: {self.problem}", *told, *([self.advice] if self.advice else [])]),)


def all_broken(path: Path, broken: Sequence[BrokenTag]) -> LayoutError:
    """The error of a layout of which nothing is left."""
    return broken[0].error if len(broken) == 1 else BrokenLayoutError(path, broken)
