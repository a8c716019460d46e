"""The tables of the README say what the code does: commands and options, keys and their defaults, exit codes."""

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from pipeline import cli
from pipeline.config import Config, ConfigError, parse_config
from pipeline.errors import ExitCode

README: Final = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
TABLES: Final = (
    *("[target]", "[target.s3]", "[policy]", "[limits]", "[report]", "[flatpak]"),
    *("[[repository]]", "[[repository.series]]"),
)
# what a configuration must have, by table
NEEDED: Final = {
    "[target]": {"url": '"s3://bucket"'},
    "[flatpak]": {"name": '"example"', "url": '"https://flatpak.example.org"'},
    "[[repository]]": {"name": '"app"', "layout": '"app"'},
    "[[repository.series]]": {"match": '"*"'},
}
# keys that are tables with a row of their own, or an explanation of their own
ARE_TABLES: Final = {"[target]": {"s3"}, "[[repository]]": {"series"}}


def table_below(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table behind `heading`, the row of titles included."""
    behind = README.partition(f"\n{heading}\n")[2]
    assert behind, heading
    table = re.search(r"(?:^\|.*\|\n)+", behind, re.MULTILINE)
    assert table is not None
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in table[0].splitlines()]
    return [row for row in rows if set(row[0]) != {"-"}]


def quoted(cell: str) -> list[str]:
    return re.findall("`([^`]*)`", cell)


# --- commands


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """As the README writes them: `--jobs N`."""
    return {
        f"{option} {argument_of(action)}".strip()
        for action in parser._actions
        for option in action.option_strings
        if option.startswith("--")
    }


def argument_of(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    return "{" + ",".join(action.choices) + "}" if action.choices else action.dest.upper()


def arguments_of(parser: argparse.ArgumentParser) -> list[str]:
    return [
        argument_of(action) + ("..." if action.nargs == "+" else "")
        for action in parser._actions
        if not action.option_strings
    ]


PARSER: Final = cli._parser(cli._commands([]))
COMMANDS: Final[Mapping[str, argparse.ArgumentParser]] = next(
    action.choices for action in PARSER._actions if isinstance(action, argparse._SubParsersAction)
)
ROWS: Final = {quoted(row[0])[0].split(" ")[0]: row for row in table_below("### Commands")[1:]}


def test_every_command_has_a_row() -> None:
    assert ROWS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_row_of_a_command_names_its_arguments_and_options(name: str) -> None:
    (usage,) = quoted(ROWS[name][0])
    assert usage.split(" ") == [name, *arguments_of(COMMANDS[name])]
    named = {text for text in quoted(ROWS[name][1]) if text.startswith("--")}
    assert named == options_of(COMMANDS[name]) - options_of(PARSER)


def test_the_options_of_all_commands_stand_below_the_table() -> None:
    paragraph = README.partition("\n### Commands\n")[2].partition("\nOptions of all commands")[2].partition("\n\n")[0]
    assert {text for text in quoted(paragraph) if text.startswith("--")} == options_of(PARSER)
    assert {"-c FILE", "-v"} <= set(quoted(paragraph))


def test_every_exit_code_has_a_row() -> None:
    behind = README.partition("\n| exit code | meaning |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (\d+) \|", behind, re.MULTILINE) == [str(code.value) for code in ExitCode]


# --- the configuration


def document(**extra: Mapping[str, str]) -> str:
    """A configuration of what must be there, and of `extra` keys by table, in TOML."""
    lines = []
    for table in TABLES:
        keys = {**NEEDED.get(table, {}), **extra.get(table, {})}
        lines += [table, *(f"{key} = {value}" for key, value in keys.items())]
    return "\n".join(lines)


def parsed(**extra: Mapping[str, str]) -> Config:
    return parse_config(document(**extra), path=Path("/deltapress.toml"))


def keys_of(table: str) -> set[str]:
    """Those that the reader of the configuration knows, which it names when it meets another one."""
    with pytest.raises(ConfigError) as raised:
        parsed(**{table: {"zzzzz": "1"}})
    (mistake,) = raised.value.mistakes
    return set(mistake.problem.partition("known here are ")[2].split(", ")) - ARE_TABLES.get(table, set())


def config_rows() -> Iterator[tuple[str, list[str], str]]:
    """Table, keys and the cell of defaults of each row of the two tables."""
    for key, default, _ in table_below("### Configuration")[1:]:
        text = " ".join(quoted(key))
        table = text[: text.rindex("]") + 1]
        yield table, text[len(table) :].split(), default
    for key, default, _ in table_below("### Publishing to S3")[1:]:
        yield "[target.s3]", quoted(key), default


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_a_row(table: str) -> None:
    named = [key for name, keys, _ in config_rows() if name == table for key in keys]
    assert sorted(named) == sorted(keys_of(table))


def given_defaults() -> Iterator[tuple[str, str, str]]:
    """Table, key and value, where the value is not that of another table."""
    for table, keys, cell in config_rows():
        if (values := quoted(cell)) and values != ["[policy]"]:
            assert len(keys) == len(values), keys
            yield from ((table, key, value) for key, value in zip(keys, values, strict=True))


@pytest.mark.parametrize(("table", "key", "value"), list(given_defaults()), ids=str)
def test_a_default_is_the_true_one(table: str, key: str, value: str) -> None:
    assert parsed(**{table: {key: value}}) == parsed()


def test_what_has_no_default_is_needed_or_left_to_others() -> None:
    for table, keys, cell in config_rows():
        for key in keys if not quoted(cell) else ():
            if table == "[target.s3]":
                assert getattr(parsed().s3, key) is None, key
            elif table == "[site]":
                assert getattr(parsed().site, key) is None, key
            else:
                assert key in NEEDED[table], key


def test_a_repository_has_the_policy_of_all() -> None:
    other = {
        "versions": "2",
        "sources_within": '"9d"',
        "sources_monthly": "3",
        "max_deltas": '"5MiB"',
        "demand": '"demand.json"',
        "max_ratio": "0.5",
        "grace": '"1d"',
        "keep": "20",
        "keep_tags": '["v*"]',
        "keep_for": '"2d"',
        "order": '"deltas-first"',
        "formats": '["oci-delta"]',
        "delta_url": "true",
    }
    (keys,) = [keys for _, keys, cell in config_rows() if quoted(cell) == ["[policy]"]]
    assert set(keys) == set(other)
    for key, value in other.items():
        inherited, own = parsed(**{"[policy]": {key: value}}), parsed(**{"[[repository]]": {key: value}})
        assert inherited.repositories == own.repositories != parsed().repositories
