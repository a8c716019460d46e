"""What holds for every command: exit codes, errors as lines, signals, pipes, and where options may stand."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import __version__, cli
from pipeline.cli import main
from pipeline.cli.console import Console
from pipeline.errors import ExitCode
from pipeline.text import printable
from tests.cli.command import environment, run, start
from tests.tars import file, tar

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    """A delta that makes a tar out of nothing; beside it the empty directory `tree`."""
    (tmp_path / "old").write_bytes(tar())
    (tmp_path / "new").write_bytes(tar(file("a", b"content")))
    (tmp_path / "tree").mkdir()
    assert main(["diff", str(tmp_path / "old"), str(tmp_path / "new"), str(tmp_path / "delta")]) == ExitCode.SUCCESS
    return tmp_path / "delta"


def broken(error: BaseException) -> SimpleNamespace:
    """A command that only raises."""

    def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        subparsers.add_parser("broken").set_defaults(run=run)

    def run(arguments: argparse.Namespace, console: Console) -> ExitCode:
        raise error

    return SimpleNamespace(add_parser=add_parser)


def test_the_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"deltapress {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["publsh"], ["diff", "one"], ["patch", "--expect", "sha256:1", "a", "b", "c"]]
)
def test_wrong_usage_is_a_bad_configuration(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitCode.BAD_CONFIGURATION
    assert "usage: deltapress" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["publish", "--jobs", "0"], "argument -j/--jobs: must be a number from 1 to 10,000, not '0'"),
        (["serve", "--port", "http", "."], "argument --port: must be a number from 0 to 65,535, not 'http'"),
        (["patch", "--max-size", "1", "a", "b", "c"], 'must be a size such as "8GiB" or "500MB", not \'1\''),
        (["patch", "--expect", "sha256:1", "a", "b", "c"], "'sha256:1' is not a digest; one is sha256:<64 lower-case"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_would(
    arguments: list[str], problem: str, capsys: Capture
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert problem in capsys.readouterr().err.splitlines()[-1]


def test_the_help_names_every_exit_code(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert not [code for code in ExitCode if f"  {code.value}  " not in shown]


@pytest.mark.parametrize("before", [True, False])
def test_options_stand_before_or_behind_the_command(before: bool, tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    option = ["-c", str(path)]
    assert main([*option, "init"] if before else ["init", *option]) == ExitCode.SUCCESS
    assert path.exists()


def test_an_error_is_one_line(delta: Path, capsys: Capture) -> None:
    assert main(["patch", str(delta), str(delta.parent / "nowhere"), "-"]) == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == f"deltapress: {delta.parent}/nowhere: is not a directory"


def test_an_error_is_a_document_where_one_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["-q", "plan", "--json", "-c", "none.toml"]) == ExitCode.BAD_CONFIGURATION
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    problem = captured.err.removeprefix("deltapress: ").rstrip()
    assert document == {"schema": 1, "command": "plan", "exit_code": 2, "error": problem}
    assert document["error"].startswith("none.toml: there is no such file")


def test_verbose_shows_where_an_error_comes_from(delta: Path, capsys: Capture) -> None:
    assert main(["patch", "-v", str(delta), str(delta.parent / "nowhere"), "-"]) == ExitCode.BAD_INPUT
    assert "Traceback" in capsys.readouterr().err


def test_a_mistake_of_ours_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(cli, "_commands", lambda argv: [broken(KeyError("layers"))])
    assert main(["broken"]) == ExitCode.INTERNAL
    assert capsys.readouterr().err == (
        "deltapress: internal error: KeyError: 'layers'; please report it, with what -v adds\n"
    )
    assert main(["broken", "-v"]) == ExitCode.INTERNAL
    assert "Traceback" in capsys.readouterr().err


def test_a_lack_of_memory_is_not_a_mistake_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(cli, "_commands", lambda argv: [broken(MemoryError())])
    assert main(["broken"]) == ExitCode.INTERNAL
    assert capsys.readouterr().err == (
        "deltapress: memory ran out; do less at once with --jobs 1 or a lower `memory` in [limits]\n"
    )


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(cli, "_commands", lambda argv: [broken(KeyboardInterrupt())])
    assert main(["broken"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "deltapress: interrupted\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_signals_end_a_run_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    for folder in ("tmp", "out"):
        (tmp_path / folder).mkdir()
    (tmp_path / "old").write_bytes(tar())
    os.mkfifo(tmp_path / "new")
    process = start("diff", "old", "new", "out/delta", cwd=tmp_path, TMPDIR=str(tmp_path / "tmp"))
    # once this opens, the command waits for the new layer, with its temporary files in place
    with (tmp_path / "new").open("wb"):
        assert list((tmp_path / "tmp").iterdir())
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (ExitCode.INTERRUPTED, "", "deltapress: interrupted\n")
    assert not list((tmp_path / "tmp").iterdir())
    assert not list((tmp_path / "out").iterdir())


INTERRUPTED_ELSEWHERE = """
import signal, sys, threading, time
from pathlib import Path
from pipeline.cli.files import open_input

