"""What the commands that work on a target do with their options."""

import argparse
import os
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from ..config import Config, read_config
from ..publish import Settings
from ..report import report_of
from ..targets.base import Target
from ..targets.open import open_target
from .machine import usable_memory
from .options import DEFAULT_CONFIG

_SYSTEM: Final = Path("/etc")


def configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that the command line names, or the nearest one."""
    return read_config(Path(arguments.config) if arguments.config else nearest_config(Path.cwd()))


def nearest_config(folder: Path) -> Path:
    """`deltapress.toml` in `folder`, in one above it, or in /etc; where there is none, the first of these.

    Above `folder` only what belongs to the user or to root counts: anybody may put a file into /tmp.
    """
    here = folder / DEFAULT_CONFIG
    above = (parent / DEFAULT_CONFIG for parent in folder.parents)
    if here.exists():
        return here
    return next((path for path in (*above, _SYSTEM / DEFAULT_CONFIG) if _is_trusted(path)), here)


def _is_trusted(path: Path) -> bool:
    try:
        return path.stat().st_uid in {0, os.geteuid()}
    except OSError:
        return False


def target_of(config: Config) -> Target:
    """The target that the configuration names."""
    return open_target(config.target_url, config.path.parent, s3=config.s3)


def settings(
    config: Config,
    command: str,
    *,
    jobs: int = 1,
    prune: bool = True,
    force: bool = False,
    repair: bool = False,
    adopt: bool = False,
    look: bool = False,
    wait: int = 0,
) -> Settings:
    """How a run of `command` is carried out. The only place where the time of a run is taken."""
    now = datetime.now(UTC)
    return Settings(
        now=now,
        jobs=jobs,
        memory=config.limits.memory_of(usable_memory()),
        prune=prune,
        force=force,
        repair=repair,
        adopt=adopt,
        look=look,
        wait=wait,
        clock=time.monotonic,
        report=partial(report_of, command, now),
    )
