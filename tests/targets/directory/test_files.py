"""Files as a web server wants them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.content import chunks
from pipeline.keys import IMMUTABLE, MUTABLE
from pipeline.targets.directory import DirectoryTarget

from .tree import BLOB, COPY, NOW, TAG, files, put


@pytest.fixture
def narrow_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


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


def test_a_reader_streams_in_pieces(target: DirectoryTarget) -> None:
    put(target, BLOB, b"x" * 2_500_000)
    with target.open(BLOB) as stream:
        assert [len(piece) for piece in chunks(stream)] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]
