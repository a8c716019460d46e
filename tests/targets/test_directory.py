"""What only a directory promises: files as a web server wants them, and a tree that nothing leads out of."""

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.content import BytesContent, chunks
from pipeline.oci.digest import Digest
from pipeline.oci.keys import IMMUTABLE, MUTABLE, OCTET_STREAM, Headers, Key
from pipeline.targets.base import LOCK_KEY, ContentChangedError, KeyMissingError, LockHeldError, TargetError
from pipeline.targets.directory import DirectoryTarget

from ..conftest import require_tool
from .processes import namespace_prefix, run_script, running_script

NOW = datetime(2025, 6, 1, 2, 30, tzinfo=UTC)
BLOB = Key("v2/team/app/blobs/sha256:0")
COPY = Key("v2/team/other/blobs/sha256:0")
TAG = Key("v2/team/app/manifests/latest")
LEFTOVER = ".deltapress-00000000deadbeef.tmp"


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


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def put(target: DirectoryTarget, key: str, data: bytes, *, same_as: Key | None = None, cache: str = IMMUTABLE) -> None:
    headers = Headers(content_type=OCTET_STREAM, cache_control=cache)
    target.put(Key(key), BytesContent(data), headers, digest=Digest.of(data), same_as=same_as)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink())


# Files as a web server wants them


