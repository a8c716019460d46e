"""Every listed delta, applied again to the published old layer; and each layer that stands beside them as it is."""

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from uuid import uuid4

from ..compression import CompressionError, decompressed
from ..content import chunks
from ..deltas.layers import LayerSource
from ..deltas.prove import prove
from ..errors import DeltapressError
from ..history.ledger import Ledger
from ..history.records.images import LayerRecord
from ..history.resolver import LayerLocator
from ..keys import Key, blob_key
from ..limits import Limits
from ..oci.digest import DiffID
from ..progress import Progress
from ..targets.base import ReadableTarget, TargetError
from .findings import Findings, FoundDelta, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """How many deltas were `applied`; one that several formats list counts once. `unproven` are lines about those that
    could not be, and about documents of which nobody could tell the deltas."""

    applied: int
    unproven: tuple[str, ...]


def check_deltas(
    findings: Findings,
    ledger: Ledger,
    target: ReadableTarget,
    source: LayerSource,
    directory: Path,
    *,
    jobs: int,
    progress: Progress,
) -> Proofs:
    """Complain of each delta that does not give its layer.

    The source of a delta need not be published any more: those who have it do not need it from here.
    """
    layers = findings.layers
    # where one delta was made twice, from more sources and from fewer, the fewer must do
    made = {
        (key.from_diff_id, key.to_diff_id, record.digest): key
        for key, record in sorted(ledger.deltas.items(), key=lambda item: -len(item[0].below))
    }
    groups: dict[tuple[DiffID, ...], dict[str, FoundDelta]] = {}
    for delta in findings.deltas:
        key = delta.pair
        if not delta.is_exact:
            key = made.get((key.from_diff_id, key.to_diff_id, delta.digest), key)
        groups.setdefault((*key.below, key.from_diff_id), {})[f"{delta.key} {delta.pair}"] = delta
    unproven = [*findings.unproven]
    with progress.task("deltas", len(findings.deltas)) as task, ThreadPoolExecutor(jobs) as pool:

        def check(sources: tuple[DiffID, ...]) -> list[Problem]:
            return _check_group(
                [layers[diff_id] for diff_id in sources], groups[sources], layers, target, source, directory
            )

        published = [sources for sources in groups if all(diff_id in layers for diff_id in sources)]
        for sources, problems in zip(published, pool.map(check, published), strict=True):
            findings.problems.extend(problems)
            task.advance(len(groups[sources]))
    for sources in groups.keys() - set(published):
        unproven.extend(
            f"{delta.key}: its source {sources[-1].short} is not published" for delta in groups[sources].values()
        )
    tried = {delta.identity for sources in published for delta in groups[sources].values()}
    return Proofs(applied=len(tried), unproven=tuple(sorted(unproven)))


def check_whole_layers(
    findings: Findings, target: ReadableTarget, limits: Limits, *, jobs: int, progress: Progress
) -> None:
    """Complain of each layer that clients could not unpack as they do: as one gzip member, with nothing behind it."""

    def check(entry: tuple[Key, LayerRecord]) -> str | None:
        try:
            return _problem_of_whole(*entry, target, limits)
        except TargetError as error:
            return error.problem
        except CompressionError as error:
            return str(error)

    entries = sorted(findings.whole, key=itemgetter(0))
    with progress.task("layers", len(entries)) as task, ThreadPoolExecutor(jobs) as pool:
        for (key, _), problem in zip(entries, pool.map(check, entries), strict=True):
            if problem is not None:
                findings.complain(key, f"is listed as it is, beside deltas: {problem}")
            task.advance()


def _problem_of_whole(key: Key, layer: LayerRecord, target: ReadableTarget, limits: Limits) -> str | None:
    """Raises TargetError and CompressionError."""
    hasher = layer.diff_id.new_hasher()
    with target.open(key) as stored, decompressed(stored, max_bytes=limits.layer_of(layer.size)) as plain:
        for data in chunks(plain):
            hasher.update(data)
        if not plain.is_one_gzip_member:
            return "it is not exactly one gzip member, of which clients read the first alone"
    found = DiffID.of_hasher(layer.diff_id.algorithm, hasher)
    return None if found == layer.diff_id else f"it decompresses to {found}, not to {layer.diff_id}"


def _check_group(
    sources: Sequence[LayerLocator],
    deltas: Mapping[str, FoundDelta],
    layers: Mapping[DiffID, LayerLocator],
    target: ReadableTarget,
    source: LayerSource,
    directory: Path,
) -> list[Problem]:
    """The deltas from one old layer, which is extracted once."""
    problems = []
    place = directory / uuid4().hex
    try:
        tree = source.extract(sources, place)
    except DeltapressError as error:
        problem = f"a source of {len(deltas)} deltas cannot be read: {error}"
        return [Problem(key=_key_of(sources[-1]), problem=problem)]
    for delta in deltas.values():
        to = layers.get(delta.pair.to_diff_id)
        if to is None:
            problems.append(Problem(key=delta.key, problem=f"leads to {delta.pair.to_diff_id}, which is not published"))
            continue
        try:
            with target.open(delta.key) as stream:
                prove(stream, tree, delta.pair.to_diff_id, size=source.size(to))
        except DeltapressError as error:
            problems.append(Problem(key=delta.key, problem=f"from {delta.pair.from_diff_id.short}: {error}"))
    shutil.rmtree(place)
    return problems


def _key_of(locator: LayerLocator) -> Key:
    return blob_key(locator.places[0].repository, locator.layer.digest)
