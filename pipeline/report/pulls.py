"""What a pull did, or would do, and what is in a bundle."""

import re
from collections.abc import Iterator
from typing import Any, Final

from ..client.bundle.writing import BundleOutcome
from ..client.outcome import LayerOutcome, PullOutcome
from ..quantities import format_share, format_size
from .lines import table, text_of

_DIGITS: Final = re.compile(r"(?<=\b[0-9a-f]{12})(?:[0-9a-f]{52}|[0-9a-f]{116})\b")  # those that `short` leaves out


def pull_text(outcome: PullOutcome) -> str:
    """One line where nothing is new, else a row for each layer."""
    if not outcome.layers and not outcome.is_changed:
        return text_of([f"{outcome.into}: {outcome.name} is up to date ({outcome.manifest.short})"])
    return text_of([*table(list(_rows(outcome)), right={2, 3}), _sum(outcome)])


def pull_json(outcome: PullOutcome) -> dict[str, Any]:
    """The same for programs."""
    return {
        "exit_code": 0,
        "image": outcome.name,
        "into": outcome.into,
        "platform": str(outcome.platform),
        "digest": str(outcome.root),
        "manifest": str(outcome.manifest),
        "config": str(outcome.config),
        "changed": outcome.is_changed,
        "dry_run": outcome.is_dry,
        "downloaded": outcome.downloaded,
        "whole": outcome.whole,
        "layers": [_layer_json(layer) for layer in outcome.layers],
    }


def bundle_text(outcome: BundleOutcome) -> str:
    """A row for each old image from which the bundle leads."""
    rows = [["from", "manifest", "size"]]
    rows += [[found.source, found.manifest.short, format_size(found.size)] for found in outcome.artifacts]
    size = f"{outcome.name}: {format_size(outcome.size)} instead of {format_size(outcome.whole)}"
    return text_of([*table(rows, right={2}), size])


def bundle_json(outcome: BundleOutcome) -> dict[str, Any]:
    """The same for programs."""
    return {
        "exit_code": 0,
        "image": outcome.name,
        "digest": str(outcome.root),
        "manifest": str(outcome.manifest),
        "size": outcome.size,
        "whole": outcome.whole,
        "artifacts": [
            {
                "source": found.source,
                "manifest": str(found.manifest),
                "artifact": str(found.artifact),
                "size": found.size,
            }
            for found in outcome.artifacts
        ],
    }


def _rows(outcome: PullOutcome) -> Iterator[list[str]]:
    yield ["layer", "how", "whole", "download"]
    for layer in outcome.layers:
        # runtimes call images by whole digests, with or without the algorithm
        how = f"delta from {_DIGITS.sub('…', layer.source or '')}" if layer.way == "delta" else layer.way
        yield [layer.digest.short, how, format_size(layer.size), format_size(layer.bytes)]


def _sum(outcome: PullOutcome) -> str:
    would = "would download" if outcome.is_dry else "downloaded"
    line = f"{outcome.into}: {outcome.name} ({outcome.manifest.short}): {would} {format_size(outcome.downloaded)}"
    saved = outcome.whole - outcome.downloaded
    if not saved:
        return line
    less = f", {format_share(saved, outcome.whole)} less" if saved > 0 else ""
    return f"{line} instead of {format_size(outcome.whole)}{less}"


def _layer_json(layer: LayerOutcome) -> dict[str, Any]:
    return {
        "digest": str(layer.digest),
        "diff_id": str(layer.diff_id),
        "how": layer.way,
        "size": layer.size,
        "downloaded": layer.bytes,
        "delta": str(layer.delta) if layer.delta is not None else None,
        "source": layer.source,
    }
