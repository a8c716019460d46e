"""The S3 servers, started once for all tests of this folder that want one."""

import itertools
from collections.abc import Iterator

import pytest

from ..interop import s3_servers
from ..interop.s3_servers import Storage

_NUMBERS = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def aws_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_servers.environment(tmp_path_factory.mktemp("aws")).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Storage]:
    with s3_servers.seaweedfs() as storage:
        yield storage


@pytest.fixture(scope="session")
def juicefs() -> Iterator[Storage]:
    with s3_servers.juicefs() as storage:
        yield storage


@pytest.fixture(scope="session")
def moto() -> Iterator[Storage]:
    with s3_servers.moto() as storage:
        yield storage


@pytest.fixture
def prefix() -> str:
    """A place in the bucket that no other test uses."""
    return f"test-{next(_NUMBERS)}/"
