"""The wheel: what is in it, and that it works without the checkout."""

import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline import __version__

ROOT = Path(__file__).parents[1]
CACHES = {"__pycache__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    assert path.name == f"deltapress-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as opened:
        yield opened


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not CACHES.intersection(path.parts)
    }


def test_the_only_top_level_name_is_the_package(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist()} == {"pipeline", f"deltapress-{__version__}.dist-info"}


def test_it_holds_the_modules_and_the_templates_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packaged = {name.removeprefix("pipeline/") for name in wheel.namelist() if name.startswith("pipeline/")}
    templates = {f"templates/{name}" for name in files_below(ROOT / "templates")}
    assert templates
    assert packaged == files_below(ROOT / "pipeline") | templates


def test_templates_are_found_without_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    script = (
        "import sys; from pipeline.cli import main; import pipeline; print(pipeline.__file__); sys.exit(main(['init']))"
    )
    ended = subprocess.run(
        # -P: the current folder must not hide what is tested
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(str(tmp_path / "site"))
    assert (tmp_path / "deltapress.toml").read_bytes() == (ROOT / "templates/deltapress.toml").read_bytes()


def test_the_metadata(wheel: zipfile.ZipFile) -> None:
    folder = f"deltapress-{__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {__version__}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "deltapress = pipeline.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()


def test_ci_names_tests_that_are_there() -> None:
    named = re.findall(r"\btests/[a-z0-9_./]+", (ROOT / ".ci/run").read_text("utf-8"))
    assert len(named) > 10
    assert not [path for path in named if not (ROOT / path).exists()]


def test_every_dependency_is_locked_with_a_hash_and_no_registry_is_named() -> None:
    lock = (ROOT / "requirements-dev.lock").read_text("utf-8")
    locked = {name.lower().replace("_", "-") for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    declared += project["optional-dependencies"]["servers"]
    missing = {re.split(r"[^a-z0-9-]", dependency.lower())[0] for dependency in declared} - locked
    assert not missing, "run .ci/lock"
    assert len(re.findall(r"^\S+==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE)) == len(locked)
    assert "://" not in lock


def test_every_dependency_has_a_lower_bound_that_ci_can_install() -> None:
    ended = subprocess.run([sys.executable, ".ci/lowest"], cwd=ROOT, capture_output=True, text=True, check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [line.replace("==", ">=") for line in ended.stdout.splitlines()] == project["dependencies"]
