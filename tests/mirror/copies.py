"""Mirrors for tests: one call a run, and what of a source must be found at its mirror."""

from pathlib import Path
from typing import Any

from pipeline import mirror, publish
from pipeline.config import Config
from pipeline.keys import Key, Kind, classify
from pipeline.limits import Limits
from pipeline.mirror import Selection
from pipeline.progress import Silent
from pipeline.targets.base import ReadableTarget, Target, read_bytes
from pipeline.tree.contents import EMPTY_INDEX
from pipeline.verify import verify

from ..client import Contents, problems
from ..runs import MemoryFolder, night, stored_ledger

# what clients read; pages, and what servers need, each target has of its own
SHOWN = {
    *(Kind.BLOB, Kind.MANIFEST, Kind.TAG, Kind.DELTA_INDEX, Kind.REFERRERS, Kind.REFERRERS_TAG, Kind.TAGS_LIST),
    *(Kind.CATALOG, Kind.FLATPAK_INDEX),
}


def source_of(folder: MemoryFolder) -> MemoryFolder:
    """A copy that a test may change, under a URL of its own."""
    twin = folder.copy()
    twin.url = "memory:source"
    return twin


def mirrored(
    source: ReadableTarget,
    target: Target,
    number: float = 10,
    *,
    selection: Selection | None = None,
    has_ledger: bool = True,
    is_dry: bool = False,
    **settings: Any,
) -> publish.Outcome:
    chosen = publish.Settings(now=night(number), **{"jobs": 1, "memory": 1 << 30, **settings})
    config = Config(path=Path("/deltapress.toml"), target_url=target.url, repositories=())
    return mirror.mirror(
        source,
        target,
        selection or Selection(),
        config,
        chosen,
        has_ledger=has_ledger,
        is_dry=is_dry,
        progress=Silent(),
    )


def shown(target: ReadableTarget) -> dict[Key, bytes]:
    """All that clients are led to, as the ledger of the tree says; without tags that were emptied."""
    found = {}
    for key, record in stored_ledger(target).keys.items():
        parsed = classify(key)
        if parsed is not None and parsed.kind in SHOWN and record.unreferenced is None:
            data = read_bytes(target, key, limit=1 << 30)
            if parsed.kind is not Kind.REFERRERS_TAG or data != EMPTY_INDEX:
                found[key] = data
    return found


def verified(target: Target, contents: Contents | None = None) -> None:
    """Nothing is wrong with the tree, and every delta gives its layer."""
    if contents is not None:
        assert problems(contents, at_rest=True) == []
    found = verify(target, jobs=1, limits=Limits(), progress=Silent())
    assert found.problems == ()
