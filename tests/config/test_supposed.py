"""Another policy than a configuration has."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.config import parse_config, suppose
from pipeline.config.toml import UnfitError

CONFIG = parse_config(
    '[target]\nurl = "public"\n[[repository]]\nname = "a"\nlayout = "a"\n[[repository]]\nname = "b"\nlayout = "b"\n'
    "versions = 7",
    path=Path("/deltapress.toml"),
)


def test_every_repository_has_it() -> None:
    found = suppose(CONFIG, ["versions=5", "sources_within=90d", 'max_deltas="5MiB"', "max_ratio=0.5"])
    for policy in (found.policy, *(repository.policy for repository in found.repositories)):
        assert (policy.versions, policy.max_ratio, policy.keep) == (5, 0.5, 10)
        assert (policy.sources_within, policy.max_deltas) == (timedelta(days=90), 5 << 20)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("versions", "must be KEY=VALUE, such as versions=5"),
        ("order=images-first", "with one of versions, "),
        ("versions=many", "versions: must be an integer, not a string"),
        ("versions=10", "`keep` must be at least 11"),
        ("max_deltas=0B", "max_deltas: must be a size such as"),
        ("sources_monthly=-1", "sources_monthly: must be a number from 0"),
    ],
)
def test_what_is_wrong_is_told(change: str, problem: str) -> None:
    with pytest.raises(UnfitError) as raised:
        suppose(CONFIG, [change])
    assert problem in str(raised.value)
