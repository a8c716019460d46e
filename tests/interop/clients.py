"""Real clients in an environment scrubbed of the user's own: nothing is read from or left in the home directory.

Rule 1. Each client gets its own storage below a private directory; nothing is shared between tests.
Rule 2. What a client starts in the background is ended by its process id.
"""

import json
import os
import re
import select
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..conftest import require_tool

_LIMIT = 240  # seconds for one command


class ClientError(AssertionError):
    """A client refused; the message holds all that it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    stdout: str
    stderr: str


def environment(home: Path) -> dict[str, str]:
    """The variables that a client sees: a home, XDG folders and temporary files of its own, and no proxy."""
    folders = {name: home / name.lower() for name in ("DATA", "CONFIG", "CACHE", "STATE", "RUNTIME", "TMP")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(folders["TMP"]),
        "XDG_DATA_HOME": str(folders["DATA"]),
        "XDG_CONFIG_HOME": str(folders["CONFIG"]),
        "XDG_CACHE_HOME": str(folders["CACHE"]),
        "XDG_STATE_HOME": str(folders["STATE"]),
        "XDG_RUNTIME_DIR": str(folders["RUNTIME"]),
        "CACHE_DIRECTORY": str(folders["CACHE"] / "deltapress"),  # root's own would be one for all
    }


@contextmanager
def short_home() -> Iterator[Path]:
    """A private directory with a short name: podman refuses a --runroot of more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as name:
        yield Path(name)


def run(home: Path, *command: str, check: bool = True) -> Output:
    """Run a client.

    Raises:
        ClientError: it failed, unless `check` is off.
    """
    # files, not pipes: what a client leaves in the background would hold a pipe open
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        done = subprocess.run(
            command,
            cwd=home,
            env=environment(home),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=_LIMIT,
            check=False,
        )
        out.seek(0)
        err.seek(0)
        output = Output(stdout=out.read().decode("utf-8", "replace"), stderr=err.read().decode("utf-8", "replace"))
    if check and done.returncode != 0:
        raise ClientError(f"{' '.join(command)} ended with {done.returncode}:\n{output.stdout}\n{output.stderr}")
    return output


@dataclass(frozen=True, slots=True, kw_only=True)
class Skopeo:
    home: Path

    def __post_init__(self) -> None:
        require_tool("skopeo")
        policy = self.home / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def run(self, *arguments: str) -> Output:
        return run(self.home, "skopeo", "--policy", str(self.home / "policy.json"), *arguments)

    def copy(self, source: str, destination: str, *options: str) -> None:
        self.run("copy", "--quiet", "--src-tls-verify=false", *options, source, destination)

    def raw_manifest(self, image: str) -> bytes:
        return self.run("inspect", "--raw", "--tls-verify=false", image).stdout.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Podman:
    """podman with its own storage below `home`, see `short_home`."""

    home: Path

    def __post_init__(self) -> None:
        require_tool("podman")
        (self.home / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def run(self, *arguments: str) -> Output:
        storage = ["--root", f"{self.home}/root", "--runroot", f"{self.home}/runroot", "--storage-driver", "vfs"]
        return run(self.home, "podman", *storage, "--cgroup-manager=cgroupfs", "--events-backend=none", *arguments)

    def pull(self, image: str, *options: str) -> str:
        """Return the id of the image, which is the hex digest of its configuration."""
        policy = f"--signature-policy={self.home}/policy.json"
        return self.run("pull", "--quiet", policy, "--tls-verify=false", *options, image).stdout.split()[-1]

    def platform(self, image_id: str) -> str:
        [seen] = json.loads(self.run("image", "inspect", image_id).stdout)
        return f"{seen['Os']}/{seen['Architecture']}"

    def read(self, image_id: str, path: str) -> bytes:
        """The content of a file of the image."""
        mounted = self.run("image", "mount", image_id).stdout.strip()
        try:
            return (Path(mounted) / path).read_bytes()
        finally:
            self.run("image", "unmount", image_id)


def requested(output: Output) -> list[str]:
    """The paths that flatpak asked for, by its own account."""
    found = re.findall(r"Loading http://[^/ ]+(/\S*)", output.stdout + output.stderr)
    return [path.partition("?")[0] for path in found]


def applied_deltas(output: Output) -> list[str]:
    """The digests of the deltas that flatpak used instead of layers."""
    return re.findall(r"Using OCI delta (\S+) for layer", output.stdout + output.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatpak:
    """`flatpak --user` on a session bus of its own."""

    home: Path

    def __post_init__(self) -> None:
        require_tool("flatpak")
        require_tool("dbus-run-session")

    def run(self, *arguments: str) -> Output:
        installation = f"FLATPAK_USER_DIR={self.home}/installation"
        try:
            return run(self.home, "dbus-run-session", "--", "env", installation, "flatpak", "--user", "-v", *arguments)
        finally:
            self._end_authenticator()

    def add_remote(self, name: str, registry: str) -> None:
        self.run("remote-add", name, f"oci+http://{registry}")

    def install(self, remote: str, ref: str) -> Output:
        return self.run("install", "--noninteractive", remote, ref)

    def update(self, ref: str, *options: str) -> Output:
        return self.run("update", "--noninteractive", *options, ref)

    def list(self) -> set[str]:
        """The refs that are installed."""
        return set(self.run("list", "--columns=ref").stdout.split()) - {"Ref"}

    def files(self, ref: str) -> dict[str, bytes]:
        """The deployed files, but flatpak's own."""
        folder = Path(self.run("info", "--show-location", ref).stdout.strip()) / "files"
        found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if name != ".ref"}

    def _end_authenticator(self) -> None:
        # It outlives its bus by ten minutes. It is known by our private home, so no other session's is met.
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                command = (process / "cmdline").read_bytes()
                variables = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue  # gone, or another user's
            if b"flatpak-oci-authenticator" in command and f"HOME={self.home}".encode() in variables:
                _end(int(process.name))


def _end(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(process, number)
            # readable once it has ended, whether or not its parent has asked for its status
            if select.select([process], [], [], 5)[0]:
                return
    except ProcessLookupError:
        pass
    finally:
        os.close(process)
