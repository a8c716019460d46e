"""Pure: the configuration + the ledger -> the rules by which each repository is published.

A repository that the configuration does not name keeps those that it was published with: whoever publishes it has a
configuration of his own. What was published before rules were remembered, or is only known from the tree, goes by the
policy for all.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import get_args

from ..config.values import Config, FormatName, Policy, Repository
from ..deltas.plan import Rules
from ..history.ledger import Ledger
from ..history.records.repositories import RepositoryRecord
from ..history.records.rules import RemoteRecord, RulesRecord
from ..keys import Key, repository_of
from ..oci.digest import Digest


def rules_of(config: Config, ledger: Ledger) -> dict[str, Rules]:
    """Those of each repository that is published or configured."""
    found = {
        name: Rules(policy=config.policy) if record.rules is None else _remembered(record.rules)
        for name, record in ledger.repositories.items()
    }
    return found | {
        known.name: rules_for(known, ledger.repositories.get(known.name))
        for known in config.repositories
        # what is mirrored has its deltas from elsewhere, whatever a configuration says
        if known.name not in found or ledger.repositories[known.name].mirrored_from is None
    }


def rules_for(repository: Repository, record: RepositoryRecord | None) -> Rules:
    """Those of a repository that is published from a layout; `record` is what is remembered of it."""
    pulls = record.rules.pulls if repository.policy.demand and record and record.rules else None
    return Rules(policy=repository.policy, scopes=scopes_of(repository), pulls=pulls)


def rules_record(repository: Repository, config: Config, pulls: Mapping[Digest, int] | None) -> RulesRecord:
    """What the ledger is to remember of a repository that is published now; `pulls` of its images, where it goes by
    demand and they were counted."""
    policy = repository.policy
    return RulesRecord(
        versions=policy.versions,
        max_ratio=policy.max_ratio,
        grace=policy.grace,
        scopes=scopes_of(repository),
        formats=policy.formats,
        delta_url=policy.delta_url,
        sources_within=policy.sources_within,
        sources_monthly=policy.sources_monthly,
        max_deltas=policy.max_deltas,
        pulls=pulls,
        remote=config.flatpak.name if config.flatpak is not None else None,
    )


def remotes_of(config: Config, ledger: Ledger, repositories: Mapping[str, RepositoryRecord]) -> dict[str, RemoteRecord]:
    """The flatpak remotes to which any of the `repositories` belongs. Of one that several configurations describe, this
    one is right."""
    known = dict(ledger.remotes)
    if config.flatpak is not None:
        known[config.flatpak.name] = RemoteRecord(remote=config.flatpak)
    used = {record.rules.remote for record in repositories.values() if record.rules is not None}
    return {name: record for name, record in known.items() if name in used}


def graces(config: Config, ledger: Ledger) -> Callable[[Key], timedelta]:
    """How long each key stays, unreferenced. What belongs to no repository that is known has the policy for all."""
    records = {name: removal.taken for name, removal in ledger.removals.items()} | dict(ledger.repositories)
    found = {name: record.rules.grace for name, record in records.items() if record.rules is not None}
    found |= {known.name: known.policy.grace for known in config.repositories}
    return lambda key: found.get(repository_of(key) or "", config.policy.grace)


def scopes_of(repository: Repository) -> tuple[str, ...]:
    """The globs that divide the repository's tags into independent lines of versions."""
    return tuple(rule.match for rule in repository.series)


def _remembered(record: RulesRecord) -> Rules:
    formats = tuple(known for known in get_args(FormatName) if known in record.formats)
    policy = Policy(
        versions=record.versions,
        sources_within=record.sources_within,
        sources_monthly=record.sources_monthly,
        max_deltas=record.max_deltas,
        max_ratio=record.max_ratio,
        grace=record.grace,
        formats=formats,
    )
    return Rules(policy=policy, scopes=record.scopes, pulls=record.pulls, is_foreign=True)
