"""`diff` and `patch`: right or not at all, in files and on standard output."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zstandard

from pipeline.cli import main
from pipeline.errors import ExitCode
from pipeline.oci.digest import DiffID
from pipeline.tardiff.format import MAGIC
from tests.tars import Member, file, sparse, tar, whiteout

Capture = pytest.CaptureFixture[bytes]
TextCapture = pytest.CaptureFixture[str]

OLD = tar(file("bin/app", bytes(range(256)) * 40), file("gone", b"x" * 999))
MIDDLE = tar(file("etc/conf", b"a = 1\n" * 200), whiteout("gone"))
NEW = tar(file("bin/app", bytes(range(256)) * 39 + b"!" * 256), file("etc/conf", b"a = 1\n" * 200))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """old, middle, new: layers; tree: what a client has of old and middle."""
    for name, data in (("old", OLD), ("middle", MIDDLE), ("new", NEW)):
        (tmp_path / name).write_bytes(data)
    for name, data in (("bin/app", bytes(range(256)) * 40), ("etc/conf", b"a = 1\n" * 200)):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    return tmp_path


def diff(folder: Path, *arguments: str) -> int:
    return main(["diff", *(text if text.startswith("-") else str(folder / text) for text in arguments)])


def patch(folder: Path, *arguments: str) -> int:
    return main(["patch", *(text if text[0] in "-s" else str(folder / text) for text in arguments)])


def test_a_delta_gives_the_new_layer_back(files: Path) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    assert (files / "delta").stat().st_size < len(NEW) // 4
    assert patch(files, "delta", "tree", "out") == ExitCode.SUCCESS
    assert (files / "out").read_bytes() == NEW


def test_layers_may_be_compressed(files: Path) -> None:
    assert diff(files, "old", "middle", "new", "plain") == ExitCode.SUCCESS
    (files / "old").write_bytes(gzip.compress(OLD))
    (files / "new").write_bytes(zstandard.compress(NEW))
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    assert (files / "delta").read_bytes() == (files / "plain").read_bytes()


def test_what_costs_sources_is_said(files: Path, capsys: TextCapture) -> None:
    (files / "old").write_bytes(tar(file("bin/app", bytes(range(256)) * 40), sparse("gone", b"x" * 999)))
    assert diff(files, "old", "new", "delta") == ExitCode.SUCCESS
    assert (
        "readers of tars differ about 1 entry of old layers, which give no sources: a sparse file (1)"
        in capsys.readouterr().err
    )
    (files / "old").write_bytes(OLD[: -1024 - 1536] + tar(Member(path=b"x", type=b"X", data=b"12 path=gone\n")))
    assert diff(files, "old", "new", "delta") == ExitCode.BAD_INPUT
    assert "an entry of type 'X', which readers take differently (at byte 10,752)" in capsys.readouterr().err


PEAK = r"""
import re, sys
from pathlib import Path
from pipeline.cli import main
assert main(["diff", *sys.argv[1:]]) == 0
print(re.search("VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1])
"""


def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    content = np.random.default_rng(1).integers(0, 256, 96 << 20, np.uint8)
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(tar(file("disk", content.tobytes())))
    content[:: 1 << 20] += 1
    new.write_bytes(tar(file("disk", content.tobytes())))
    command = [sys.executable, "-c", PEAK, "--effort=fast", str(old), str(new), str(tmp_path / "delta")]
    peak = int(subprocess.run(command, capture_output=True, check=True).stdout) << 10
    assert peak < 1.5 * len(content)  # of both files as a whole, nothing else counted, it would be twice as much
    assert (tmp_path / "delta").stat().st_size < 10_000


def test_the_number_of_threads_does_not_show(files: Path) -> None:
    assert diff(files, "old", "new", "one", "--jobs=1") == ExitCode.SUCCESS
    assert diff(files, "old", "new", "four", "--jobs=4") == ExitCode.SUCCESS
    assert (files / "one").read_bytes() == (files / "four").read_bytes()


def test_standard_output(files: Path, capfdbinary: Capture) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    capfdbinary.readouterr()
    assert diff(files, "old", "middle", "new", "-") == ExitCode.SUCCESS
    assert capfdbinary.readouterr().out == (files / "delta").read_bytes()
    assert patch(files, "delta", "tree", "-") == ExitCode.SUCCESS
    captured = capfdbinary.readouterr()
    assert captured.out == NEW
    assert captured.err.decode() == f"{DiffID.of(NEW)}\n"


def test_files_get_the_usual_mode(files: Path) -> None:
    before = os.umask(0o022)
    try:
        assert diff(files, "old", "new", "delta") == ExitCode.SUCCESS
    finally:
        os.umask(before)
    assert (files / "delta").stat().st_mode & 0o777 == 0o644


def test_the_expected_layer(files: Path) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    assert patch(files, "delta", "tree", "out", f"--expect={DiffID.of(NEW)}") == ExitCode.SUCCESS
    assert (files / "out").read_bytes() == NEW


@pytest.mark.parametrize("out", ["out", "-"])
def test_another_layer_than_expected_is_not_written(out: str, files: Path, capfdbinary: Capture) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    (files / "tree/bin/app").write_bytes(bytes(256 * 40))
    before = sorted(files.iterdir())
    capfdbinary.readouterr()
    assert patch(files, "delta", "tree", out, f"--expect={DiffID.of(NEW)}") == ExitCode.VERIFICATION_FAILED
    captured = capfdbinary.readouterr()
    assert captured.out == b""
    assert str(DiffID.of(NEW)) in captured.err.decode()
    assert sorted(files.iterdir()) == before


def test_the_size_is_bounded(files: Path, capfdbinary: Capture) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    before = sorted(files.iterdir())
    assert patch(files, "delta", "tree", "out", f"--max-size={len(NEW)}B") == ExitCode.SUCCESS
    (files / "out").unlink()
    assert patch(files, "delta", "tree", "out", f"--max-size={len(NEW) - 1}B") == ExitCode.VERIFICATION_FAILED
    assert diff(files, "old", "new", "other", "--max-size=2KiB") == ExitCode.BAD_INPUT
    assert "2,048 bytes" in capfdbinary.readouterr().err.decode()
    assert sorted(files.iterdir()) == before


@pytest.mark.parametrize("name", ["old", "new"])
def test_a_bomb_is_stopped(name: str, files: Path, capfdbinary: Capture) -> None:
    (files / name).write_bytes(zstandard.compress(bytes(65 << 20)))
    before = sorted(files.iterdir())
    assert diff(files, "old", "new", "delta") == ExitCode.BAD_INPUT
    assert capfdbinary.readouterr().err.decode() == (
        f"deltapress: {files / name}: zstd stream: decompresses to more than the allowed 67,108,864 bytes; "
        "--max-size and --ratio allow more\n"
    )
    assert sorted(files.iterdir()) == before
    (files / name).write_bytes(zstandard.compress(tar(file("zeros", bytes(65 << 20)))))
    assert diff(files, "old", "new", "delta", "--ratio=40000", "--effort=fast") == ExitCode.SUCCESS


@pytest.mark.parametrize("data", [b"tardf1\n\0", b"", NEW], ids=["truncated", "empty", "something-else"])
def test_a_damaged_delta_is_bad_input(data: bytes, files: Path, capfdbinary: Capture) -> None:
    (files / "delta").write_bytes(data)
    assert patch(files, "delta", "tree", "out") == ExitCode.BAD_INPUT
    error = capfdbinary.readouterr().err.decode()
    assert error.startswith(f"deltapress: {files}/delta: ")
    assert error.count("\n") == 1
    assert not (files / "out").exists()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("old", gzip.compress(OLD)[:-9]),
        ("old", OLD[:2000]),
        ("old", b"no tar at all" * 99),
        ("new", gzip.compress(NEW)[:-9]),
        ("new", zstandard.compress(NEW)[:-4]),
    ],
    ids=["old-gzip-truncated", "old-truncated", "old-no-tar", "new-gzip-truncated", "new-zstd-truncated"],
)
def test_damaged_layers_are_named(name: str, data: bytes, files: Path, capfdbinary: Capture) -> None:
    (files / name).write_bytes(data)
    assert diff(files, "old", "new", "delta") == ExitCode.BAD_INPUT
    error = capfdbinary.readouterr().err.decode()
    assert error.startswith(f"deltapress: {files / name}: ")
    assert not (files / "delta").exists()


@pytest.mark.parametrize("missing", ["old", "new"])
def test_missing_files_are_named(missing: str, files: Path, capfdbinary: Capture) -> None:
    (files / missing).unlink()
    assert diff(files, "old", "new", "delta") == ExitCode.BAD_INPUT
    assert capfdbinary.readouterr().err.decode() == (
        f"deltapress: {files / missing}: cannot be read (No such file or directory)\n"
    )


def test_what_was_there_stays_when_nothing_comes(files: Path) -> None:
    (files / "delta").write_bytes(MAGIC + b"precious")
    (files / "new").write_bytes(gzip.compress(NEW)[:-9])
    assert diff(files, "old", "new", "delta") == ExitCode.BAD_INPUT
    assert (files / "delta").read_bytes() == MAGIC + b"precious"


def test_a_layer_is_not_overwritten_where_the_name_of_the_delta_was_forgotten(files: Path, capsys: TextCapture) -> None:
    assert diff(files, "old", "middle", "new") == ExitCode.BAD_CONFIGURATION
    assert "new: exists and is not a delta, so it is not overwritten" in capsys.readouterr().err
    assert (files / "new").read_bytes() == NEW


def test_a_new_layer_that_is_no_tar_is_carried_as_it_is(files: Path) -> None:
    (files / "new").write_bytes(b"anything" * 100)
    assert diff(files, "old", "new", "delta") == ExitCode.SUCCESS
    assert patch(files, "delta", "tree", "out") == ExitCode.SUCCESS
    assert (files / "out").read_bytes() == b"anything" * 100


def test_devices_and_pipes_are_written_to_and_not_replaced(files: Path) -> None:
    assert diff(files, "old", "middle", "new", "delta") == ExitCode.SUCCESS
    os.mkfifo(files / "pipe")
    reader = os.open(files / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert diff(files, "old", "middle", "new", "pipe") == ExitCode.SUCCESS
    assert (files / "pipe").is_fifo()
    assert os.read(reader, 1 << 16) == (files / "delta").read_bytes()
    os.close(reader)


def test_a_link_stays_and_its_file_is_replaced(files: Path) -> None:
    (files / "real").write_bytes(MAGIC + b"before")
    (files / "link").symlink_to("real")
    assert diff(files, "old", "middle", "new", "link") == ExitCode.SUCCESS
    assert (files / "link").is_symlink()
    assert (files / "real").read_bytes() != MAGIC + b"before"


@pytest.mark.parametrize(
    ("out", "problem"), [("tree", "is a directory"), ("nowhere/delta", "No such file or directory")]
)
def test_an_output_that_cannot_be_written(out: str, problem: str, files: Path, capfdbinary: Capture) -> None:
    assert diff(files, "old", "new", out) == ExitCode.TARGET_FAILED
    assert capfdbinary.readouterr().err.decode().endswith(f"{files / out}: cannot be written ({problem})\n")
