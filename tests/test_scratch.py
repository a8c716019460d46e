"""Temporary folders outlive no run by more than one."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

import pytest

from pipeline.scratch import remove_dead, scratch_folder

from .runs import Shop, app
from .targets.processes import running_code

HELD = """
import sys, time
from pathlib import Path
from pipeline.scratch import scratch_folder

with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "layer").mkdir()
    (folder / "layer" / "data").write_bytes(bytes(1000))
    print("ready", flush=True)
    time.sleep(600)
"""


def killed(place: Path) -> Path:
    """What a killed run leaves in `place`."""
    before = set(place.iterdir())
    with running_code(HELD, str(place)):
        pass
    [folder] = set(place.iterdir()) - before
    return folder


def test_a_folder_goes_in_the_end_and_after_a_failure(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        (folder / "data").write_bytes(b"x")
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(KeyError), scratch_folder(tmp_path):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_cleaner_took_away_is_no_failure(tmp_path: Path) -> None:
    with scratch_folder(tmp_path) as folder:
        shutil.rmtree(folder)
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_it_lies_where_the_system_has_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.parent == tmp_path


def test_what_killed_runs_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = [killed(tmp_path) for _ in range(2)]
    assert not left[0].exists()  # by the second, which was killed too
    assert left[1].exists()
    with scratch_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_a_run_that_makes_nothing_removes_it_too(tmp_path: Path) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    left = killed(place)
    assert shop.run(temporary=place).made == ()
    assert not left.exists()


def test_what_a_living_run_works_in_is_left_alone(tmp_path: Path) -> None:
    with running_code(HELD, str(tmp_path)), scratch_folder(tmp_path) as one, scratch_folder(tmp_path) as two:
        remove_dead(tmp_path)
        assert len(list(tmp_path.rglob("layer/data"))) == 1
        assert {one, two} < set(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["deltapress-tree-x", "deltapress-backup", "deltapress-abcdefgh.work", "other"])
def test_what_only_looks_like_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "data").write_bytes(b"precious")
    if name.endswith(".work"):
        (tmp_path / "deltapress-linked00.work").symlink_to(tmp_path / name)
        (tmp_path / "deltapress-file0000.work").write_bytes(b"precious")
    remove_dead(tmp_path)
    assert (tmp_path / name / "data").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_what_belongs_to_another_user_is_left_alone(tmp_path: Path) -> None:
    left = killed(tmp_path)
    os.chown(left, 12345, -1)
    remove_dead(tmp_path)
    assert (left / "layer" / "data").exists()


def test_a_link_in_a_dead_folder_leads_nowhere(tmp_path: Path) -> None:
    place, outside = tmp_path / "tmp", tmp_path / "outside"
    place.mkdir()
    outside.mkdir()
    (outside / "data").write_bytes(b"precious")
    left = killed(place)
    (left / "link").symlink_to(outside)
    remove_dead(place)
    assert list(place.iterdir()) == []
    assert (outside / "data").exists()


@pytest.mark.parametrize("kind", ["without effect", "refused"])
def test_where_locks_do_nothing_nobody_is_told_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def flock(*_: object) -> None:
        if kind == "refused":
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    left = killed(tmp_path)
    monkeypatch.setattr(fcntl, "flock", flock)
    with scratch_folder(tmp_path) as folder:
        assert set(tmp_path.iterdir()) == {left, folder}
    assert list(tmp_path.iterdir()) == [left]
