"""Prometheus' own tool reads the metrics, the alert rules and the queries of the dashboard, and the alerts fire."""

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from pipeline.cli import main

from ..cli.test_publish import CONFIG, write_layout
from ..conftest import require_tool
from ..test_monitoring import MONITORING, queries

pytestmark = pytest.mark.interop
_ALERTS: Final = MONITORING / "alerts.yml"


def promtool(*arguments: str | Path, given: str = "") -> str:
    """What it says. Raises AssertionError with that, where it finds fault."""
    ended = subprocess.run(
        [require_tool("promtool"), *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def test_the_metrics_are_well_formed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deltapress.toml").write_text(f'{CONFIG}[report]\nmetrics = "deltapress.prom"\n')
    write_layout(tmp_path, range(3))
    assert main(["publish"]) == 0
    assert promtool("check", "metrics", given=(tmp_path / "deltapress.prom").read_text()) == ""


def test_the_rules_and_the_queries_are_well_formed(tmp_path: Path) -> None:
    assert "8 rules found" in promtool("check", "rules", _ALERTS)
    asked = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": asked}]}))  # JSON is YAML, too
    assert f"{len(asked)} rules found" in promtool("check", "rules", file)


_RUN: Final = {"last_run_timestamp_seconds": "0x2000"}
_SUCCESS: Final = {"last_success_timestamp_seconds": "0x2000"}
_REPOSITORY: Final = '{repository="team/app"}'


@pytest.mark.parametrize(
    ("hours", "series", "alert"),
    [
        (30, _RUN | _SUCCESS, None),
        (40, _RUN | _SUCCESS, "NotPublished"),
        (40, _RUN, "NeverPublished"),
        (2, {}, "NoMetrics"),
        (2, _RUN | {"last_run_exit_code": "4x9"}, "Failed"),
        (2, _RUN | {"last_run_exit_code": "5x9"}, "PartlyDone"),
        (2, _RUN | {f"repository_problems{_REPOSITORY}": "1x9"}, "RepositoryFailed"),
        (2, _RUN | {'last_run_deltas{result="failed"}': "2x9"}, "DeltasFailed"),
        (1104, _RUN | {f"repository_latest_version_timestamp_seconds{_REPOSITORY}": "0x2000"}, "VersionOld"),
    ],
)
def test_an_alert_fires_when_it_should(tmp_path: Path, hours: int, series: dict[str, str], alert: str | None) -> None:
    """`series` are values of metrics, one an hour; no other alert fires but that of a first run where it is due."""
    firing = {alert} if alert is not None else set()
    if hours > 36 and not series.keys() & _SUCCESS:
        firing.add("NeverPublished")
    test = {
        "interval": "1h",
        "input_series": [{"series": f"deltapress_{name}", "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{hours}h",
                "exp_samples": [{"labels": f'{{alertname="Deltapress{name}"}}', "value": 1} for name in sorted(firing)],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(_ALERTS)], "evaluation_interval": "1h", "tests": [test]}))
    assert "SUCCESS" in promtool("test", "rules", file)
