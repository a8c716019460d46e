"""Progress: lines where nobody looks, bars on a terminal, and nothing that untrusted text could do to it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

from pipeline.cli.progress import LogLines, bars
from pipeline.progress import Progress, Silent
from pipeline.text import printable
from tests.cli.command import environment

EVIL = "[red]tag[/] [/nothing] :smile: \x1b[2J\u202e"


def work(progress: Progress) -> None:
    progress.step("found 3 layers\nin all")
    with progress.task("checking", 4, "bytes") as task:
        threads = [threading.Thread(target=task.advance, args=(500_000,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with progress.task("deltas") as task:
        task.advance()
    with progress.task("nothing", 0):
        pass


def test_lines() -> None:
    lines: list[str] = []
    work(LogLines(lines.append, patience=0))
    assert lines[0] == "found 3 layers in all"
    assert re.fullmatch(r"checking: 1\.91 MiB in \d+\.\d s", lines[1])
    assert re.fullmatch(r"deltas: 1 in \d+\.\d s", lines[2])
    assert len(lines) == 3


def test_trifles_are_not_logged() -> None:
    lines: list[str] = []
    work(LogLines(lines.append, patience=3600))
    assert lines == ["found 3 layers in all"]


def test_a_long_task_says_how_far_it_is() -> None:
    lines: list[str] = []
    with LogLines(lines.append, patience=3600, interval=0.05).task("deltas", 4, "bytes") as task:
        task.advance()
        while len(lines) < 2:
            time.sleep(0.01)
    assert re.fullmatch(r"deltas: 1 B of 4 B, about \d\.\d s left", lines[0])
    with LogLines(lines.append, patience=3600, interval=0.05).task("looking") as task:
        del lines[:]
        while not lines:
            time.sleep(0.01)
    assert lines[0] == "looking: 0 so far"


def test_silence() -> None:
    work(Silent())


def test_a_task_that_fails_leaves_no_line_that_it_is_done() -> None:
    lines: list[str] = []
    try:
        with LogLines(lines.append, patience=0).task("checking") as task:
            task.advance()
            raise OSError
    except OSError:
        pass
    assert lines == []


SCRIPT = """
import sys
from pipeline.cli.console import Console
from tests.cli.test_progress import EVIL, work
with Console().progress() as progress:
    print(type(progress).__name__)
    work(progress)
    progress.step(EVIL)
    with progress.task(EVIL, 2) as task:
        task.advance()
    progress.step("last line")
"""


def test_a_terminal_shows_bars_and_reads_no_markup(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:  # EIO: the last one has closed the terminal
            break
        shown += piece
        if not piece:
            break
    os.close(master)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == "_Bars\n"
    text = shown.decode()
    assert "found 3 layers in all" in text
    assert "last line" in text
    assert "[red]tag[/] [/nothing] :smile:" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text


def test_no_terminal_no_bars(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT + "assert 'rich' not in sys.modules"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (0, "LogLines\n")
    assert "\x1b" not in ended.stderr
    assert ended.stderr.endswith("last line\n")


def test_bars_can_be_told_from_many_threads() -> None:
    with Path(os.devnull).open("w") as nothing, bars(nothing, printable) as progress:
        work(progress)
