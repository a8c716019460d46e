"""File systems that can do less: no fsync of folders, none of what was opened for reading, no modes, no times."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.targets.base import LOCK_KEY, TargetError
from pipeline.targets.directory import DirectoryTarget

from ...runs import Shop, app
from ..test_contract import NOW, get
from .tree import BLOB, COPY, TAG, put

Refusal = Callable[[int], bool]


def is_folder(file: int) -> bool:
    return stat.S_ISDIR(os.fstat(file).st_mode)


def is_read_only(file: int) -> bool:
    return fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY


def without_fsync(patch: pytest.MonkeyPatch, code: int, of: Refusal) -> None:
    real = os.fsync

    def fsync(file: int) -> None:
        if of(file):
            raise OSError(code, os.strerror(code))
        real(file)

    patch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize(
    "code", [errno.EINVAL, errno.EACCES, errno.EBADF, errno.ENOTSUP, errno.ENOSYS], ids=errno.errorcode.get
)
@pytest.mark.parametrize("of", [is_folder, is_read_only], ids=["folders", "read-only"])
def test_a_run_works_where_something_cannot_be_flushed_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, of: Refusal
) -> None:
    shop = Shop(tmp_path, target=DirectoryTarget(tmp_path / "public"), repositories={"app": "", "b": ""})
    without_fsync(monkeypatch, code, of)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.images({"latest": app(number)}, "b")
        outcome = shop.run(number)
        assert outcome.exit_code == ExitCode.SUCCESS
        [note] = outcome.notes
        assert "public: the file system cannot flush folders: after a power cut" in note
    assert shop.run(2, repair=True).repairs == ()
    blob = next((tmp_path / "public/v2/app/blobs").iterdir())
    assert blob.stat().st_nlink == 2


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("of", [is_folder, lambda file: not is_folder(file)], ids=["folders", "files"])
def test_a_flush_that_fails_is_a_failure(
    target: DirectoryTarget, monkeypatch: pytest.MonkeyPatch, code: int, of: Refusal
) -> None:
    without_fsync(monkeypatch, code, of)
    with pytest.raises(TargetError) as caught:
        put(target, TAG, b"data")
    said = {errno.EIO: r"(fsync: Input/output error)", errno.ENOSPC: "the disk is full", errno.EDQUOT: "quota"}[code]
    assert said in str(caught.value)


def test_files_that_cannot_be_flushed_at_all_are_refused_for_that(
    target: DirectoryTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fsync(monkeypatch, errno.EINVAL, lambda file: not is_folder(file))
    with pytest.raises(TargetError, match=r"cannot be flushed to the disk.*\(fsync: Invalid argument\)"):
        put(target, BLOB, b"data")


def refuse(code: int) -> Callable[..., None]:
    def call(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


def test_a_file_system_without_modes_is_published_to_where_its_own_let_others_read(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fchmod", refuse(errno.EPERM))
    put(target, BLOB, b"data")
    put(target, COPY, b"data", same_as=BLOB)
    assert get(target, COPY) == b"data"
    stored = target.stat(COPY)
    assert stored is not None
    assert stored.problem is None


def test_a_refused_call_is_named_and_not_guessed(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(target, TAG, b"old")
    before = os.umask(0o077)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fchmod", refuse(errno.EPERM))
            with pytest.raises(TargetError, match=r"cannot be made readable for a web server;.*\(chmod: Operation not"):
                put(target, TAG, b"new")
    finally:
        os.umask(before)
    with monkeypatch.context() as patch:
        later = (root / TAG).stat().st_mtime + 100
        os.utime(root / TAG, (later, later))  # only where the old file is not older must the time be set
        patch.setattr(os, "utime", refuse(errno.EPERM))
        with pytest.raises(TargetError, match=r"\(utime: Operation not permitted\)"):
            put(target, TAG, b"new")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refuse(errno.EINVAL))
        with pytest.raises(TargetError, match="write failed: Invalid argument"):
            put(target, TAG, b"new")
    for code in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", refuse(code))
            with pytest.raises(TargetError, match=rf"^{LOCK_KEY}: the file system offers no locks.*\(flock: "):
                target.lock(now=NOW, wait=0).__enter__()
    assert get(target, TAG) == b"old"


def test_a_group_that_publishes_together_may_write_each_others_files(target: DirectoryTarget, root: Path) -> None:
    before = os.umask(0o002)
    try:
        with target.lock(now=NOW, wait=0):
            put(target, BLOB, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / BLOB).stat().st_mode) == 0o664
    assert stat.S_IMODE((root / LOCK_KEY).stat().st_mode) == 0o664
    assert stat.S_IMODE((root / BLOB).parent.stat().st_mode) == 0o775


@pytest.mark.parametrize(
    ("umask", "file", "folder"),
    [(0o027, 0o640, 0o2750), (0o007, 0o660, 0o2770), (0o077, 0o644, 0o2755), (0o022, 0o644, 0o2755)],
)
def test_in_a_folder_of_a_group_others_read_as_far_as_the_umask_lets_them(
    target: DirectoryTarget, root: Path, umask: int, file: int, folder: int
) -> None:
    root.mkdir(parents=True)
    root.chmod(0o2750)
    before = os.umask(umask)
    try:
        put(target, BLOB, b"data")
        inode = (root / BLOB).stat().st_ino
        put(target, BLOB, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / BLOB).stat().st_mode) == file
    assert stat.S_IMODE((root / BLOB).parent.stat().st_mode) == folder
    assert (root / BLOB).stat().st_ino == inode
    stored = target.stat(BLOB)
    assert stored is not None
    assert stored.problem is None


def test_a_folder_that_somebody_shares_with_a_group_stays_as_it_is(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    (root / "v2").chmod(0o750)
    put(target, COPY, b"data")
    assert stat.S_IMODE((root / "v2").stat().st_mode) == 0o750
    stored = target.stat(BLOB)
    assert stored is not None
    assert stored.problem is None
