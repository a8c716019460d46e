"""`serve`: says where, answers there, ends with a signal."""

import signal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.cli import main
from pipeline.errors import ExitCode
from tests.cli.command import start


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_it_answers_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "public/v2").mkdir(parents=True)
    (tmp_path / "public/v2/index.html").write_text("{}")
    process = start("serve", "public", "--port", "0", cwd=tmp_path)
    assert process.stdout is not None
    line = process.stdout.readline()
    address = urlsplit(next(word for word in line.split() if word.startswith("http://")))
    assert address.hostname == "127.0.0.1"
    connection = HTTPConnection("127.0.0.1", address.port or 0, timeout=30)
    connection.request("GET", "/v2/")
    assert connection.getresponse().status == 200
    connection.close()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.SUCCESS
    assert "GET /v2/" in err
    assert "Traceback" not in err


def test_what_was_never_published_is_not_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(tmp_path), "--port", "0"]) == ExitCode.BAD_INPUT
    assert str(tmp_path) in capsys.readouterr().err
