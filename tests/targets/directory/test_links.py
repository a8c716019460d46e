"""Hard links: one file for the same bytes, where nobody could be deceived by it."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.keys import MUTABLE
from pipeline.targets.directory import DirectoryTarget

from .tree import BLOB, COPY, TAG, files, put


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
