"""What another policy would cost and save."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from ..publish import Comparison
from ..publish.what_if import Deltas
from ..quantities import format_size
from .lines import count, text_of


def what_if_text(changes: Sequence[str], found: Comparison) -> str:
    """An estimate, and from what it is one."""
    lines = [
        f"With {', '.join(changes)}, estimated:",
        f"  {count(found.more.number, 'delta')} more{_of(found.more)}",
        f"  {count(found.fewer.number, 'delta')} fewer{_of(found.fewer)}",
    ]
    if found.work:
        times = f", {found.work / found.work_now:.1f} times all that are wanted now" if found.work_now else ""
        lines.append(f"  to make: {format_size(found.work)} of layers to read, once{times}")
    if found.more.estimated:
        lines.append(
            f"  {found.more.estimated:,} of the sizes are guesses from at most {count(found.alike, 'delta')} of "
            "the same series or repository"
        )
    if found.more.unknown:
        lines.append(f"  nothing is known yet of the sizes of {found.more.unknown:,}: none like them was made")
    return text_of(lines)


def _of(deltas: Deltas) -> str:
    if not deltas.number:
        return ""
    return (
        f", for {count(deltas.updates, 'update')}: {format_size(deltas.size)}, in place of {format_size(deltas.whole)} "
        "of layers"
    )


def what_if_json(changes: Sequence[str], found: Comparison) -> dict[str, Any]:
    return {
        "changes": list(changes),
        "more": asdict(found.more),
        "fewer": asdict(found.fewer),
        "work": found.work,
        "work_now": found.work_now,
        "alike": found.alike,
    }
