"""What the commands that work on a target do with their options."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from ..config import Config, read_config
from ..publish import Settings
from ..targets.base import Target
from ..targets.open import open_target
from .machine import usable_memory


def configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that the command line names."""
    return read_config(Path(arguments.config))


def target_of(config: Config) -> Target:
    """The target that the configuration names."""
    return open_target(config.target_url, config.path.parent, s3=config.s3)


def settings(
    config: Config,
    *,
    jobs: int = 1,
    prune: bool = True,
    force: bool = False,
    repair: bool = False,
    adopt: bool = False,
    wait: int = 0,
) -> Settings:
    """How a run is carried out. The only place where the time of a run is taken."""
    return Settings(
        now=datetime.now(UTC),
        jobs=jobs,
        memory=config.limits.memory_of(usable_memory()),
        prune=prune,
        force=force,
        repair=repair,
        adopt=adopt,
        wait=wait,
    )