def interrupt():
    with open(sys.argv[1], "wb"):
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        time.sleep(20)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt, daemon=True).start()
try:
    open_input(Path(sys.argv[1])).read(1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_wait_for_a_pipe_ends_though_the_signal_does_not_wake_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = [sys.executable, "-c", INTERRUPTED_ELSEWHERE, str(tmp_path / "pipe")]
    ended = subprocess.run(code, env=environment(), capture_output=True, text=True, check=True, timeout=15)
    assert ended.stdout == "interrupted\n"


def test_main_leaves_the_signals_as_they_were(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    main(["-c", str(tmp_path / "a.toml"), "init"])
    assert signal.getsignal(signal.SIGTERM) is before


def test_main_runs_in_any_thread(tmp_path: Path) -> None:
    thread = threading.Thread(target=main, args=(["-c", str(tmp_path / "a.toml"), "init"],))
    thread.start()
    thread.join()
    assert (tmp_path / "a.toml").exists()


def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_reader_that_leaves_does_not_change_the_result(tmp_path: Path) -> None:
    ended = run("init", cwd=tmp_path, stdout=closed_pipe())
    assert (ended.returncode, ended.stderr) == (ExitCode.SUCCESS, "")


def test_a_reader_that_leaves_in_the_middle_of_bytes_is_quiet(delta: Path) -> None:
    ended = run("patch", delta, "tree", "-", cwd=delta.parent, stdout=closed_pipe())
    assert (ended.returncode, ended.stderr) == (ExitCode.INTERRUPTED, "")


@pytest.mark.parametrize("arguments", [("init",), ("patch", "delta", "tree", "-")], ids=" ".join)
def test_a_full_disk_behind_standard_output(arguments: tuple[str, ...], delta: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    ended = run(*arguments, cwd=delta.parent, stdout=full)
    os.close(full)
    assert ended.returncode == ExitCode.TARGET_FAILED
    assert ended.stderr == "deltapress: standard output: cannot be written (No space left on device)\n"


def test_any_text_can_be_written_in_any_encoding(tmp_path: Path) -> None:
    ended = run("publish-nothing", cwd=tmp_path)
    assert ended.returncode == ExitCode.BAD_CONFIGURATION
    ended = run("init", "-c", "ä/ö.toml", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert ended.returncode == ExitCode.TARGET_FAILED
    assert ended.stderr == "deltapress: \\xe4/\\xf6.toml: cannot be written (No such file or directory)\n"


def test_names_cannot_steer_the_terminal(tmp_path: Path, capsys: Capture) -> None:
    main(["init", "-c", str(tmp_path / "\x1b[2J\u202e" / "a.toml")])
    shown = capsys.readouterr().err
    assert "\\x1b[2J\\u202e" in shown
    assert shown.count("\n") == 1
    assert printable("ok äöü …\n") == "ok äöü …\n"


def test_the_module_is_the_command(tmp_path: Path) -> None:
    ended = run("--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (0, f"deltapress {__version__}\n")


def test_closed_streams_are_no_mistake_of_ours(tmp_path: Path) -> None:
    shell = ["sh", "-c", 'exec "$0" -m pipeline init >&- 2>&-', sys.executable]
    ended = subprocess.run(shell, cwd=tmp_path, env=environment(), check=False, timeout=60)
    assert ended.returncode == ExitCode.SUCCESS
    assert (tmp_path / "deltapress.toml").exists()


def test_a_patch_does_not_wait_for_what_it_does_not_use(delta: Path) -> None:
    code = "import sys; from pipeline.cli import main; main(); print(*sys.modules)"
    arguments = ["patch", str(delta), str(delta.parent / "tree"), str(delta.parent / "out")]
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment(), check=True, capture_output=True, text=True
    )
    loaded = set(ended.stdout.split())
    assert {"pipeline.cli.patch", "zstandard"} <= loaded
    assert not loaded & {"numpy", "jinja2", "werkzeug", "tomli", "bsdiff4", "tempfile", "dataclasses", "datetime"}
    assert not loaded & {"traceback", "pipeline.publish", "pipeline.cli.progress", "pipeline.cli.machine"}
    assert "pipeline.oci.digest" not in loaded
