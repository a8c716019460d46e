"""All of a published tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..deltas.layers import LayerSource
from ..errors import ExitCode
from ..history.ledger import Ledger, LedgerError
from ..history.resolver import ContentResolver
from ..history.store import load_ledger
from ..keys import FLATPAK_INDEX_KEY, LEDGER_KEY, PING_KEY, Key, Kind, classify
from ..limits import Limits
from ..oci.fields import FieldError, Fields, parse_json_object
from ..progress import Progress
from ..publish.repair import find_damage, find_misserved
from ..scratch import scratch_folder
from ..targets.base import ReadableTarget, TargetError, read_bytes
from ..tree.flatpak import linked_keys
from ..tree.published import PublishedRepository, by_repository
from .deltas import check_deltas, check_whole_layers
from .findings import Findings, Problem
from .repository import MAX_LISTING, RepositoryCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was found: `deltas` are listed, of which those that could be were `applied`; one that several formats list
    counts once. `unproven` says which could not be, because their source is not published (any more)."""

    problems: tuple[Problem, ...]
    keys: int
    blobs: int
    manifests: int
    deltas: int
    applied: int
    unproven: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.VERIFICATION_FAILED if self.problems else ExitCode.SUCCESS


def verify(
    target: ReadableTarget, *, jobs: int, limits: Limits, progress: Progress, temporary: Path | None = None
) -> Verification:
    """Check everything. `jobs` threads; `limits` bound an uncompressed layer.

    Raises:
        TargetError: the storage failed as a whole; a missing or damaged key is a problem, not a failure.
    """
    keys = frozenset(target.keys())
    repositories = by_repository(keys)
    findings = Findings()
    ledger = _ledger(target, findings)
    with progress.task("verify", len(repositories)) as task:
        for repository in repositories.values():
            RepositoryCheck(target, repository, keys, findings, ledger=ledger).check()
            task.advance()
    if not any(repository.manifests for repository in repositories.values()):
        findings.complain(target.url, "nothing is published here")
    if repositories and PING_KEY not in keys:
        findings.complain(PING_KEY, "is missing; clients ask for /v2/ first")
    _check_flatpak_index(target, repositories, keys, findings)
    # what is named for its digest was read above, where it belongs to a repository
    doubted = {key: record for key, record in ledger.keys.items() if key not in keys or not _is_read(key)}
    try:
        for key, problem in find_damage(target, doubted, progress=progress).items():
            findings.complain(key, problem)
        for key, problem in find_misserved(target, ledger.keys, progress=progress).items():
            findings.complain(key, problem)
    except TargetError as error:  # something other than a file stands in its place
        findings.complain(error.key or target.url, error.problem)

    check_whole_layers(findings, target, limits, jobs=jobs, progress=progress)
    with scratch_folder(temporary) as directory:
        source = LayerSource(resolver=ContentResolver(target=target), limits=limits)
        proofs = check_deltas(findings, ledger, target, source, directory, jobs=jobs, progress=progress)
    return Verification(
        problems=tuple(sorted(set(findings.problems), key=str)),
        keys=len(keys),
        blobs=sum(len(repository.blobs) for repository in repositories.values()),
        manifests=sum(len(repository.manifests) + len(repository.tags) for repository in repositories.values()),
        deltas=len({delta.identity for delta in findings.deltas}),
        applied=proofs.applied,
        unproven=proofs.unproven,
    )


def _is_read(key: Key) -> bool:
    parsed = classify(key)
    return parsed is not None and parsed.kind in {Kind.BLOB, Kind.MANIFEST}


def _ledger(target: ReadableTarget, findings: Findings) -> Ledger:
    """An empty one where there is none: a mirror has a right tree without it."""
    try:
        stored = load_ledger(target)
        if stored is None:
            return Ledger()
        for name, problem in stored.bad.items():
            findings.complain(LEDGER_KEY, f"does not tell what {name} has: {problem}")
        return stored.ledger
    except LedgerError as error:
        findings.complain(LEDGER_KEY, str(error).removeprefix(f"{LEDGER_KEY}: "))
        return Ledger()


def _check_flatpak_index(
    target: ReadableTarget, repositories: Mapping[str, PublishedRepository], keys: frozenset[Key], findings: Findings
) -> None:
    if FLATPAK_INDEX_KEY not in keys:
        return
    try:
        fields = Fields(parse_json_object(read_bytes(target, FLATPAK_INDEX_KEY, limit=MAX_LISTING), max_objects=None))
        for result in fields.objects("Results"):
            name = result.text("Name")
            for image in result.objects("Images"):
                digest = image.digest("Digest")
                if name not in repositories or digest not in repositories[name].manifests:
                    findings.complain(FLATPAK_INDEX_KEY, f"leads to {digest} of {name}, which is missing")
                for key in linked_keys(image.texts("Labels")):
                    if key not in keys:
                        findings.complain(FLATPAK_INDEX_KEY, f"leads to {key}, which is missing")
    except FieldError as error:
        findings.complain(FLATPAK_INDEX_KEY, str(error))
    except TargetError as error:
        findings.complain(FLATPAK_INDEX_KEY, error.problem)
