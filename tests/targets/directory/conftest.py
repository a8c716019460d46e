"""A directory that does not exist yet, as a target, and a folder beside it."""

from pathlib import Path

import pytest

from pipeline.targets.directory import DirectoryTarget


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "made" / "by" / "the first write"


@pytest.fixture
def target(root: Path) -> DirectoryTarget:
    return DirectoryTarget(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the tree with a file in it; nothing may happen to either."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder
