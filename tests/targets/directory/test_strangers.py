"""Nothing leads out of the tree, whatever somebody put there."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.keys import Key
from pipeline.targets.base import LOCK_KEY, TargetError
from pipeline.targets.directory import DirectoryTarget

from .tree import BLOB, NOW, TAG, files, put


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_no_folder_is_entered_through_a_symbolic_link(
    target: DirectoryTarget, root: Path, outside: Path, depth: int
) -> None:
    put(target, "v2/x", b"the tree exists")
    parts = BLOB.split("/")
    (root / Path(*parts[:depth])).parent.mkdir(parents=True, exist_ok=True)
    if depth == 1:
        (root / "v2/x").unlink()
        (root / "v2").rmdir()
    (root / Path(*parts[:depth])).symlink_to(outside)
    (outside / Path(*parts[depth:])).parent.mkdir(parents=True, exist_ok=True)
    (outside / Path(*parts[depth:])).write_bytes(b"data")
    before = files(outside)

    attempts: list[Callable[[], object]] = [
        lambda: put(target, BLOB, b"data"),
        lambda: put(target, BLOB, b"other"),
        lambda: target.open(BLOB),
        lambda: target.stat(BLOB),
        lambda: target.delete(BLOB),
    ]
    for attempt in attempts:
        with pytest.raises(TargetError, match=r"^v2/team/app/blobs/sha256:0: a symbolic link stands in its path"):
            attempt()
    put(target, "other/key", b"data", same_as=BLOB)
    assert BLOB not in list(target.keys())
    assert files(outside) == before
    assert (outside / Path(*parts[depth:])).stat().st_nlink == 1
    assert (outside / Path(*parts[depth:])).read_bytes() == b"data"


@pytest.mark.parametrize("name", ["secret", "missing"])
def test_a_symbolic_link_in_a_keys_place_is_not_followed_but_replaced(
    target: DirectoryTarget, root: Path, outside: Path, name: str
) -> None:
    put(target, BLOB, b"secret")
    (root / BLOB).unlink()
    (root / BLOB).symlink_to(outside / name)
    with pytest.raises(TargetError, match="symbolic link"):
        target.open(BLOB)
    with pytest.raises(TargetError, match="symbolic link"):
        target.stat(BLOB)
    assert list(target.keys()) == []

    put(target, BLOB, b"secret")

    assert not (root / BLOB).is_symlink()
    assert files(outside) == ["secret"]
    (root / BLOB).unlink()
    (root / BLOB).symlink_to(outside / name)
    target.delete(BLOB)
    assert files(outside) == ["secret"]


def test_the_lock_is_not_taken_through_a_symbolic_link(target: DirectoryTarget, root: Path, outside: Path) -> None:
    (root / LOCK_KEY).parent.mkdir(parents=True)
    (root / LOCK_KEY).symlink_to(outside / "secret")
    with pytest.raises(TargetError, match="symbolic link"), target.lock(now=NOW, wait=0):
        pass
    assert (outside / "secret").read_bytes() == b"secret"


def test_the_root_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "www").symlink_to(tmp_path / "disk")
    target = DirectoryTarget(tmp_path / "www")
    (tmp_path / "www").unlink()
    (tmp_path / "www").symlink_to(tmp_path / "elsewhere")  # a run stays in the tree in which it began
    put(target, BLOB, b"data")
    assert files(tmp_path / "disk") == [BLOB]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # such paths are short
        os.close(folder)


@pytest.mark.timeout(60)  # opening a pipe may wait for ever
@pytest.mark.parametrize("intruder", [_pipe, _socket])
def test_what_is_no_file_is_named_and_replaced(
    target: DirectoryTarget, root: Path, intruder: Callable[[Path], None]
) -> None:
    put(target, TAG, b"beside it")
    intruder((root / TAG).parent / "v1")
    key = Key("v2/team/app/manifests/v1")
    with pytest.raises(TargetError, match=r"manifests/v1: "):
        target.open(key)
    with pytest.raises(TargetError, match=r"manifests/v1: "):
        target.stat(key)
    assert list(target.keys()) == [TAG]
    put(target, key, b"data")
    assert (root / key).read_bytes() == b"data"
