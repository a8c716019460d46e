"""What clients save by deltas, and which tags moved."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..deltas.plan import Wanted
from ..deltas.savings import Saving, distinct
from ..history.records import DeltaKey
from ..oci.digest import Digest
from ..quantities import format_share, format_size
from .lines import table


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
