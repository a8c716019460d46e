"""Crashes and rivals."""

import fcntl
import os
from pathlib import Path

import pytest

from pipeline.content import BytesContent
from pipeline.keys import IMMUTABLE, MUTABLE, OCTET_STREAM, Headers
from pipeline.oci.digest import Digest
from pipeline.targets.base import LOCK_KEY, ContentChangedError, KeyMissingError, LockHeldError, TargetError
from pipeline.targets.directory import DirectoryTarget

from ..processes import running_script
from .tree import LEFTOVER, NOW, TAG, files, put

_STUCK_WRITER = f"""
class Stuck:
    size = 3_000_000
    def open(self):
        return self
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def read(self, size):
        leftovers = [path for path in Path(sys.argv[1]).rglob(".deltapress-*.tmp") if path.stat().st_size]
        if leftovers:
            print("ready", flush=True)
            time.sleep(600)
        return bytes(size)

with target.lock(now=NOW, wait=0):
    headers = Headers(content_type="application/octet-stream", cache_control=MUTABLE)
    target.put(Key({TAG!r}), Stuck(), headers, digest=Digest.of(b""))
"""


@pytest.mark.parametrize("before", [None, b"old"], ids=["new", "replacing"])
def test_a_killed_writer_leaves_the_old_bytes_and_what_the_next_lock_removes(
    target: DirectoryTarget, root: Path, before: bytes | None
) -> None:
    if before is not None:
        put(target, TAG, before, cache=MUTABLE)
    with running_script(_STUCK_WRITER, root) as writer, pytest.raises(TargetError) as caught:
        target.lock(now=NOW, wait=0).__enter__()
    assert f"held by process {writer.pid} on " in str(caught.value)
    assert len(list(root.rglob(".deltapress-*.tmp"))) == 1
    assert list(target.keys()) == ([TAG] if before else [])
    with target.lock(now=NOW, wait=0):
        assert files(root) == sorted([LOCK_KEY, *([TAG] if before else [])])
    assert (root / "v2").exists() == (before is not None)
    if before is None:
        with pytest.raises(KeyMissingError):
            target.open(TAG)
    else:
        assert (root / TAG).read_bytes() == before


def test_a_lock_that_was_let_go_in_order_costs_no_walk(target: DirectoryTarget, root: Path) -> None:
    with target.lock(now=NOW, wait=0):
        put(target, TAG, b"data")
        (root / TAG).with_name(LEFTOVER).write_bytes(b"")
    with target.lock(now=NOW, wait=0):
        assert (root / TAG).with_name(LEFTOVER).exists()


@pytest.mark.parametrize("record", [b"{", b"[" * 4000, b"[]", b"\xff", b'{"held": true, "pid": "1"}', b"x" * 9000])
def test_a_damaged_lock_file_is_taken_for_one_whose_holder_died(
    target: DirectoryTarget, root: Path, record: bytes
) -> None:
    put(target, TAG, b"data")
    (root / TAG).with_name(LEFTOVER).write_bytes(b"")
    (root / TAG).with_name(".deltapress-mine.tmp").write_bytes(b"not of our pattern")
    (root / LOCK_KEY).parent.mkdir()
    (root / LOCK_KEY).write_bytes(record)
    with target.lock(now=NOW, wait=0):
        assert not (root / TAG).with_name(LEFTOVER).exists()
        assert (root / TAG).with_name(".deltapress-mine.tmp").exists()


def test_what_another_target_is_writing_in_a_folder_beside_is_left_alone(target: DirectoryTarget, root: Path) -> None:
    put(target, TAG, b"data")
    ours, theirs = (root / place / LEFTOVER for place in ("v2/a/blobs", "staging/v2/a/blobs"))
    for file in (ours, theirs):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    (root / "index").symlink_to("staging")
    (root / LOCK_KEY).parent.mkdir()
    (root / LOCK_KEY).write_bytes(b"{")
    with target.lock(now=NOW, wait=0):
        assert (ours.exists(), theirs.exists()) == (False, True)


def test_a_failed_put_leaves_no_temporary_file(target: DirectoryTarget, root: Path) -> None:
    headers = Headers(content_type=OCTET_STREAM, cache_control=IMMUTABLE)
    with pytest.raises(ContentChangedError):
        target.put(TAG, BytesContent(b"bad"), headers, digest=Digest.of(b"good"))
    assert files(root) == []


def test_a_child_does_not_keep_the_lock_of_its_killed_parent(target: DirectoryTarget, root: Path) -> None:
    script = """
with target.lock(now=NOW, wait=0):
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(600)
    Path(sys.argv[1], "child").write_text(str(child))
    print("ready", flush=True)
    time.sleep(600)
"""
    with running_script(script, root):
        pass
    child = int((root / "child").read_text())
    try:
        os.kill(child, 0)  # it lives
        with target.lock(now=NOW, wait=10):  # until it has been given a moment to let go
            pass
    finally:
        os.kill(child, 9)


def test_a_lock_file_that_is_removed_under_its_lock_does_not_let_two_in(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    calls: list[int] = []

    def flock(file: int, operation: int) -> None:
        if not calls:
            (root / LOCK_KEY).unlink()  # between opening and locking; the next one would make and lock a new file
        calls.append(operation)
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with target.lock(now=NOW, wait=0), pytest.raises(LockHeldError), target.lock(now=NOW, wait=0):
        pass
    assert len(calls) == 3
