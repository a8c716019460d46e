"""The pages in Chromium: nothing is loaded, nothing is refused, nothing overflows, and everybody can read them."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.keys import remote_page_key

from ..browser.screenshots import problems_of
from ..browser.shown import write_shown
from ..conftest import require_tool

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module", autouse=True)
def browser() -> None:
    require_tool("chromium")
    require_tool("node")
    done = subprocess.run(
        ["node", "-e", 'require("playwright-core"); require("axe-core")'], capture_output=True, check=False, timeout=60
    )
    if done.returncode:
        require_tool("playwright-core")  # no program: where NODE_PATH does not lead to it, it is missing


def test_the_pages_are_fit_for_people(tmp_path: Path) -> None:
    paths = write_shown(tmp_path / "public")
    shots = tmp_path / "shots"
    shots.mkdir()
    assert problems_of(tmp_path / "public", [paths[0], paths[1], paths[5], remote_page_key("example")], shots) == []
    assert len(list(shots.glob("*.png"))) == 4 * 2 * 2


def test_what_is_wrong_with_a_page_is_seen(tmp_path: Path) -> None:
    """The test above would notice."""
    root = tmp_path / "public"
    write_shown(root)
    page = root / "index.html"
    wrong = '<img src="https://example.org/x.png"><div style="width: 2000px">wide</div>'
    page.write_text(page.read_text("utf-8").replace("<main>", f"<main>{wrong}<pre>{'x' * 500}"), "utf-8")
    problems = "\n".join(problems_of(root, ["index.html"], tmp_path))
    assert "Content Security Policy" in problems
    assert "image-alt" in problems
    shutil.rmtree(root)
