"""How the cost of a publish grows with the work: `python -m tests.benchmarks.scale`.

Rule 1. Of each kind of work several sizes are published into a folder, each run in a process of its own. The exponent
        is that of the power of the size which fits best: 1 is in proportion, 2 is quadratic, 0 is no growth.
Rule 2. With `--before CHECKOUT` each run is made by another checkout, too, on the same layouts, right before.
Rule 3. Layers are tiny: what is measured is what lies around the bytes.
"""

import argparse
import json
import math
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..layouts.builder import LayoutBuilder, tar_of

_HERE: Final = Path(__file__).parents[2]
_NOISE: Final = random.Random(7).randbytes(4000)
_CHANGED: Final = 5  # repositories, of all
_K: Final = 10  # deltas that each repository of the deltas' work has
_LAYERS: Final = 100  # of each image of the blobs' work


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run took: seconds, bytes, calls of the target."""

    wall: float
    cpu: float
    memory: int
    written: int
    requests: int
    deltas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A folder with a configuration and layouts, and what publishes it."""

    folder: Path

    def configure(self, names: Sequence[str], policy: str) -> None:
        lines = ["[target]", 'url = "unused"', "[policy]", policy]
        for name in names:
            lines += ["[[repository]]", f'name = "{name}"', f'layout = "layouts/{name}"']
        (self.folder / "deltapress.toml").write_text("\n".join(lines), "utf-8")

    def images(self, name: str, tags: dict[str, tuple[bytes, ...]]) -> None:
        build = LayoutBuilder()
        for tag, layers in tags.items():
            build.tag(tag, build.image(*layers))
        shutil.rmtree(self.folder / "layouts" / name, ignore_errors=True)
        build.write(self.folder / "layouts" / name)

    def publish(self, checkout: Path, night: float) -> Figures:
        worker = Path(__file__).with_name("scale_run.py")
        public = self.folder / f"public-{checkout.name}"
        said = subprocess.run(
            [sys.executable, worker, self.folder / "deltapress.toml", str(night), public],
            env={**os.environ, "PYTHONPATH": str(checkout), "TMPDIR": str(self.folder)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        found = json.loads(said)
        assert found.pop("exit") == 0, found
        return Figures(**found)


def _layer(number: int, name: str = "app") -> bytes:
    data = bytearray(_NOISE)
    data[:16] = random.Random(f"{name} {number}").randbytes(16)
    return tar_of({f"bin/{name}": bytes(data)})


# Each kind of work prepares a site of some size, and yields the name of each run after what it needs is there.
Work = Callable[[Site, int], Iterator[str]]


def _repositories(site: Site, size: int) -> Iterator[str]:
    names = [f"team{number % 100}/app{number}" for number in range(size)]
    for number, name in enumerate(names):
        site.images(name, {"latest": (_layer(number, name),)})
    site.configure(names, "versions = 1")
    yield "first"
    yield "idle"
    for number, name in enumerate(names[:_CHANGED]):
        site.images(name, {"latest": (_layer(size + number, name),)})
    yield f"{_CHANGED} changed"


def _versions(site: Site, size: int) -> Iterator[str]:
    site.configure(["app"], f"versions = 1\nkeep = {size + 1}")
    site.images("app", {f"1.{number}": (_layer(number),) for number in range(size)})
    yield "first"
    yield "idle"


def _deltas(site: Site, size: int) -> Iterator[str]:
    names = [f"app{number}" for number in range(-(-size // _K))]
    for name in names:
        site.images(name, {f"1.{number}": (_layer(number, name),) for number in range(_K + 1)})
    site.configure(names, f'versions = {_K}\nkeep = {_K + 1}\nformats = ["deltaindex"]')
    yield "first"
    yield "idle"


def _blobs(site: Site, size: int) -> Iterator[str]:
    site.configure(["app"], "versions = 0\nkeep = 1000")
    images = range(-(-size // _LAYERS))
    layers = {number: tuple(_layer(number * _LAYERS + layer) for layer in range(_LAYERS)) for number in images}
    site.images("app", {f"1.{number}": found for number, found in layers.items()})
    yield "first"
    yield "idle"


def _nights(site: Site, size: int) -> Iterator[str]:
    site.configure(["app"], "versions = 3")
    for number in range(size):
        site.images("app", {"latest": (_layer(number),)})
        yield "the last night"


WORK: Final[dict[str, tuple[Work, tuple[int, ...], tuple[int, ...]]]] = {
    "repositories": (_repositories, (10, 100, 1000, 10_000), (10, 100, 400)),
    "versions": (_versions, (1, 10, 100, 1000), (10, 50, 200)),
    "deltas": (_deltas, (10, 100, 1000, 3000), (10, 50, 200)),
    "blobs": (_blobs, (100, 1000, 5000, 20_000), (100, 400, 1600)),
    "nights": (_nights, (10, 100, 365), (5, 15, 30)),
}


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line that fits best through the logarithms; 0 where there are too few points."""
    logs = [(math.log(x), math.log(max(y, 1e-9))) for x, y in points]
    if len(logs) < 2:
        return 0.0
    middle = sum(x for x, _ in logs) / len(logs), sum(y for _, y in logs) / len(logs)
    spread = sum((x - middle[0]) ** 2 for x, _ in logs)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in logs) / spread


def _measured(work: Work, size: int, checkouts: Sequence[Path]) -> dict[tuple[str, Path], Figures]:
    found = {}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        site = Site(folder=Path(folder))
        for night, run in enumerate(work(site, size)):
            for checkout in checkouts:
                found[run, checkout] = site.publish(checkout, night)
    return found


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _report(name: str, sizes: Sequence[int], checkouts: Sequence[Path]) -> None:
    work = WORK[name][0]
    found: dict[tuple[str, Path], dict[int, Figures]] = {}
    for size in sizes:
        for key, figures in _measured(work, size, checkouts).items():
            found.setdefault(key, {})[size] = figures
            row = (name, size, key[0], key[1].name, figures.deltas, f"{figures.wall:.2f}", f"{figures.cpu:.2f}")
            rest = (f"{figures.memory / 1e6:.0f}", f"{figures.written:,}", f"{figures.requests:,}")
            print(_line(row + rest), flush=True)
    for (run, checkout), by_size in found.items():
        larger = list(by_size.items())[-3:]
        slopes = [
            f"{exponent([(size, float(getattr(figures, field))) for size, figures in larger]):.2f}"
            for field in ("wall", "cpu", "memory", "written", "requests")
        ]
        print(_line((name, "exponent", run, checkout.name, "", *slopes)), flush=True)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--before", type=Path, help="another checkout, to be measured beside this one")
    parser.add_argument("--work", default=",".join(WORK), help="which kinds, of: %(default)s")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, some two minutes")
    options = parser.parse_args()
    checkouts = [*([options.before.resolve()] if options.before else []), _HERE]
    print(_line(("work", "size", "run", "checkout", "deltas", "s", "CPU s", "MB", "bytes written", "requests")))
    print(_line(["---"] * 10))
    for name in options.work.split(","):
        _, whole, quick = WORK[name]
        _report(name, quick if options.quick else whole, checkouts)


if __name__ == "__main__":
    main()
