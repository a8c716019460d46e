"""What a device waits for over a slow link, and what goes over it: `python -m tests.benchmarks.link`.

Each runtime has one release of a package and updates to a newer one: first by its own pull, then by `deltapress pull`.
Both go through the same relay, which lets no more through than the link would. Storage is new for every update.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from ..interop import published, servers
from ..interop.runtimes import RUNTIMES, Machine

_CHECKOUT: Final = Path(__file__).parents[2]
_PIECE: Final = 8 << 10  # bytes that cross at once: some milliseconds of a slow link
_REPOSITORY: Final = "wheels"


class Link:
    """A relay to the server at `port` of this machine; what that sends comes no faster than `rate` bits a second.

    All connections share the rate. `crossed` counts the bytes that the server sent, headers too.
    """

    def __init__(self, port: int) -> None:
        self.rate: float | None = None
        self.crossed = 0
        self._server = port
        self._free = 0.0  # when the link has sent all that it was given
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))

    @property
    def registry(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Relay until `close`."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=_relay, args=(client, server, lambda _: None), daemon=True).start()
            threading.Thread(target=_relay, args=(server, client, self._pace), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pace(self, size: int) -> None:
        """Wait until `size` bytes have crossed."""
        with self._lock:
            self.crossed += size
            if self.rate is None:
                return
            self._free = max(self._free, time.monotonic()) + size * 8 / self.rate
            wait = self._free - time.monotonic()
        time.sleep(max(0.0, wait))


def _relay(source: socket.socket, drain: socket.socket, pace: Callable[[int], None]) -> None:
    try:
        while data := source.recv(_PIECE):
            pace(len(data))
            drain.sendall(data)
        drain.shutdown(socket.SHUT_WR)
    except OSError:  # one of the two has hung up
        for end in (source, drain):
            end.close()


@contextmanager
def link_to(port: int) -> Iterator[Link]:
    link = Link(port)
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    try:
        yield link
    finally:
        link.close()
        thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one update took: bytes over the link, and seconds of wall time."""

    bytes: int
    seconds: float


def update(runtime: str, link: Link, rate: float, old: str, pull: Callable[[Machine], None]) -> Update:
    """`pull`, on a new machine that has the image `old`."""
    with RUNTIMES[runtime](link.registry) as machine:
        link.rate = None
        machine.runtime.pull(old)
        link.rate = rate
        before, begun = link.crossed, time.monotonic()
        pull(machine)
        return Update(bytes=link.crossed - before, seconds=time.monotonic() - begun)


def by_itself(new: str, machine: Machine) -> None:
    machine.runtime.pull(new)


def by_deltas(new: str, registry: str, runtime: str, machine: Machine) -> None:
    command = [*machine.entrance, sys.executable, "-m", "pipeline", "pull", new]
    command += ["--into", runtime, "--from", f"http://{registry}"]
    environment = {**machine.environment, "PYTHONPATH": str(_CHECKOUT)}
    done = subprocess.run(command, env=environment, cwd=_CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.link", description=__doc__)
    parser.add_argument("--rate", type=float, default=10, help="of the link, in Mbit/s (default: 10)")
    parser.add_argument("--package", default="numpy", help="on the package index (default: numpy)")
    parser.add_argument("--versions", nargs="+", default=["2.1.1", "2.1.2", "2.1.3"], help="the oldest first")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=list(RUNTIMES))
    arguments = parser.parse_args(argv)
    rate = arguments.rate * 1_000_000
    *olds, new = arguments.versions
    with tempfile.TemporaryDirectory() as folder, servers.public_directory() as root:
        layout = Path(folder) / "layout"
        wheels = [sys.executable, str(_CHECKOUT / "examples/wheels.py"), str(layout), arguments.package]
        subprocess.run([*wheels, *arguments.versions], check=True)
        published.publish(root, {_REPOSITORY: layout})
        with servers.own(root) as site, link_to(site.port) as link:
            print("| update | into | its own pull: bytes | s | `deltapress pull`: bytes | s |")
            print("|---|---|---:|---:|---:|---:|")
            for old in olds:
                for runtime in arguments.runtimes:
                    here, there = (f"{link.registry}/{_REPOSITORY}:{version}" for version in (old, new))
                    whole = update(runtime, link, rate, here, partial(by_itself, there))
                    delta = update(runtime, link, rate, here, partial(by_deltas, there, link.registry, runtime))
                    figures = f"{whole.bytes:,} | {whole.seconds:.1f} | {delta.bytes:,} | {delta.seconds:.1f}"
                    print(f"| {arguments.package} {old} → {new} | {runtime} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
