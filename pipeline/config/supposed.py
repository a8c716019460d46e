"""A configuration with another policy than it has, for what would be if."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import tomli

from .read import read_policy
from .toml import Mistake, Table, UnfitError
from .values import Config, Policy

# Those that decide which deltas there are.
KEYS: Final = ("versions", "sources_within", "sources_monthly", "max_deltas", "max_ratio", "keep")


def suppose(config: Config, changes: Sequence[str]) -> Config:
    """`config` with each of `changes`, `KEY=VALUE` as in [policy] (quotes may be missing), for every repository.

    Raises:
        UnfitError: with all that is wrong with them.
    """
    values = dict(map(_change, changes))
    mistakes: dict[str, Mistake] = {}

    def changed(policy: Policy) -> Policy:
        found: list[Mistake] = []
        policy = read_policy(Table(values, "", found), policy, config.path.parent)
        mistakes.update((str(mistake), mistake) for mistake in found)
        return policy

    repositories = tuple(replace(known, policy=changed(known.policy)) for known in config.repositories)
    supposed = replace(config, policy=changed(config.policy), repositories=repositories)
    if mistakes:
        raise UnfitError("; ".join(mistakes))
    return supposed


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key not in KEYS:
        raise UnfitError(f"must be KEY=VALUE, such as versions=5, with one of {', '.join(KEYS)}; not {text[:80]!r}")
    try:
        return key, tomli.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return key, value
