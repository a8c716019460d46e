"""`python -m tests.benchmarks.run`: measure our engine beside the reference, and print one table."""

import argparse
import compileall
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.cli.machine import usable_memory, usable_processors

from .contest import Outcome, Tools, contest, read_outcomes, write_outcomes
from .corpus import FOLDER, chosen
from .table import findings, markdown_table, text_table

_ROOT = Path(__file__).parents[2]
_MADE_LIMIT = 180.0
"""Seconds that a made pair may take at most: the reference does not end on some of them."""


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(argv)
    # told to end, end as by Ctrl-C: the child that is measured ends too, and the folders go
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.report:
        about, outcomes = read_outcomes(arguments.report)
    else:
        about, outcomes = _measured(arguments)
    outcomes = [outcome for outcome in outcomes if outcome.pair in {pair.name for pair in chosen(arguments.pairs)}]
    print(_heading(about))
    print()
    print(markdown_table(outcomes) if arguments.markdown else text_table(outcomes))
    print()
    for finding in findings(outcomes):
        print(f"* {finding}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run", description=__doc__)
    parser.add_argument("--pairs", default="*", metavar="GLOBS", help="names, or patterns, with commas (default: all)")
    parser.add_argument("--effort", default="default", metavar="NAMES", help="fast,default,max (default: default)")
    parser.add_argument("--known", type=Path, metavar="FILE", help="take the reference's figures from an earlier run")
    parser.add_argument("--quick", action="store_true", help="only pairs that take seconds")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="make each delta N times, count the least")
    parser.add_argument("--limit", type=float, default=600, metavar="S", help="end what takes longer (default: 600)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--json", type=Path, default=FOLDER / "results.json", metavar="FILE", help="where figures go")
    parser.add_argument("--report", type=Path, metavar="FILE", help="measure nothing, print the table of these figures")
    return parser


def _measured(arguments: argparse.Namespace) -> tuple[dict[str, str], list[Outcome]]:
    tools = Tools.find()
    efforts = [effort for effort in arguments.effort.split(",") if effort]
    if not tools.has_effort and set(efforts) - {"default"}:
        raise SystemExit("this deltapress has no --effort; measure `default`")
    known = {outcome.pair: outcome.made for outcome in read_outcomes(arguments.known)[1]} if arguments.known else {}
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "reference": tools.version,
        "machine": f"{platform.machine()}, {usable_processors()} cores, {round(usable_memory() / (1 << 30))} GiB",
        "revision": _revision(),
    }
    options = ["--quick"] if arguments.quick else []
    # as pip does for whoever installs it, even where Python is told to write no byte code
    compileall.compile_dir(_ROOT / "pipeline", quiet=1)
    # a process of its own: see rule 3 of `corpus`
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.corpus", "--pairs", arguments.pairs, *options], cwd=_ROOT, check=True
    )
    outcomes = []
    for pair in chosen(arguments.pairs, quick=arguments.quick):
        if not pair.folder.exists():
            continue
        before = known.get(pair.name, {})
        limit = min(arguments.limit, _MADE_LIMIT) if pair.bound else arguments.limit
        outcomes.append(contest(pair, tools, efforts, before, repeat=arguments.repeat, limit=limit))
        # kept after each, so that a run that is ended has measured something
        write_outcomes(arguments.json, about, outcomes)
        print(text_table(outcomes[-1:]), file=sys.stderr, flush=True)
    return about, outcomes


def _revision() -> str:
    """The commit that is measured, with a mark where files differ from it."""
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _heading(about: dict[str, str]) -> str:
    return f"{about['date']}, {about['machine']}, {about['reference']}, deltapress at {about['revision']}"


if __name__ == "__main__":
    main()
