"""Reports of runs in the target, and `deltapress history`, which shows them."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import history, main
from pipeline.errors import ExitCode

from .test_publish import CONFIG, Capture, as_json, site, write_layout

__all__ = ["site"]


def runs(capsys: Capture, *arguments: str) -> list[dict[str, Any]]:
    code, document = as_json(capsys, "history", *arguments)
    assert (code, document["problems"]) == (ExitCode.SUCCESS, [])
    found: list[dict[str, Any]] = document["runs"]
    return found


def kept(folder: Path) -> set[str]:
    return {path.name for path in (folder / "public/_deltapress/reports").glob("*")}


def test_what_a_run_said_is_kept(site: Path, capsys: Capture) -> None:
    _, said = as_json(capsys, "publish")
    (report,) = runs(capsys)
    assert report == {"run": 1, **said}
    assert report["command"] == "publish"
    assert report["deltas"]["made"]


def test_every_command_that_changes_the_target_leaves_a_report(site: Path, capsys: Capture) -> None:
    main(["publish"])
    write_layout(site, range(5))
    main(["publish", "--no-prune"])
    for line in ("tag team/app:1.4 1.3", "retract team/app", "remove team/app:1.0", "prune", "mirror public copy"):
        assert main(line.split()) == ExitCode.SUCCESS, line
    commands = ["publish", "publish", "tag", "retract", "remove", "prune"]
    assert [report["command"] for report in reversed(runs(capsys))] == commands
    (site / "copy.toml").write_text(CONFIG.replace("public", "copy"))
    assert [report["command"] for report in runs(capsys, "-c", "copy.toml")] == ["mirror"]


def test_a_run_with_nothing_to_do_and_a_dry_one_leave_none(site: Path, capsys: Capture) -> None:
    main(["publish", "--dry-run"])
    assert not (site / "public").exists()
    main(["publish"])
    before = kept(site)
    for line in ("publish", "plan", "prune", "publish -n", "tag team/app:1.2 1.2", "remove -n team/app", "verify"):
        assert main(line.split()) == ExitCode.SUCCESS, line
    assert kept(site) == before == {"1.json", "range.json"}


def test_a_run_that_failed_leaves_one_each_time(site: Path, capsys: Capture) -> None:
    main(["publish"])
    shutil.rmtree(site / "layouts")
    for _ in range(2):
        assert main(["publish"]) == ExitCode.BAD_INPUT
    newest, *_ = found = runs(capsys)
    assert [report["exit_code"] for report in found] == [3, 3, 0]
    assert "cannot be read" in newest["repositories"]["team/app"]["problem"]


def test_an_error_that_ended_a_run_is_kept_where_there_is_a_ledger(site: Path, capsys: Capture) -> None:
    page = site / "public/index.html"
    page.parent.mkdir()
    page.write_text("somebody else's")
    assert main(["publish"]) == ExitCode.BAD_CONFIGURATION
    assert list((site / "public").rglob("*.json")) == []
    page.unlink()
    main(["publish"])
    assert main(["remove", "team/nothing"]) != ExitCode.SUCCESS
    problem = capsys.readouterr().err.splitlines()[-1]
    newest = runs(capsys)[0]
    assert problem.startswith(f"deltapress: {newest['error']}")
    assert newest == {**newest, "schema": 1, "run": 2, "command": "remove"}


def test_only_the_last_are_kept(site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(f"{CONFIG}[report]\nkeep = 2\n")
    for versions in range(3, 7):
        write_layout(site, range(versions))
        main(["publish", "--no-prune"])
    assert [report["run"] for report in runs(capsys)] == [4, 3]
    assert kept(site) == {"3.json", "4.json", "range.json"}
    (site / "deltapress.toml").write_text(f"{CONFIG}[report]\nkeep = 0\n")
    write_layout(site, range(7))
    main(["publish", "--no-prune"])
    assert kept(site) == set()
    capsys.readouterr()
    assert main(["history"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out == "No run is remembered.\n"


def test_the_table(site: Path, capsys: Capture) -> None:
    main(["publish"])
    write_layout(site, range(4))
    main(["publish"])
    shutil.rmtree(site / "layouts")
    main(["publish"])
    main(["remove", "team/nothing"])
    capsys.readouterr()
    assert main(["history"]) == ExitCode.SUCCESS
    head, error, failed, second, first = capsys.readouterr().out.splitlines()
    assert head.split() == (
        ["run", "when", "(UTC)", "command", "exit", "took", "moved", "deltas", "written", "deleted", "problems"]
    )
    assert re.match(r" +4  20\d\d-\d\d-\d\d \d\d:\d\d  remove    ", error)
    assert error.endswith("…")
    assert failed.endswith("1 repository not published; nothing deleted")
    assert re.search(r" 2  .*  publish     0  \S+ s  team/app:1\.3  +2 made  +\S+ KiB", second)
    assert "team/app:1.0, team/app:1.1 and 1 more" in first
    assert main(["history", "2"]) == ExitCode.SUCCESS
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [error.split(), failed.split()]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("{", "cannot be read: the document: is not JSON"),
        ('{"run": 1}', "is no report of this version: started: is missing"),
        ('{"run": 2}', "cannot be read: run: must be 1"),
        ("{}", "cannot be read: run: is missing"),
    ],
)
def test_a_damaged_report_is_named(site: Path, capsys: Capture, raw: str, problem: str) -> None:
    main(["publish"])
    write_layout(site, range(4))
    main(["publish"])
    (site / "public/_deltapress/reports/1.json").write_text(raw)
    code, document = as_json(capsys, "history")
    assert code == ExitCode.VERIFICATION_FAILED
    assert [report["run"] for report in document["runs"]] == [2]
    (line,) = document["problems"]
    assert line.startswith(f"_deltapress/reports/1.json: {problem}")
    assert main(["publish"]) == ExitCode.SUCCESS


def test_text_of_a_report_forges_no_row(site: Path, capsys: Capture) -> None:
    main(["publish"])
    file = site / "public/_deltapress/reports/1.json"
    report = json.loads(file.read_text())
    file.write_text(json.dumps({**report, "command": "publish\n  7  \x1b[2J", "error": "x\ny"}))
    capsys.readouterr()
    assert main(["history"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == 2
    assert "\x1b" not in shown


def test_reports_are_the_publishers_own(site: Path, capsys: Capture) -> None:
    main(["publish"])
    _, document = as_json(capsys, "prune", "--reconcile", "--force")
    assert (document["stray"], document["foreign"], document["missing"]) == ([], [], [])
    assert main(["verify"]) == ExitCode.SUCCESS
    assert kept(site) == {"1.json", "range.json"}


def test_the_examples_run(site: Path, capsys: Capture) -> None:
    main(["publish"])
    lines = re.findall(r"^  deltapress (.*?)(?:  .*)?$", history._EXAMPLES, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        capsys.readouterr()
        assert main(line.split()) == ExitCode.SUCCESS, line
        assert "publish" in capsys.readouterr().out
