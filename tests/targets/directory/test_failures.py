"""Failures are one clear line."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.keys import LEDGER_KEY, MUTABLE, Key
from pipeline.targets.base import LOCK_KEY, KeyMissingError, LostUpdateError, TargetError
from pipeline.targets.directory import DirectoryTarget

from ...conftest import require_tool
from ..processes import namespace_prefix, run_script
from .tree import BLOB, COPY, TAG, files, put


def test_names_that_collide_are_refused_by_name(target: DirectoryTarget, root: Path) -> None:
    put(target, "v2/a/manifests/latest", b"a tag of a")
    put(target, "v2/a/tags/list", b"{}")
    for key in ("v2/a/manifests/latest/manifests/v1", "v2/a/manifests"):
        with pytest.raises(TargetError, match=rf"^{key}: a file stands where this key needs a folder.*rename one"):
            put(target, key, b"data")
    assert files(root) == ["v2/a/manifests/latest", "v2/a/tags/list"]


def test_a_folder_in_the_place_of_a_file_is_no_work_of_a_rival(target: DirectoryTarget, root: Path) -> None:
    (root / LEDGER_KEY).mkdir(parents=True)
    with pytest.raises(KeyMissingError):
        target.open(LEDGER_KEY)
    with pytest.raises(TargetError, match="or a folder where it needs a file; remove what somebody has put") as caught:
        put(target, LEDGER_KEY, b"{}", cache=MUTABLE)
    assert not isinstance(caught.value, LostUpdateError)


def test_a_name_that_is_too_long_is_refused_by_name(target: DirectoryTarget, root: Path) -> None:
    key = "v2/" + "n" * 256
    with pytest.raises(TargetError, match="no name as long as this"):
        put(target, key, b"data")
    assert files(root) == []


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TargetError, match=r"target .*/file\)"):
        put(DirectoryTarget(tmp_path / "file"), BLOB, b"data")
    with pytest.raises(TargetError):
        list(DirectoryTarget(tmp_path / "file").keys())


def test_a_file_system_without_colons_is_named(target: DirectoryTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(TargetError, match=r"sha256:0: the file system refuses this name; .* NTFS, FAT and SMB"):
        put(target, BLOB, b"data")


_TRY = """
def attempt(name, act):
    try:
        act()
        print(name, "worked")
    except TargetError as error:
        print(name, error)
"""


def test_a_folder_of_another_user_is_named(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    (root / BLOB).parent.chmod(0o555)
    without_privileges = (require_tool("setpriv"), "--bounding-set=-all", "--inh-caps=-all")
    script = (
        _TRY
        + f"""
attempt("same", lambda: put({BLOB!r}, b"data"))
attempt("put", lambda: put({BLOB!r}, b"other"))
attempt("delete", lambda: target.delete(Key({BLOB!r})))
"""
    )
    lines = run_script(script, root, prefix=without_privileges if os.geteuid() == 0 else ()).splitlines()
    assert lines[0] == "same worked"
    assert lines[1].startswith(f"put {BLOB}: permission denied; ")
    assert lines[2].startswith(f"delete {BLOB}: permission denied; ")
    assert (root / BLOB).read_bytes() == b"data"


@pytest.mark.interop
def test_a_full_disk_keeps_what_is_complete_and_lets_a_prune_through(tmp_path: Path) -> None:
    script = (
        _TRY
        + f"""
import subprocess
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", sys.argv[1]], check=True)
with target.lock(now=NOW, wait=0):
    put({TAG!r}, b"old")
    put("v2/big", bytes(100_000))
attempt("fill", lambda: put({BLOB!r}, bytes(1_000_000)))
Path(sys.argv[1], "filler").write_bytes(bytes(os.statvfs(sys.argv[1]).f_bavail * os.statvfs(sys.argv[1]).f_frsize))
attempt("replace", lambda: put({TAG!r}, b"new"))
attempt("same", lambda: put({TAG!r}, b"old"))
with target.lock(now=NOW, wait=0):
    target.delete(Key("v2/big"))
attempt("afterwards", lambda: put({TAG!r}, b"new"))
print(*target.keys())
"""
    )
    lines = run_script(script, tmp_path, prefix=namespace_prefix()).splitlines()
    assert lines[0].startswith(f"fill {BLOB}: the disk is full; make room and run again")
    assert lines[1].startswith(f"replace {TAG}: the disk is full; make room and run again")
    assert lines[2:] == ["same worked", "afterwards worked", f"filler {TAG}"]


@pytest.mark.interop
def test_a_read_only_disk_is_named_and_can_be_read(tmp_path: Path) -> None:
    script = (
        _TRY
        + f"""
import subprocess
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
put({TAG!r}, b"old")
subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
attempt("same", lambda: put({TAG!r}, b"old"))
attempt("put", lambda: put({TAG!r}, b"new"))
attempt("delete", lambda: target.delete(Key({TAG!r})))
attempt("lock", lambda: target.lock(now=NOW, wait=0).__enter__())
print(target.open(Key({TAG!r})).read())
"""
    )
    lines = run_script(script, tmp_path, prefix=namespace_prefix()).splitlines()
    advice = "the file system is read-only; mount it for writing"
    assert lines[0] == "same worked"
    assert lines[1].startswith(f"put {TAG}: {advice}")
    assert lines[2].startswith(f"delete {TAG}: {advice}")
    assert lines[3].startswith(f"lock {LOCK_KEY}: {advice}")
    assert lines[4] == "b'old'"


@pytest.mark.interop
def test_a_tree_on_two_disks_is_copied_between_them(tmp_path: Path) -> None:
    script = f"""
import subprocess
Path(sys.argv[1], "v2/team/other").mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1] + "/v2/team/other"], check=True)
put({BLOB!r}, b"data")
put({COPY!r}, b"data", same_as={BLOB!r})
print(target.open(Key({COPY!r})).read(), *target.keys())
"""
    assert run_script(script, tmp_path, prefix=namespace_prefix()) == f"b'data' {BLOB} {COPY}\n"


@pytest.mark.parametrize("read", [lambda stream: stream.read(1), lambda stream: stream.read()], ids=["some", "all"])
def test_a_read_error_in_the_middle_is_the_targets(root: Path, read: Callable[[object], bytes]) -> None:
    """The memory of a process is a regular file that cannot be read at address zero."""
    target = DirectoryTarget(Path("/proc/self"))
    with target.open(Key("mem")) as stream, pytest.raises(TargetError, match=r"^mem: .*rror"):
        read(stream)
