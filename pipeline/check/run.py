"""One check of a host: survey, probes, verdicts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ExitCode
from ..limits import Limits
from ..progress import Progress
from .address import Address
from .apply import Applied, apply_deltas
from .connection import Host, SpentError
from .probes import PROBES
from .rules import Observation, Rule
from .servers import ServerKind, recognised
from .survey import survey
from .verdict import ClientVerdict, Verdict, by_rule, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was found. `left_out` are sentences about what was not looked at; `applied` is None where nobody asked."""

    address: Address
    server: ServerKind
    server_header: str | None
    repositories: tuple[str, ...]
    requests: int
    bytes: int
    broken: Mapping[Rule, tuple[Observation, ...]]
    clients: tuple[ClientVerdict, ...]
    left_out: tuple[str, ...]
    applied: Applied | None = None

    @property
    def exit_code(self) -> ExitCode:
        is_bad = any(found.verdict is Verdict.FAIL for found in self.clients)
        return ExitCode.VERIFICATION_FAILED if is_bad else ExitCode.SUCCESS


def check(
    address: Address, repositories: Sequence[str], *, limits: Limits, jobs: int, progress: Progress, is_applying: bool
) -> Check:
    """Look at `repositories`, or at the first that the host lists where none is named.

    `is_applying` downloads and applies every listed delta, too, in `jobs` threads; `limits` bound an uncompressed
    layer.

    Raises:
        HostError: nobody answers there.
        NoRepositoryError: no repository is named, and none is listed.
        NothingPublishedError: no repository has an image that can be found.
    """
    host = Host(address)
    try:
        first = host.connect()
        with progress.task("check", len(PROBES) + 1) as task:
            site = survey(host, repositories)
            task.advance()
            left_out = [*site.left_out]
            observations: list[Observation] = []
            for probe in PROBES:
                try:
                    _collect(observations, probe(site))
                except SpentError as error:
                    left_out.append(f"{error}; {probe.__module__.rpartition('.')[2]} were not looked at to the end")
                task.advance()
        applied = None
        if is_applying:
            try:
                applied = apply_deltas(site, limits=limits, jobs=jobs, progress=progress)
            except SpentError as error:
                left_out.append(f"{error}; no delta was applied")
            else:
                observations += applied.observations
                left_out += applied.unproven
    finally:
        host.close()
    broken = by_rule(observations)
    return Check(
        address=address,
        server=recognised(answer for answer in host.answers if not answer.hops),
        server_header=first.header("server"),
        repositories=tuple(repository.name for repository in site.repositories),
        requests=host.requests,
        bytes=host.bytes,
        broken=broken,
        clients=judge(broken),
        left_out=tuple(left_out),
        applied=applied,
    )


def _collect(observations: list[Observation], found: Iterator[Observation]) -> None:
    """One after the other: what was seen before the bounds are reached counts."""
    for observation in found:
        observations.append(observation)  # noqa: PERF402 - an exception must not lose those before it
