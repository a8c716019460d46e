"""One published tree for all tests of the room; nothing writes to it."""

from pathlib import Path

import pytest

from .trees import published


@pytest.fixture(scope="package")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("tree"))
