"""examples/monitoring/ asks for nothing but metrics that a publish writes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pipeline.report.metrics import NAMES

MONITORING: Final = Path(__file__).parents[1] / "examples/monitoring"
_NAME: Final = re.compile(r"\bdeltapress_\w+")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
    return found


def queries() -> Iterator[str]:
    """The expressions of all panels of the dashboard."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def alert_queries() -> list[str]:
    return re.findall(r"^ +expr: (.*)$", (MONITORING / "alerts.yml").read_text("utf-8"), re.MULTILINE)


def test_the_alerts_and_the_dashboard_ask_for_what_is_there() -> None:
    asked = [*queries(), *alert_queries()]
    assert len(asked) > 15
    names = [set(_NAME.findall(query)) for query in asked]
    assert all(names)
    assert set().union(*names) - NAMES == set()
    variables = [variable for variable in dashboard()["templating"]["list"] if variable["type"] == "query"]
    assert {name for variable in variables for name in _NAME.findall(variable["definition"])} < NAMES


def test_what_is_measured_is_shown() -> None:
    shown = {name for query in (*queries(), *alert_queries()) for name in _NAME.findall(query)}
    assert NAMES - shown == {"deltapress_last_run_duration_seconds", "deltapress_repositories"}


def test_the_panels_lie_beside_each_other() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not cells & own
        cells |= own
