"""Three releases of numpy, published with deltas into a directory, from nothing.

    python examples/quickstart.py [DIRECTORY]        (default: example)

Fetches about 50 MB with pip.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from wheels import make_layout

PACKAGE, VERSIONS = "numpy", ("2.1.1", "2.1.2", "2.1.3")
CONFIGURATION = Path(__file__).with_name("quickstart.toml")


def main() -> None:
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "example")
    make_layout(work / "layouts" / PACKAGE, PACKAGE, VERSIONS)
    configuration = work / "deltapress.toml"
    shutil.copyfile(CONFIGURATION, configuration)
    publish = [sys.executable, "-m", "pipeline", "publish", "--config", str(configuration)]
    if code := subprocess.run(publish, check=False).returncode:
        raise SystemExit(code)
    image = f"127.0.0.1:8000/{PACKAGE}:{VERSIONS[-1]}"
    command = Path(sys.executable).with_name("deltapress")
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else command
    print(f"\nServe it:  {shown} serve {work / 'public'} --port 8000")
    print(f"Pull it:   podman pull --tls-verify=false {image}")
    print(f"     or:   skopeo copy --src-tls-verify=false docker://{image} oci:pulled:{VERSIONS[-1]}")


if __name__ == "__main__":
    main()
