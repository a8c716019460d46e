"""An exported container becomes a folder of the files that can be sources, whatever is in it."""

import os
from pathlib import Path

import pytest

from pipeline.client.runtimes.commands import Program
from pipeline.client.runtimes.contract import ContainerRuntimeError
from pipeline.client.runtimes.exports import exported

from ..tars import directory, fifo, file, hard_link, symlink, tar


def runtime(tmp_path: Path, archive: bytes) -> Program:
    """Three commands, written down as they come; the export is `archive`."""
    (tmp_path / "archive").write_bytes(archive)
    script = f'cd {tmp_path}; echo "$*" >>calls; case $1 in create) echo c0ffee;; export) cat archive;; esac'
    return Program(command=("sh", "-c", script, "sh"), environment={"PATH": os.environ["PATH"]})


def files_of(tmp_path: Path, archive: bytes, *, max_bytes: int = 1000) -> dict[str, bytes]:
    place = tmp_path / "place"
    place.mkdir()
    try:
        with exported(runtime(tmp_path, archive), "sha256:abc", max_bytes=max_bytes, place=place) as folder:
            found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if not path.is_dir()}
            assert not any(path.is_symlink() for path in found.values())
            return {name: path.read_bytes() for name, path in found.items()}
    finally:
        assert not list(place.iterdir())
        assert (tmp_path / "calls").read_text().splitlines()[-1] == "rm --volumes c0ffee"


def test_files_and_hard_links_are_there(tmp_path: Path) -> None:
    archive = tar(
        directory("usr"),
        file("usr/a", b"1"),
        hard_link("usr/b", "usr/a"),
        symlink("usr/c", "a"),
        fifo("usr/d"),
        file("./usr/e", b"5"),
        file("no/parent", b"6"),
    )
    assert files_of(tmp_path, archive) == {"usr/a": b"1", "usr/b": b"1", "usr/e": b"5", "no/parent": b"6"}
    calls = (tmp_path / "calls").read_text().splitlines()
    assert calls[:2] == ["create --pull=never --network=none sha256:abc none", "export c0ffee"]


def test_no_name_leads_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar(
        file("../escaped", b"1"),
        file("usr/../../escaped", b"2"),
        file(f"{outside}/escaped", b"3"),
        symlink("link", str(outside)),
        file("link/kept-inside", b"4"),
        hard_link("usr/x", "../../calls"),
        hard_link("usr/y", "usr/missing"),
    )
    assert files_of(tmp_path, archive) == {"link/kept-inside": b"4"}
    assert not list(outside.iterdir())
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("archive", "problem"),
    [
        (tar(file("a", bytes(600)), file("b", bytes(600))), "have more than the 1,000 bytes that are allowed"),
        (tar(file("a", b"1"), file("a", b"2")), "File exists"),
        (tar(file("a", b"1"), file("a/b", b"2")), "File exists|Not a directory"),
        (tar(file("a", bytes(900)))[:600], "unexpected end of data"),
        (b"no tar at all", "truncated header|bad checksum|invalid header|file could not be opened"),
    ],
)
def test_a_bad_export_is_refused(tmp_path: Path, archive: bytes, problem: str) -> None:
    with pytest.raises(ContainerRuntimeError, match=f"^image sha256:abc: .*({problem})"):
        files_of(tmp_path, archive)
