"""One pair, every contender: deltas made, sized, and applied by both patch programs.

Rule 1. Contenders take turns on the same layers in one run, so that a busy machine is busy for all of them.
Rule 2. Every delta is applied, the reference's too; one that does not give the new layer is a failure and has no size.
Rule 3. `diff` of ours applies what it made before it writes it, and its time holds that. `encode` beside it does not,
        as the reference does not.
"""

import filecmp
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .corpus import Pair
from .measure import RunFailedError, Usage, best, measure

REFERENCE_LEVELS = {"reference": "3", "reference, level 19": "19"}
"""The reference as it comes, and at its best."""

OURS = (sys.executable, "-m", "pipeline")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """The reference's two programs and their version; `has_effort` where our `diff` knows `--effort`."""

    diff: str
    patch: str
    version: str
    has_effort: bool

    @classmethod
    def find(cls) -> "Tools":
        diff, patch = shutil.which("tar-diff"), shutil.which("tar-patch")
        if diff is None or patch is None:
            raise SystemExit("tar-diff and tar-patch, the reference, must be on PATH; README.md says how to get them")
        version = " with ".join([_said(diff, "-version").strip(), *_compressor(diff)])
        return cls(diff=diff, patch=patch, version=version, has_effort="--effort" in _said(*OURS, "diff", "--help"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One contender's delta. `failed` tells why there is none; then all else is empty.

    `encode` is making without proof, `go_patch` and `our_patch` are applying with the reference's program and with
    ours; what does not apply to a contender is None.
    """

    size: int = 0
    make: Usage | None = None
    encode: Usage | None = None
    go_patch: Usage | None = None
    our_patch: Usage | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A pair, the size of its new layer as a tar and packed, and what each contender made of it, by its name."""

    pair: str
    tar: int
    packed: int
    made: dict[str, Made]


def contest(
    pair: Pair, tools: Tools, efforts: Sequence[str], known: Mapping[str, Made], *, repeat: int, limit: float
) -> Outcome:
    """Let all contenders make a delta `repeat` times, and apply each three times; no run may take over `limit` s.

    Contenders of the reference that are `known` from an earlier run do not compete again.
    """
    made = {name: known[name] for name in REFERENCE_LEVELS if name in known}
    with TemporaryDirectory(prefix="benchmark-") as name:
        place = Path(name)
        tree = place / "tree"
        tree.mkdir()
        subprocess.run(["tar", "-xf", pair.folder / "old.tar", "-C", tree], check=True)
        turns = {name: turn for name, turn in _turns(pair, tools, efforts, place, limit).items() if name not in made}
        usages: dict[str, list[Usage]] = {name: [] for name in turns}
        failures: dict[str, str] = {}
        for _ in range(repeat):
            for name, turn in turns.items():
                try:
                    if name not in failures:
                        usages[name].append(turn())
                except RunFailedError as error:
                    failures[name] = str(error)
        for name in [*REFERENCE_LEVELS, *efforts]:
            if name in made:
                continue
            if name in failures:
                made[name] = Made(failed=failures[name])
                continue
            delta = place / name
            try:
                made[name] = Made(
                    size=delta.stat().st_size,
                    make=best(usages[name]),
                    encode=best(usages[_encoding(name)]) if usages.get(_encoding(name)) else None,
                    go_patch=_applied(pair, [tools.patch, delta, tree], place / "made", limit),
                    our_patch=None
                    if name in REFERENCE_LEVELS
                    else _applied(pair, [*OURS, "patch", delta, tree], place / "made", limit),
                )
            except RunFailedError as error:
                made[name] = Made(failed=f"wrong: {error}")
    new = pair.folder / "new.tar"
    return Outcome(pair=pair.name, tar=new.stat().st_size, packed=_packed(new).stat().st_size, made=made)


def _turns(
    pair: Pair, tools: Tools, efforts: Sequence[str], place: Path, limit: float
) -> dict[str, Callable[[], Usage]]:
    """What a round consists of, in its order."""
    layers = [_packed(pair.folder / "old.tar"), _packed(pair.folder / "new.tar")]

    def turn(*command: str | Path) -> Callable[[], Usage]:
        return lambda: measure(command, limit=limit)

    turns = {
        name: turn(tools.diff, "-compression-level", level, *layers, place / name)
        for name, level in REFERENCE_LEVELS.items()
    }
    for effort in efforts:
        option = ["--effort", effort] if tools.has_effort else []
        turns[effort] = turn(*OURS, "diff", *option, *layers, place / effort)
        encoder = (sys.executable, "-m", "tests.benchmarks.encode")
        turns[_encoding(effort)] = turn(*encoder, *layers, place / "unproven", effort)
    return turns


def _applied(pair: Pair, command: Sequence[str | Path], made: Path, limit: float) -> Usage:
    usages = []
    for _ in range(3):
        made.unlink(missing_ok=True)
        usages.append(measure([*command, made], limit=limit))
    if not filecmp.cmp(made, pair.folder / "new.tar", shallow=False):
        raise RunFailedError("the delta makes something else than the new layer")
    return best(usages)


def _compressor(program: str) -> list[str]:
    """The zstd library in a Go program: the sizes depend on it as much as on the program. Only Go's own tool tells."""
    if shutil.which("go") is None:
        return []
    lines = [line.split() for line in _said("go", "version", "-m", program).splitlines()]
    return [f"compress {fields[2]}" for fields in lines if fields[:2] == ["dep", "github.com/klauspost/compress"]]


def _said(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return done.stdout


def _packed(layer: Path) -> Path:
    return layer.with_name(f"{layer.name}.gz")


def _encoding(effort: str) -> str:
    return f"{effort} unproven"


def write_outcomes(path: Path, about: dict[str, str], outcomes: Sequence[Outcome]) -> None:
    """Keep what was measured, as JSON: `about` is where and when."""
    document = {"about": about, "outcomes": [asdict(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(document, indent=1) + "\n")


def read_outcomes(path: Path) -> tuple[dict[str, str], list[Outcome]]:
    """What `write_outcomes` kept."""
    document = json.loads(path.read_text())
    return document["about"], [
        Outcome(**{**one, "made": {name: _read_made(made) for name, made in one["made"].items()}})
        for one in document["outcomes"]
    ]


def _read_made(fields: dict[str, Any]) -> Made:
    read: dict[str, Any] = {name: Usage(**one) if isinstance(one, dict) else one for name, one in fields.items()}
    return Made(**read)
