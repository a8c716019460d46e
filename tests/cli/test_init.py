"""`init`: what it writes is a configuration, and says the truth about the defaults."""

import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.config import Config, Policy, parse_config, read_config
from pipeline.errors import ExitCode
from pipeline.tree.templates import read_template


@pytest.fixture
def starter() -> str:
    return read_template("deltapress.toml")


def parse(text: str) -> Config:
    return parse_config(text, path=Path("deltapress.toml"))


def test_it_writes_a_configuration_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == ExitCode.SUCCESS
    assert "deltapress.toml" in capsys.readouterr().out
    assert read_config(tmp_path / "deltapress.toml").policy == Policy()


def test_it_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious")
    assert main(["init", "-c", str(path)]) == ExitCode.BAD_CONFIGURATION
    assert path.read_text() == "precious"
    assert str(path) in capsys.readouterr().err


def test_what_is_commented_out_are_the_defaults(starter: str) -> None:
    """Without its comment sign every line of a table is legal, and none of the policies and limits changes anything."""
    enabled = re.sub(r"^# (?=\w+ = |\[)", "", starter, flags=re.MULTILINE)
    assert enabled != starter
    before, after = parse(starter), parse(enabled)
    assert after.policy == before.policy
    assert after.limits == before.limits
    assert after.max_delete == before.max_delete
    assert after.repositories[0].tags == before.repositories[0].tags
    assert after.repositories[0].rename
    assert len(after.repositories[0].series) == 2
    assert after.flatpak is not None
    for key in ("versions", "max_ratio", "grace", "keep", "order", "max_delete", "memory", "layer", "ratio"):
        assert f"\n# {key} = " in starter
