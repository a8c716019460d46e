"""`serve`: says where, answers there, ends with a signal."""

import re
import signal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.cli import main
from pipeline.cli.serve import _EXAMPLES
from pipeline.errors import ExitCode
from tests.cli.command import start


def serve(cwd: Path, line: str, end: signal.Signals) -> tuple[str, str]:
    """Serve a tree below `cwd`, ask once, and send the signal `end`; what was said to standard output and error."""
    (cwd / "public/v2").mkdir(parents=True)
    (cwd / "public/v2/index.html").write_text("{}")
    process = start(*line.split(), cwd=cwd)
    assert process.stdout is not None
    said = process.stdout.readline()
    address = urlsplit(next(word for word in said.split() if word.startswith("http://")))
    assert address.hostname == "127.0.0.1"
    connection = HTTPConnection("127.0.0.1", address.port or 0, timeout=30)
    connection.request("GET", "/v2/")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(end)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.SUCCESS
    return said, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_answers_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    _, err = serve(tmp_path, "serve public --port 0", number)
    assert "GET /v2/" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("line", re.findall(r"^  deltapress (.*?)  ", _EXAMPLES, re.MULTILINE))
def test_the_examples_work(line: str, tmp_path: Path) -> None:
    said, _ = serve(tmp_path, f"{line} --port 0", signal.SIGTERM)  # somebody else may have the usual one
    assert said.startswith("Serving public at http://127.0.0.1:")


def test_what_was_never_published_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path), "--port", "0"]) == ExitCode.BAD_INPUT
    assert str(tmp_path) in capsys.readouterr().err
