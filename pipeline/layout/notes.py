"""Lines for people about what of a layout is not published, though nothing is wrong with it.

Rule. Their number does not grow with the layout: what is left out for the same reason stands in one line, night after
      night.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..text import one_line
from .refs import Layout
from .selection import Skipped
from .storage import MAX_PROBLEM

_MAX_NAMES: Final = 5


def notes_of(layout: Layout, published: Container[Digest]) -> tuple[str, ...]:
    """`published` are manifests of earlier runs: tools that append to a layout leave them there without their names."""
    skipped = (entry for entry in layout.skipped if entry.digest not in published)
    lines = [*_left_out(skipped), *_absent(layout)]
    return tuple(one_line(line, most=MAX_PROBLEM) for line in lines)


def _left_out(skipped: Iterable[Skipped]) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        by_reason.setdefault(entry.reason, []).append(entry.name)
    for reason, names in by_reason.items():
        if len(names) == 1:
            yield f"{names[0]} {reason}."
        else:
            yield f"{len(names):,} entries of index.json are left out; each {reason}: {_some(names)}."


def _absent(layout: Layout) -> Iterator[str]:
    """One line for all tags whose indexes lack the same platforms."""
    tags: dict[str, list[str]] = {}
    for ref in layout.refs:
        if ref.image.absent:
            tags.setdefault(_some([_named(entry) for entry in ref.image.absent]), []).append(ref.tag)
    for missing, names in list(tags.items())[:_MAX_NAMES]:
        yield (
            f"tag {_some(names)}: its index is published as it is, but the layout does not have all that it names; "
            f"not published: {missing}."
        )
    if len(tags) > _MAX_NAMES:
        yield f"{len(tags) - _MAX_NAMES:,} more indexes name what the layout does not have."


def _named(entry: Descriptor) -> str:
    return f"{entry.platform} ({entry.digest.short})" if entry.platform is not None else entry.digest.short


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
