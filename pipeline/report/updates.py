"""What clients save by deltas, and which tags moved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from ..deltas.plan import Wanted
from ..deltas.savings import Saving, distinct
from ..history.moves import TagMove
from ..history.records.deltas import DeltaKey
from ..oci.digest import Digest
from ..quantities import format_share, format_size
from .lines import table

_SHOWN: Final = 5  # tags in one line


def savings_table(savings: Sequence[Saving]) -> Iterator[str]:
    if not savings:
        return
    tags = tags_of(savings)
    yield "What a client downloads to update:"
    yield from table(
        [
            ["repository", "platform", "update", "whole layers", "with deltas", "saved"],
            *(
                [
                    saving.repository,
                    str(saving.platform),
                    update_of(saving, tags),
                    format_size(saving.whole),
                    format_size(saving.with_deltas),
                    format_share(saving.saved, saving.whole),
                ]
                for saving in distinct(savings)
            ),
        ],
        right={3, 4, 5},
    )


def distinct_wants(wanted: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """Each delta once for the images that want it, though they may belong to several series."""
    found = {(want.repository, want.platform, want.source, want.target, want.key): want for want in wanted}
    return tuple(found.values())


def formats_of(wanted: Iterable[Wanted]) -> dict[tuple[str, Digest, Digest, DeltaKey], list[str]]:
    """The formats that list each delta, for each update of a repository."""
    found: dict[tuple[str, Digest, Digest, DeltaKey], list[str]] = {}
    for want in wanted:
        names = found.setdefault((want.repository, want.source, want.target, want.key), [])
        if want.format not in names:
            names.append(want.format)
    return found


def tags_of(savings: Sequence[Saving]) -> dict[tuple[str, Digest], tuple[str, ...]]:
    """The names of each image in each repository: another one may have the same image by another name."""
    found = {(saving.repository, saving.source): saving.source_tags for saving in savings}
    return found | {(saving.repository, saving.target): saving.target_tags for saving in savings}


def update_of(what: Wanted | Saving, tags: Mapping[tuple[str, Digest], tuple[str, ...]]) -> str:
    old, new = (
        ", ".join(tags.get((what.repository, digest), ())) or digest.short for digest in (what.source, what.target)
    )
    return f"{old} → {new}"


def saving_json(saving: Saving) -> dict[str, Any]:
    return {
        "repository": saving.repository,
        "series": saving.series,
        "platform": str(saving.platform),
        "source": str(saving.source),
        "target": str(saving.target),
        "source_tags": list(saving.source_tags),
        "target_tags": list(saving.target_tags),
        "layers": saving.layers,
        "deltas": saving.deltas,
        "whole": saving.whole,
        "with_deltas": saving.with_deltas,
    }


def move_lines(moves: Sequence[TagMove]) -> Iterator[str]:
    """One line for each tag that moved, and one a repository for those that are new."""
    for repository, group in groupby(moves, key=lambda move: move.repository):
        found = list(group)
        new = [move.tag for move in found if move.old is None]
        if new:
            more = f" and {len(new) - _SHOWN:,} more" if len(new) > _SHOWN else ""
            yield f"{repository}: new {'tag' if len(new) == 1 else 'tags'} {', '.join(new[:_SHOWN])}{more}"
        for move in found:
            if move.old is not None:
                back = " (rolled back)" if move.is_back else ""
                old, now = _image_name(move.old, move.old_names), _image_name(move.new, move.new_names)
                yield f"{repository}:{move.tag}  {old} → {now}{back}"


def move_json(move: TagMove) -> dict[str, Any]:
    return {
        "repository": move.repository,
        "tag": move.tag,
        "old": str(move.old) if move.old is not None else None,
        "new": str(move.new),
        "rolled_back": move.is_back,
    }


def _image_name(digest: Digest, names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) or digest.short
