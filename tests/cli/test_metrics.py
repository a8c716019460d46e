"""The file of metrics that a publish leaves for Prometheus, however it ends."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import publish
from pipeline.cli import main
from pipeline.errors import DeltapressError, ExitCode
from pipeline.report import Measured, metrics_text
from pipeline.report.metrics import MAX_REPOSITORIES, NAMES
from tests.runs import Shop, app

from .test_publish import CONFIG, Capture, as_json, site, tree, write_layout

__all__ = ["site"]
P = "deltapress_"
_SAMPLE = re.compile(r'([a-z_]+)(?:\{([a-z]+)="((?:[^"\\\n]|\\["\\n])*)"\})? ([0-9.]+)')


@pytest.fixture
def metered(site: Path) -> Path:
    (site / "deltapress.toml").write_text(f'{CONFIG}[report]\nmetrics = "deltapress.prom"\n')
    return site / "deltapress.prom"


def samples(text: str) -> dict[tuple[str, str], float]:
    """Name without prefix and label -> value, of a file in which each family stands together, below its two lines."""
    found: dict[tuple[str, str], float] = {}
    family = ""
    lines = iter(text.splitlines())
    assert text.endswith("\n")
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert not [name for name, _ in found if f"{P}{name}" == family]
            assert next(lines) == f"# TYPE {family} gauge"
            continue
        sample = _SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] == family
        found[family.removeprefix(P), sample[3] or ""] = float(sample[4])
    return found


def test_a_publish_that_succeeds(metered: Path) -> None:
    before = time.time() - 1
    assert main(["publish"]) == ExitCode.SUCCESS
    found = samples(metered.read_text())
    assert {f"{P}{name}" for name, _ in found} == NAMES
    for name, label in (
        ("last_run_timestamp_seconds", ""),
        ("last_success_timestamp_seconds", ""),
        ("repository_latest_version_timestamp_seconds", "team/app"),
    ):
        assert before < found[name, label] <= time.time() + 1
    assert found["last_run_exit_code", ""] == 0
    assert [found["last_run_deltas", result] for result in ("made", "refused", "failed")] == [2, 0, 0]
    assert 0 < found["updates_with_deltas_bytes", ""] < found["updates_whole_bytes", ""]
    assert found["last_run_written_bytes", ""] == found["ledger_stored_bytes", ""] > 150_000
    stages = sum(value for (name, _), value in found.items() if name == "last_run_stage_duration_seconds")
    assert 0 < stages <= found["last_run_duration_seconds", ""] + 0.01
    assert found["repository_problems", "team/app"] == 0
    assert found["repositories", ""] == 1
    assert found["ledger_keys", ""] == len(
        [path for path in tree(metered.parent / "public") if "/_deltapress/ledger" not in path]
    )


def test_a_run_with_nothing_to_do_succeeds_too_and_one_that_fails_does_not(metered: Path) -> None:
    main(["publish"])
    first = samples(metered.read_text())
    main(["publish"])
    idle = samples(metered.read_text())
    assert idle["last_success_timestamp_seconds", ""] > first["last_success_timestamp_seconds", ""]
    assert idle["last_run_deltas", "made"] == 0
    shutil.rmtree(metered.parent / "layouts")
    for _ in range(2):
        assert main(["publish"]) == ExitCode.BAD_INPUT
        failed = samples(metered.read_text())
        assert failed["last_run_exit_code", ""] == 3
        assert failed["repository_problems", "team/app"] == 1
        assert failed["last_success_timestamp_seconds", ""] == idle["last_success_timestamp_seconds", ""]
        assert failed["last_run_timestamp_seconds", ""] > idle["last_run_timestamp_seconds", ""]


def test_a_target_that_fails_is_told(metered: Path) -> None:
    (metered.parent / "public").write_text("a file is in the way")
    assert main(["publish"]) == ExitCode.TARGET_FAILED
    found = samples(metered.read_text())
    assert {name for name, _ in found} == (
        {"last_run_timestamp_seconds", "last_run_exit_code", "last_run_duration_seconds"}
    )
    assert found["last_run_exit_code", ""] == 4


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (ValueError("ours"), 1)], ids=["signal", "bug"]
)
def test_an_end_that_nobody_expected_is_told(
    metered: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def run(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(publish, "run", run)
    assert main(["publish"]) == code
    assert samples(metered.read_text())["last_run_exit_code", ""] == code


def test_where_the_configuration_is_wrong_nobody_knows_where_to_tell(metered: Path) -> None:
    (metered.parent / "deltapress.toml").write_text(f'{CONFIG}[report]\nmetrics = "deltapress.prom"\nkepp = 1\n')
    assert main(["publish"]) == ExitCode.BAD_CONFIGURATION
    assert not metered.exists()


@pytest.mark.parametrize("line", ["publish --dry-run", "plan", "prune", "verify"])
def test_only_a_publish_writes_them(metered: Path, line: str) -> None:
    main(["publish"])
    metered.unlink()
    assert main(line.split()) == ExitCode.SUCCESS
    assert not metered.exists()


@pytest.fixture
def closed() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.usefixtures("closed")
def test_another_user_may_read_them_and_finds_them_whole(metered: Path) -> None:
    main(["publish"])
    assert stat.S_IMODE(metered.stat().st_mode) == 0o644
    with metered.open() as old:
        write_layout(metered.parent, range(4))
        main(["publish"])
        assert samples(old.read())["last_run_deltas", "made"] == 2, "the old file is whole, and was not written into"
    assert not list(metered.parent.glob("*.part"))


def test_that_they_cannot_be_written_is_a_line_and_nothing_more(metered: Path, capsys: Capture) -> None:
    metered.mkdir()
    assert main(["publish"]) == ExitCode.SUCCESS
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("deltapress: ")]
    assert lines == [f"deltapress: no metrics were written: {metered}: cannot be written (is a directory)"]


@pytest.mark.parametrize("before", ["", "nonsense\n", f"{P}last_success_timestamp_seconds NaN\n", "\0\n"])
def test_a_file_that_is_not_ours_tells_of_no_success(before: str) -> None:
    run = Measured(ended=datetime(2026, 1, 1, tzinfo=UTC), seconds=1.5, exit_code=ExitCode.TARGET_FAILED)
    found = samples(metrics_text(run, before=before))
    assert ("last_success_timestamp_seconds", "") not in found
    assert found["last_run_timestamp_seconds", ""] == 1767225600
    assert found["last_run_duration_seconds", ""] == 1.5


def test_thousands_of_repositories_make_no_thousands_of_labels(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(0)})
    names = (*(f"r{number:04}" for number in range(1000)), "app")
    outcome = replace(shop.run(), repositories=names, failed={"r0999": DeltapressError("x")})
    run = Measured(ended=datetime(2026, 1, 1, tzinfo=UTC), seconds=1, exit_code=ExitCode.PARTLY_DONE, outcome=outcome)
    found = samples(metrics_text(run))
    shown = [label for name, label in found if name == "repository_problems"]
    assert len(shown) == MAX_REPOSITORIES
    assert {"r0999", "app"} <= set(shown)
    assert found["repositories", ""] == 1001


def test_what_a_run_has_not_looked_at_stands_as_before(metered: Path, capsys: Capture) -> None:
    main(["publish"])
    main(["publish"])
    before = samples(metered.read_text())
    code, document = as_json(capsys, "publish")
    assert (code, document["at_rest"]) == (ExitCode.SUCCESS, True)
    found = samples(metered.read_text())
    lasting = {"updates_whole_bytes", "updates_with_deltas_bytes", "ledger_keys", "ledger_stored_bytes"}
    lasting.add("repository_latest_version_timestamp_seconds")
    for name, label in before:
        if name in lasting:
            assert found[name, label] == before[name, label] > 0
    assert found["repository_problems", "team/app"] == 0
    metered.write_text("somebody else's\n")
    main(["publish"])
    assert not lasting & {name for name, _ in samples(metered.read_text())}
    metered.unlink()
    code, document = as_json(capsys, "publish")
    assert (code, document["at_rest"]) == (ExitCode.SUCCESS, False)
    assert lasting < {name for name, _ in samples(metered.read_text())}


def test_labels_are_kept_as_they_were_escaped() -> None:
    line = f'{P}repository_latest_version_timestamp_seconds{{repository="a\\"\\\\b\\n"}} 1767225600.125'
    run = Measured(ended=datetime(2026, 1, 1, tzinfo=UTC), seconds=1, exit_code=ExitCode.TARGET_FAILED)
    text = metrics_text(run, before=f"{line}\n{P}last_run_exit_code 7\n{P}nothing_of_ours 1\n")
    assert line in text.splitlines()
    assert samples(text)["last_run_exit_code", ""] == 4
    assert "nothing_of_ours" not in text


def test_what_is_gone_is_told_no_longer(metered: Path) -> None:
    main(["publish"])
    assert main(["remove", "team/app"]) == ExitCode.SUCCESS
    main(["publish"])
    names = {name for name, _ in samples(metered.read_text())}
    assert "repository_latest_version_timestamp_seconds" not in names
    assert "last_success_timestamp_seconds" in names


def test_a_folder_that_cannot_be_looked_into_is_a_line_and_nothing_more(metered: Path, capsys: Capture) -> None:
    (metered.parent / "file").write_text("no folder")
    (metered.parent / "deltapress.toml").write_text(f'{CONFIG}[report]\nmetrics = "file/deltapress.prom"\n')
    assert main(["publish"]) == ExitCode.SUCCESS
    assert "deltapress: no metrics were written: " in capsys.readouterr().err
    assert list(metered.parent.glob("*.part")) == []
