"""What argparse does not do: the environment, the nearest configuration, and what was likely meant."""

import os
from pathlib import Path

import pytest

from pipeline.cli import _commands, _parser, main
from pipeline.cli.parser import Parser
from pipeline.cli.settings import nearest_config
from pipeline.errors import ExitCode

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def parser() -> Parser:
    return _parser(_commands([]))


def test_every_option_can_be_given_in_the_environment(parser: Parser) -> None:
    parser.read_environment({"DELTAPRESS_JOBS": "3", "DELTAPRESS_JSON": "1", "DELTAPRESS_NO_PRUNE": "yes"})
    arguments = parser.parse_args(["publish"])
    assert (arguments.jobs, arguments.json, arguments.no_prune) == (3, True, True)


def test_the_command_line_is_stronger_than_the_environment(parser: Parser) -> None:
    parser.read_environment({"DELTAPRESS_JOBS": "3", "DELTAPRESS_CONFIG": "a.toml"})
    arguments = parser.parse_args(["publish", "--jobs", "2", "-c", "b.toml"])
    assert (arguments.jobs, arguments.config) == (2, "b.toml")


@pytest.mark.parametrize("text", ["0", "false", "No", ""])
def test_a_switch_can_be_off_in_the_environment(parser: Parser, text: str) -> None:
    parser.read_environment({"DELTAPRESS_QUIET": text})
    assert parser.parse_args(["plan"]).quiet is False


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("DELTAPRESS_JOBS", "many", "DELTAPRESS_JOBS: must be a number from 1 to 10,000, not 'many'"),
        ("DELTAPRESS_JSON", "maybe", "DELTAPRESS_JSON must be 1 or 0, not 'maybe'"),
        ("DELTAPRESS_EFFORT", "mxa", "DELTAPRESS_EFFORT: 'mxa' is none of fast, default, max; did you mean max?"),
    ],
)
def test_a_wrong_variable_is_wrong_usage(
    name: str, text: str, problem: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as ended:
        main(["diff", "a", "b", "c"] if name.endswith("EFFORT") else ["plan"])
    assert ended.value.code == ExitCode.BAD_CONFIGURATION
    assert capsys.readouterr().err.splitlines()[-1].endswith(problem)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["publsh"], "did you mean publish?"),
        (["publish", "--jsno"], "--jsno is no option of deltapress publish; did you mean --json?"),
        (["publish", "--dry-rnu=1"], "--dry-rnu is no option of deltapress publish; did you mean --dry-run?"),
        (["plan", "--xyzzy"], "--xyzzy is no option of deltapress plan"),
        (["plan", "app"], "'app' is too much: deltapress plan takes no more arguments"),
    ],
)
def test_what_was_likely_meant_is_said(arguments: list[str], problem: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitCode.BAD_CONFIGURATION
    assert capsys.readouterr().err.splitlines()[-1].endswith(problem)


def test_the_nearest_configuration_is_taken(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert nearest_config(deep) == deep / "deltapress.toml"
    (tmp_path / "deltapress.toml").touch()
    assert nearest_config(deep) == tmp_path / "deltapress.toml"
    (deep / "deltapress.toml").touch()
    assert nearest_config(deep) == deep / "deltapress.toml"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_configuration_above_that_somebody_else_put_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "deltapress.toml").touch()
    os.chown(tmp_path / "deltapress.toml", 1234, 1234)
    (tmp_path / "a").mkdir()
    assert nearest_config(tmp_path / "a") == tmp_path / "a" / "deltapress.toml"


def test_quiet_says_nothing_where_nothing_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "-q"]) == ExitCode.SUCCESS
    assert capsys.readouterr() == ("", "")
    assert main(["init", "-q"]) == ExitCode.BAD_CONFIGURATION
    assert "already exists" in capsys.readouterr().err