@pytest.mark.usefixtures("narrow_umask")
def test_a_server_of_another_user_can_read_everything(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    put(target, COPY, b"data", same_as=BLOB)
    with target.lock(now=NOW, wait=0):
        pass
    assert stat.S_IMODE((root / BLOB).stat().st_mode) == 0o644
    assert stat.S_IMODE((root / COPY).stat().st_mode) == 0o644
    folders = [root.parent.parent, root.parent, root, *(path for path in root.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o755}


def test_a_folder_keeps_the_group_that_its_parent_hands_down(target: DirectoryTarget, root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o2775)
    put(target, BLOB, b"data")
    assert stat.S_IMODE((root / "v2" / "team").stat().st_mode) == 0o2755
    assert stat.S_IMODE(root.stat().st_mode) == 0o2775


@pytest.mark.parametrize("cache", [IMMUTABLE, MUTABLE])
def test_a_file_that_holds_the_bytes_is_not_touched(target: DirectoryTarget, root: Path, cache: str) -> None:
    put(target, TAG, b"manifest", cache=cache)
    os.utime(root / TAG, (1, 1))
    before = (root / TAG).stat()
    put(target, TAG, b"manifest", cache=cache, same_as=BLOB)
    after = (root / TAG).stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_ctime_ns) == (before.st_ino, 10**9, before.st_ctime_ns)


def test_a_file_that_no_server_could_read_is_written_anew(target: DirectoryTarget, root: Path) -> None:
    put(target, TAG, b"manifest")
    (root / TAG).chmod(0o600)
    put(target, TAG, b"manifest")
    assert stat.S_IMODE((root / TAG).stat().st_mode) == 0o644


def test_a_damaged_file_of_the_same_size_is_repaired(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    (root / BLOB).write_bytes(b"DATA")
    put(target, BLOB, b"data")
    assert (root / BLOB).read_bytes() == b"data"


def test_replacements_in_one_second_never_share_an_etag(target: DirectoryTarget, root: Path) -> None:
    """nginx makes it from the size and the whole seconds of the time; a client would be told 304 for other bytes."""
    etags = []
    for data in (b"one", b"two", b"six", b"ten"):
        put(target, TAG, data, cache=MUTABLE)
        etags.append((int((root / TAG).stat().st_mtime), len(data)))
    assert len(set(etags)) == 4
    assert etags == sorted(etags)


def test_a_replacement_after_the_clock_went_back_is_younger_all_the_same(target: DirectoryTarget, root: Path) -> None:
    put(target, TAG, b"one", cache=MUTABLE)
    os.utime(root / TAG, (4_000_000_000, 4_000_000_000))
    put(target, TAG, b"two", cache=MUTABLE)
    assert (root / TAG).stat().st_mtime == 4_000_000_001


def test_a_new_file_has_the_time_of_its_writing(target: DirectoryTarget, root: Path, tmp_path: Path) -> None:
    put(target, TAG, b"one", cache=MUTABLE)
    (tmp_path / "later").touch()
    assert abs((root / TAG).stat().st_mtime - (tmp_path / "later").stat().st_mtime) < 60


def test_emptied_folders_go_and_others_stay(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    put(target, TAG, b"manifest")
    target.delete(BLOB)
    assert not (root / BLOB).parent.exists()
    assert (root / TAG).exists()
    target.delete(TAG)
    assert list(root.iterdir()) == []


def test_foreign_files_are_shown_and_left_alone(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    (root / "robots.txt").write_text("mine")
    (root / "v2" / "bad\nname").write_text("no key")
    (root / "v2" / "link").symlink_to(root / "robots.txt")
    (root / os.fsdecode(b"not \xff utf-8")).write_text("no key")
    assert list(target.keys()) == ["robots.txt", BLOB]
    target.delete(BLOB)
    assert len(files(root)) == 4


# Hard links


def test_the_same_blob_of_two_repositories_is_one_file(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    put(target, COPY, b"data", same_as=BLOB)
    assert (root / COPY).samefile(root / BLOB)
    assert files(root) == sorted([BLOB, COPY])


def test_what_changes_is_never_linked_since_a_link_has_its_partners_time(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    put(target, TAG, b"data", same_as=BLOB, cache=MUTABLE)
    assert not (root / TAG).samefile(root / BLOB)


def test_what_replaces_a_file_is_never_a_link(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    put(target, COPY, b"DATA")
    put(target, COPY, b"data", same_as=BLOB)
    assert not (root / COPY).samefile(root / BLOB)
    assert (root / COPY).read_bytes() == b"data"


def test_a_link_to_the_file_outside_that_took_a_keys_place_is_not_spread(
    target: DirectoryTarget, root: Path, outside: Path
) -> None:
    put(target, BLOB, b"secret")
    (root / BLOB).unlink()
    (root / BLOB).symlink_to(outside / "secret")
    put(target, COPY, b"secret", same_as=BLOB)
    assert not (root / COPY).is_symlink()
    assert not (root / COPY).samefile(outside / "secret")
    assert (outside / "secret").stat().st_nlink == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_copied_because_its_owner_could_change_it(target: DirectoryTarget, root: Path) -> None:
    put(target, BLOB, b"data")
    os.chown(root / BLOB, 65534, -1)
    put(target, COPY, b"data", same_as=BLOB)
    assert not (root / COPY).samefile(root / BLOB)
    assert (root / COPY).stat().st_uid == 0


@pytest.mark.parametrize("code", [errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV], ids=errno.errorcode.get)
def test_where_a_link_is_refused_the_bytes_are_copied(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    put(target, BLOB, b"data")
    monkeypatch.setattr(os, "link", refuse)
    put(target, COPY, b"data", same_as=BLOB)
    assert not (root / COPY).samefile(root / BLOB)
    assert files(root) == sorted([BLOB, COPY])


# Nothing leads out of the tree


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


# Failures are one clear line


def test_names_that_collide_are_refused_by_name(target: DirectoryTarget, root: Path) -> None:
    put(target, "v2/a/manifests/latest", b"a tag of a")
    put(target, "v2/a/tags/list", b"{}")
    for key in ("v2/a/manifests/latest/manifests/v1", "v2/a/manifests"):
        with pytest.raises(TargetError, match=rf"^{key}: a file stands where this key needs a folder.*rename one"):
            put(target, key, b"data")
    assert files(root) == ["v2/a/manifests/latest", "v2/a/tags/list"]


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


# Crashes and rivals

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
        with target.lock(now=NOW, wait=0):
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


def test_a_reader_streams_in_pieces(target: DirectoryTarget) -> None:
    put(target, BLOB, b"x" * 2_500_000)
    with target.open(BLOB) as stream:
        assert [len(piece) for piece in chunks(stream)] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]
