"""Lines for people about what of a layout they may not expect, though nothing is wrong with it.

Rule. Their number does not grow with the layout: what is left out for the same reason stands in one line, night after
      night.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Final

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.media_types import UNCOMPRESSED_LAYERS
from ..quantities import format_size
from ..text import one_line
from .refs import Layout
from .selection import Skipped
from .storage import MAX_PROBLEM

_MAX_NAMES: Final = 5


def notes_of(layout: Layout, published: Container[Digest]) -> tuple[str, ...]:
    """`published` are manifests of earlier runs: tools that append to a layout leave them there without their names."""
    skipped = (entry for entry in layout.skipped if entry.digest not in published)
    lines = [*_left_out(skipped), *_absent(layout), *_idle(layout), *_uncompressed(layout, published)]
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


def _idle(layout: Layout) -> Iterator[str]:
    if layout.idle_globs:
        globs = _some([f'"{glob}"' for glob in layout.idle_globs])
        yield f"no tag of the layout matches {globs} in `tags`; it has {_some([ref.tag for ref in layout.refs])}."


def _uncompressed(layout: Layout, published: Container[Digest]) -> Iterator[str]:
    """About new images alone: it is too late to compress the others."""
    layers = {
        layer.descriptor.digest: layer.descriptor.size
        for image in layout.images.values()
        for platform in image.platforms
        if platform.manifest.digest not in published
        for layer in platform.layers
        if layer.descriptor.media_type in UNCOMPRESSED_LAYERS
    }
    if layers:
        are, size = "is" if len(layers) == 1 else "are", format_size(sum(layers.values()))
        yield (
            f"{len(layers):,} of the new layers {are} not compressed, {size}, and clients without a delta download "
            "them as they are; `skopeo copy oci:LAYOUT:TAG oci:OTHER:TAG` compresses."
        )


def _named(entry: Descriptor) -> str:
    return f"{entry.platform} ({entry.digest.short})" if entry.platform is not None else entry.digest.short


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more
