"""Keys whose content is where a symbolic link leads: a web server resolves it, we read its text."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.keys import MUTABLE, Key, tag_link_key, tag_link_text
from pipeline.oci.digest import Digest
from pipeline.targets.base import LOCK_KEY, KeyMissingError, TargetError, read_bytes
from pipeline.targets.directory import DirectoryTarget

from .tree import LEFTOVER, NOW, TAG, put

LINK = tag_link_key("team/app", "latest")
ONE, TWO = (tag_link_text("team/app", Digest.of(data)) for data in (b"1", b"2"))


def put_link(target: DirectoryTarget, text: str, key: Key = LINK) -> None:
    put(target, key, text.encode(), cache=MUTABLE)


def read(target: DirectoryTarget, key: Key = LINK) -> str:
    return read_bytes(target, key, limit=4096).decode()


def test_a_link_is_put_moved_listed_and_deleted(target: DirectoryTarget, root: Path) -> None:
    assert target.stat(LINK) is None
    with pytest.raises(KeyMissingError):
        read(target)
    for text in (ONE, TWO):
        put_link(target, text)
        assert (root / LINK).readlink() == Path(text)
        assert read(target) == text
        stored = target.stat(LINK)
        assert stored is not None
        assert (stored.size, stored.problem) == (len(text), None)
        assert list(target.keys()) == [LINK]
    target.delete(LINK)
    assert list(target.keys()) == []
    assert list(root.iterdir()) == []


def test_it_leads_to_the_folder_of_its_digest_wherever_the_tree_lies(target: DirectoryTarget, root: Path) -> None:
    put_link(target, ONE)
    assert os.path.normpath((root / LINK).parent / ONE) == str(
        root / f"_deltapress/digests/v2/team/app/manifests/{Digest.of(b'1')}"
    )


def test_a_link_that_is_right_is_not_touched(target: DirectoryTarget, root: Path) -> None:
    put_link(target, ONE)
    before = (root / LINK).lstat()
    put_link(target, ONE)
    assert (root / LINK).lstat() == before


@pytest.mark.parametrize("spoil", [lambda path: path.write_text(ONE), lambda path: path.symlink_to("/")])
def test_what_has_taken_its_place_is_replaced(
    target: DirectoryTarget, root: Path, spoil: Callable[[Path], object]
) -> None:
    put_link(target, ONE)
    (root / LINK).unlink()
    spoil(root / LINK)
    put_link(target, ONE)
    assert (root / LINK).readlink() == Path(ONE)


def test_one_that_only_its_owner_can_come_to_is_a_problem(target: DirectoryTarget, root: Path) -> None:
    put_link(target, ONE)
    (root / LINK).parent.chmod(0o700)
    stored = target.stat(LINK)
    assert stored is not None
    assert "only its owner can enter" in str(stored.problem)
    put_link(target, ONE)
    assert target.stat(LINK) == type(stored)(size=len(ONE))


def test_one_that_a_killed_run_left_is_no_key_and_goes_with_the_next_lock(target: DirectoryTarget, root: Path) -> None:
    left = (root / LINK).with_name(LEFTOVER)
    left.parent.mkdir(parents=True)
    left.symlink_to(ONE)
    assert list(target.keys()) == []
    (root / LOCK_KEY).write_bytes(b"{")
    with target.lock(now=NOW, wait=0):
        assert not left.is_symlink()
        assert not (root / "_deltapress/tags").exists()


@pytest.mark.parametrize("text", ["/etc", "../../../../../../../etc", "../../../../../../v2/team", ""])
def test_none_leads_to_where_clients_or_others_are(target: DirectoryTarget, text: str) -> None:
    with pytest.raises(TargetError, match="cannot be a link"):
        put_link(target, text)
    assert list(target.keys()) == []


def test_no_other_key_is_a_link(target: DirectoryTarget, root: Path) -> None:
    put(target, TAG, b"data")
    (root / TAG).unlink()
    (root / TAG).symlink_to("elsewhere")
    assert list(target.keys()) == []
    with pytest.raises(TargetError):
        target.stat(TAG)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_where_there_are_no_links_the_text_is_a_file(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "symlink", refuse)
    for text in (ONE, TWO, TWO):
        put_link(target, text)
        assert not (root / LINK).is_symlink()
        assert read(target) == text
    assert list(target.keys()) == [LINK]


def test_a_disk_that_is_full_leaves_the_old_one(
    target: DirectoryTarget, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_link(target, ONE)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("symlink", "rename"):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(TargetError):
                put_link(target, TWO)
        assert read(target) == ONE
        assert os.listdir((root / LINK).parent) == ["latest"]  # noqa: PTH208 - temporary ones too
