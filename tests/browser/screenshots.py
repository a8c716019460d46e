"""Screenshots of the pages, and what is wrong with them: `python -m tests.browser.screenshots FOLDER`.

It needs Debian's chromium, node, and from npm playwright-core and axe-core, in a folder that NODE_PATH names:

    npm install --prefix /tmp/browser playwright-core axe-core
    NODE_PATH=/tmp/browser/node_modules python -m tests.browser.screenshots /tmp/screenshots
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.serve import serve

from .shown import write_shown

LOOK: Final = Path(__file__).with_name("look.cjs")
_LIMIT: Final = 300  # seconds for all pages


def problems_of(root: Path, paths: Sequence[str], folder: Path) -> list[str]:
    """What a browser finds wrong with pages of the published directory `root`; their screenshots go to `folder`."""
    with serve(root) as server:
        running = threading.Thread(target=server.run)
        running.start()
        try:
            done = subprocess.run(
                ["node", LOOK, f"{server.url}/", folder, *paths],
                capture_output=True,
                text=True,
                check=False,
                timeout=_LIMIT,
            )
        finally:
            server.stop()
            running.join()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return [str(problem) for problem in found]


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        problems = problems_of(Path(name), write_shown(Path(name)), folder)
    lines = [*problems, f"{len(list(folder.glob('*.png')))} screenshots in {folder}"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
