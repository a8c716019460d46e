"""What `--help` says of each command: what it is for, and examples that work."""

import argparse
import re
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.cli import main
from pipeline.errors import ExitCode
from pipeline.oci.digest import Digest
from tests.cli.test_publish import CONFIG, write_layout
from tests.tars import file, tar

PARSER = cli._parser(cli._commands([]))
[SUBPARSERS] = [action for action in PARSER._actions if isinstance(action, argparse._SubParsersAction)]
COMMANDS = dict(SUBPARSERS.choices)
# Those that need a network, daemons, a server, or a tree with deltas are tried where these are.
TRIED_ELSEWHERE = {"bundle", "check", "mirror", "pull", "retract", "serve"}


def examples(name: str) -> list[str]:
    """The lines behind `examples:`, without what they say of themselves."""
    return re.findall(r"^  deltapress (.*?)(?:  .*)?$", COMMANDS[name].epilog or "", re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for_and_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert f"usage: deltapress {name} " in shown
    assert COMMANDS[name].description.split(" ")[0] in shown
    assert "examples:\n  deltapress " in shown
    assert examples(name)


@pytest.mark.parametrize("name", COMMANDS.keys() - TRIED_ELSEWHERE)
def test_the_examples_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "diff" or name == "patch":
        for layer in ("old.tar.gz", "base.tar", "app-1.tar"):
            Path(layer).write_bytes(tar(file("a", b"content" * 1000)))
        for layer in ("new.tar.gz", "app-2.tar"):
            Path(layer).write_bytes(tar(file("a", b"content" * 999 + b"changed")))
    if name == "patch":
        Path("old-files").mkdir()
        Path("old-files/a").write_bytes(b"content" * 1000)
        main(["diff", "old.tar.gz", "new.tar.gz", "delta"])
    if name not in {"diff", "init", "patch"}:
        config = CONFIG.replace("keep = 3", "keep = 6")  # more than the versions of an example
        Path("deltapress.toml").write_text(f'{config}rename = {{ latest = "1.9" }}\n')
        write_layout(tmp_path, range(3))
        main(["publish"])
    if name == "demand":
        for log in ("access.log", "access.log.1.gz"):
            Path(log).write_bytes(b"")
    oldest = Path("public/v2/team/app/manifests/1.0")
    real = {
        "sha256:…": str(Digest.of(oldest.read_bytes())) if oldest.exists() else "",
        "team/app:pr-123": "team/app:1.2",
        "team/app:latest": "team/app:1.2",
        "s3://bucket/prefix": "public",
    }
    for line in examples(name):
        arguments = line
        for example, there in real.items():
            arguments = arguments.replace(example, there)
        assert main(arguments.split()) == ExitCode.SUCCESS, line
