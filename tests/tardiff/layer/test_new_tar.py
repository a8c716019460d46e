"""The new tar: its regular files, and bytes of it."""

from pathlib import Path

import pytest

from pipeline.tardiff.layer import new_tar
from pipeline.tardiff.layer.new_tar import NewTar
from pipeline.tardiff.layer.regions import array_of
from tests.tars import directory, file, symlink, tar

LARGE = bytes(range(256)) * 1000
TAR = tar(directory("d"), file("./d//a", b"first"), symlink("d/l", "a"), file("d/empty", b""), file("b", LARGE))


def at(tmp_path: Path, content: bytes) -> NewTar:
    path = tmp_path / "new"
    path.write_bytes(content)
    return NewTar.at(path)


def test_files_with_content_are_listed_in_order_by_normalised_paths(tmp_path: Path) -> None:
    new = at(tmp_path, TAR)
    assert [(file.path, file.size) for file in new.files] == [(b"d/a", 5), (b"b", len(LARGE))]
    assert [TAR[file.start : file.start + file.size] for file in new.files] == [b"first", LARGE]
    assert new.size == len(TAR)


def test_it_is_read_after_its_name_is_gone(tmp_path: Path) -> None:
    new = at(tmp_path, TAR)
    new.path.unlink()
    assert [array_of(new.content(file)).tobytes() for file in new.files] == [b"first", LARGE]
    assert b"".join(new.pieces(0, new.size)) == TAR
    assert b"".join(new.pieces(100, 200)) == TAR[100:200]


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (TAR[: TAR.index(LARGE) + 10], [b"d/a"]),
        (TAR[: TAR.index(b"first") + 3], []),
        (tar(file("a", b"x"))[:1024] + b"y" * 2000, [b"a"]),
        (b"no tar at all" * 100, []),
        (b"", []),
    ],
    ids=["cut in a file", "cut in the first file", "noise behind a file", "noise", "nothing"],
)
def test_files_behind_what_cannot_be_read_are_none(tmp_path: Path, content: bytes, paths: list[bytes]) -> None:
    new = at(tmp_path, content)
    assert [file.path for file in new.files] == paths
    assert b"".join(new.pieces(0, new.size)) == content


def test_files_beyond_a_number_and_paths_beyond_a_length_are_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tar(file("n" * 4097, b"x"), file("a", b"x"), file("b", b"x"), file("c", b"x"))
    assert [found.path for found in at(tmp_path, content).files] == [b"a", b"b", b"c"]
    monkeypatch.setattr(new_tar, "MAX_FILES", 2)
    assert [found.path for found in at(tmp_path, content).files] == [b"a", b"b"]
