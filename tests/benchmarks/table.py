"""What was measured, as one table: a line for each pair and effort, ratios to the reference, and their geometric means.

Rule 1. A size is compared to the reference at its best level, time and memory to the reference at its default level,
        which is its fastest.
Rule 2. Means are over real pairs. Made ones hurt somebody on purpose; each has a bound of its own.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.efforts import EFFORTS

from .contest import REFERENCE_LEVELS, Made, Outcome
from .corpus import PAIRS, Bound
from .measure import Usage

Row = Sequence[str]

_HEAD: Final = (
    "pair", "effort", "layer", "ref", "ref 19", "ours", "/ ref 19", "ref s", "ours s", "/ ref", "encode",
    "ref CPU", "ours CPU", "/ ref", "ref MB", "ours MB", "/ ref", "patch s", "/ Go", "Go s", "/ ref",
)  # fmt: skip
_BOUNDS: Final = {pair.name: pair.bound for pair in PAIRS}
_ALLOWED: Final = {"size": 1024, "wall": 2.0, "memory": 100e6}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Ours in parts of the reference's; None where one of the two is missing."""

    size: float | None
    wall: float | None
    encode: float | None
    cpu: float | None
    memory: float | None
    patch: float | None
    go_patch: float | None


def ratios(outcome: Outcome, effort: str) -> Ratios:
    reference, best, ours = (
        outcome.made["reference"],
        outcome.made["reference, level 19"],
        outcome.made.get(effort, Made()),
    )
    return Ratios(
        size=_ratio(ours.size, best.size),
        wall=_ratio(_wall(ours.make), _wall(reference.make)),
        encode=_ratio(_wall(ours.encode), _wall(reference.make)),
        cpu=_ratio(_cpu(ours.make), _cpu(reference.make)),
        memory=_ratio(_memory(ours.make), _memory(reference.make)),
        patch=_ratio(_wall(ours.our_patch), _wall(ours.go_patch)),
        go_patch=_ratio(_wall(ours.go_patch), _wall(reference.go_patch)),
    )


def text_table(outcomes: Sequence[Outcome]) -> str:
    rows = [_HEAD, *_rows(outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join("  ".join(_padded(row, widths)).rstrip() for row in rows)


def markdown_table(outcomes: Sequence[Outcome]) -> str:
    ruler = ["---", "---", *["---:"] * (len(_HEAD) - 2)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [_HEAD, ruler, *_rows(outcomes)])


def findings(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What needs a look: failures, deltas larger than the reference's best (`fast`: its default), bounds not kept."""
    for outcome in outcomes:
        for name, made in outcome.made.items():
            rival = "reference" if name == "fast" else "reference, level 19"
            if made.failed:
                yield f"{outcome.pair}, {name}: {made.failed}"
            elif name not in REFERENCE_LEVELS and 0 < outcome.made[rival].size < made.size:
                yield f"{outcome.pair}, {name}: {made.size - outcome.made[rival].size:,} bytes larger than the {rival}"
        bound = _BOUNDS.get(outcome.pair)
        if bound is not None and (effort := "default") in outcome.made:
            yield from (f"{outcome.pair}, {effort}: {text}" for text in _beyond(outcome, effort, bound))


def _beyond(outcome: Outcome, effort: str, bound: Bound) -> Iterator[str]:
    ours, reference = outcome.made[effort], outcome.made["reference"]
    if reference.make is None:
        reference = outcome.made["reference, level 19"]
    if ours.make is None or reference.make is None:
        return
    if ours.size > bound.size * reference.size + _ALLOWED["size"]:
        yield f"{ours.size:,} bytes, the bound is {bound.size:.2f} of {reference.size:,}"
    if ours.make.wall > bound.wall * reference.make.wall + _ALLOWED["wall"]:
        yield f"{ours.make.wall:.1f} s, the bound is {bound.wall:.2f} of {reference.make.wall:.1f} s"
    if ours.make.memory > bound.memory * reference.make.memory + _ALLOWED["memory"]:
        yield f"{_megabytes(ours.make)} MB, the bound is {bound.memory:.2f} of {_megabytes(reference.make)} MB"


def _rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    efforts: list[str] = [name for name in EFFORTS if any(name in outcome.made for outcome in outcomes)]
    for outcome in outcomes:
        # without any of ours, the reference's figures alone
        for effort in [name for name in efforts if name in outcome.made] or [""]:
            yield _row(outcome, effort)
    real = [outcome for outcome in outcomes if _BOUNDS.get(outcome.pair) is None]
    for effort in efforts:
        yield _mean_row(effort, [ratios(outcome, effort) for outcome in real if effort in outcome.made])


def _row(outcome: Outcome, effort: str) -> Row:
    reference, best, ours = (
        outcome.made["reference"],
        outcome.made["reference, level 19"],
        outcome.made.get(effort, Made()),
    )
    ratio = ratios(outcome, effort)
    return (
        outcome.pair, effort, f"{outcome.packed:,}",
        _size(reference), _size(best), _size(ours), _number(ratio.size),
        _seconds(reference.make), _seconds(ours.make), _number(ratio.wall), _number(ratio.encode),
        _number(_cpu(reference.make)), _number(_cpu(ours.make)), _number(ratio.cpu),
        _megabytes(reference.make), _megabytes(ours.make), _number(ratio.memory),
        _seconds(ours.our_patch), _number(ratio.patch), _seconds(ours.go_patch), _number(ratio.go_patch),
    )  # fmt: skip


def _mean_row(effort: str, of: Sequence[Ratios]) -> Row:
    def mean(name: str) -> str:
        values = [value for one in of if (value := getattr(one, name)) is not None]
        return _number(math.exp(sum(map(math.log, values)) / len(values))) if values else _number(None)

    return (
        "geometric mean", effort, "", "", "", "", mean("size"), "", "", mean("wall"), mean("encode"),
        "", "", mean("cpu"), "", "", mean("memory"), "", mean("patch"), "", mean("go_patch"),
    )  # fmt: skip


def _padded(row: Row, widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.ljust(width) if column < 2 else cell.rjust(width)


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours and theirs else None


def _wall(usage: Usage | None) -> float | None:
    return None if usage is None else usage.wall


def _cpu(usage: Usage | None) -> float | None:
    return None if usage is None else usage.cpu


def _memory(usage: Usage | None) -> float | None:
    return None if usage is None else usage.memory


def _size(made: Made) -> str:
    return f"{made.size:,}" if made.size else "–"


def _number(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else "–"


def _seconds(usage: Usage | None) -> str:
    return _number(_wall(usage))


def _megabytes(usage: Usage | None) -> str:
    return f"{usage.memory / 1e6:.0f}" if usage else "–"
