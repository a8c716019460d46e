"""Trees for the servers, written by `deltapress publish` as a user runs it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

_CHECKOUT = Path(__file__).parents[2]


def publish(
    target: Path | str,
    layouts: Mapping[str, Path],
    *,
    rename: Mapping[str, str] | None = None,
    s3: Mapping[str, str] | None = None,
    tables: str = "",
) -> None:
    """Publish each repository's layout into a directory, or into a bucket that is reached with `s3`.

    `rename` leads from refs to tags, for all repositories; `tables` are more tables of the configuration.

    Raises:
        AssertionError: with all that the command printed, when it did not succeed.
    """
    lines = ["[target]", f"url = {json.dumps(str(target))}"]
    if s3:
        lines += ["[target.s3]", *(f"{key} = {json.dumps(value)}" for key, value in s3.items())]
    for name, layout in layouts.items():
        lines += ["[[repository]]", f"name = {json.dumps(name)}", f"layout = {json.dumps(str(layout))}"]
        if rename:
            lines.append("[repository.rename]")
            lines += [f"{json.dumps(ref)} = {json.dumps(tag)}" for ref, tag in rename.items()]
    lines.append(tables)
    with tempfile.TemporaryDirectory(prefix="deltapress-config-") as name:
        config = Path(name) / "deltapress.toml"
        config.write_text("\n".join(lines) + "\n", "utf-8")
        publish_by(config)


def publish_by(config: Path) -> None:
    """Publish what the configuration says. Raises AssertionError as `publish` does."""
    command = [sys.executable, "-m", "pipeline", "publish", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(_CHECKOUT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"publish ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
