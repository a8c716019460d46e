"""The layering of `pipeline/`, read from its imports. Every exception stands in a table, with its reason."""

import ast
import graphlib
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

# The floors of `pipeline/`, the top one first: a folder, or a module beside the folders, imports only what stands on a
# lower floor. What shares a floor knows nothing of each other.
FLOORS: Final[tuple[set[str], ...]] = (
    {"__main__"},
    {"cli"},
    {"report", "serve"},
    {"check"},
    {"client", "mirror", "verify"},
    {"publish"},
    {"tree"},
    {"deltas", "demand"},
    {"history"},
    {"config", "layout"},
    {"targets", "tardiff"},
    {"keys", "content", "compression", "quantities", "parallel"},
    {"oci"},
    {"efforts", "errors", "limits", "progress", "scratch", "text"},
)
# The nouns, which have less to know than their floor would let them.
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "oci": {"errors", "text"},
    "tardiff": {"errors", "compression", "efforts"},
    "targets": {"errors", "keys", "content", "oci", "text"},
    "config": {"efforts", "errors", "limits", "oci", "quantities", "targets.s3.options"},
    # a device has nothing to do with publishing
    "client": {
        *("compression", "content", "deltas", "errors", "history.records", "keys", "layout", "limits", "oci"),
        *("parallel", "progress", "scratch", "tardiff", "targets", "text"),
    },
    "layout": {"errors", "content", "compression", "limits", "oci", "quantities", "tardiff.layer.outline", "text"},
    "serve": {"errors", "keys", "oci"},
    # of `verify` only how deltas are tried; nothing of `publish`, for it knows nothing of who published
    "check": {
        *("errors", "limits", "progress", "scratch", "text", "oci", "keys", "content", "compression", "quantities"),
        *("targets.base", "targets.http.target", "config.values", "layout", "history", "deltas"),
        *("verify.deltas", "verify.findings"),
    },
}

# The same inside `tardiff`, in the order of the work: of each other, modules and rooms import these alone.
TARDIFF_MAY_IMPORT: Final[dict[str, set[str]]] = {
    "format": set(),
    "pool": set(),
    "sums": set(),
    "layer": {"format"},
    "pair": {"layer", "pool"},
    "match": {"layer", "pair", "pool"},
    "write": {"format", "layer.regions", "match.cover", "pool"},
    "knowledge": {"layer", "match.remembered", "pair.fingerprints"},
    "encoder": {"format", "knowledge", "layer", "match", "pair", "pool", "write"},
    "decoder": {"format", "layer.tree", "sums"},  # the tree for its type alone: `patch` starts without numpy
}

# No I/O: functions from values to values.
PURE: Final = {
    *("deltas.plan", "deltas.ancestry", "deltas.budget", "deltas.estimate"),
    *("deltas.pairs", "deltas.savings", "deltas.sources"),
    *("deltas.formats", "deltas.formats.contract", "deltas.formats.delta_index", "deltas.formats.oci_delta"),
    *(f"deltas.formats.oci_delta.{name}" for name in ("making", "reading", "signatures", "terms")),
    *("history.attached", "history.documents", "history.moves", "history.order", "history.pointing"),
    *("history.removal", "history.renaming", "history.retention", "history.retraction", "history.sources"),
    *("history.versions", "history.whole"),
    *("mirror.mirrored", "mirror.selection", "publish.clocks", "publish.rules"),
    *("tree.contents", "tree.static", "tree.flatpak", "tree.remotes"),
    *(f"tree.pages.{name}" for name in ("attached", "commands", "feed", "repository", "summary", "updates")),
}
PURE_MAY_IMPORT: Final = PURE | {
    *("errors", "keys", "oci", "config.values", "history.ledger", "history.records", "tardiff.layer.outline")
}
PURE_STANDARD: Final = {
    *("base64", "bisect", "collections", "dataclasses", "datetime", "enum", "fnmatch", "functools", "heapq"),
    *("itertools", "json", "math", "operator", "re", "statistics", "types", "typing"),
}

# Who may import a package: the one module that wraps its exceptions. Parts of the standard library that need the same
# care stand here too; a room's name means all of its modules.
DOORS: Final[dict[str, set[str]]] = {
    "boto3": {"pipeline.targets.s3.bucket"},
    # the two that boto3 is made of: its exceptions and its options are theirs. Their second door lets no exception
    # out: what fails there is done again behind the first
    "botocore": {"pipeline.targets.s3.bucket", "pipeline.targets.s3.quick"},
    "urllib3": {
        *("pipeline.targets.s3.bucket", "pipeline.targets.s3.quick"),
        *("pipeline.targets.http.connections", "pipeline.check.connection"),
    },
    # to find what two files share, and to add: two functions that have nothing to do with each other, or with errors
    "bsdiff4": {"pipeline.tardiff.match.matchers.bsdiff", "pipeline.tardiff.sums"},
    "hdiffpatch": {"pipeline.tardiff.match.matchers.hdiff"},
    "jinja2": {"pipeline.tree.templates"},
    "rich": {"pipeline.cli.progress"},
    "semver": {"pipeline.history.order"},
    "tomli": {"pipeline.config.read", "pipeline.config.supposed"},
    "werkzeug": {"pipeline.serve"},
    "zstandard": {"pipeline.compression"},
    "isal": {"pipeline.compression"},
    "bz2": {"pipeline.compression"},
    "gzip": {"pipeline.compression"},
    "lzma": {"pipeline.compression"},
    "zlib": {"pipeline.compression", "pipeline.targets.s3.quick"},  # the latter for CRC-32
    "argparse": {"pipeline.cli"},
    "ctypes": {"pipeline.cli.machine"},
    "signal": {"pipeline.cli"},
    # arithmetic on arrays of bytes: it has no exceptions that would have to be wrapped
    "numpy": {f"pipeline.tardiff.{room}" for room in ("layer.regions", "pair", "match", "write")},
    # waiting for a lock or an answer needs a clock that does not jump; every date comes from the command line's `now`
    "time": {
        *("pipeline.cli", "pipeline.targets.flock", "pipeline.targets.objects.lease"),
        *("pipeline.check.connection", "pipeline.targets.http.connections"),
    },
    "logging": set(),
    "pickle": set(),
    # what has no other interface that a package knows: credential helpers, and docker, podman and containerd
    "subprocess": {"pipeline.targets.http.programs", "pipeline.client.runtimes.commands"},
    "sqlite3": {"pipeline.client.runtimes.podman"},
}
TYPES_ONLY: Final = {"_typeshed"}  # there for type checkers alone

# What only `pipeline.cli` may touch, as it stands in the code.
OUTSIDE: Final = re.compile(
    r"sys\.(argv|stdin|stdout|stderr|exit)|os\.(environ|getenv|putenv|_exit)|(datetime|date)\.(now|utcnow|today)"
)
VAGUE: Final = {"util", "utils", "helper", "helpers", "model", "models", "core", "common", "misc", "constants"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One source file. `imports` are dotted names; those of the project begin with `pipeline`."""

    name: str
    file: Path
    tree: ast.Module
    imports: frozenset[str]

    @property
    def room(self) -> str:
        return room_of(self.name)


def is_in(name: str, places: Iterable[str]) -> bool:
    """True when `name` is one of the places, or lies in one."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def room_of(name: str) -> str:
    """`tardiff` of `pipeline.tardiff.match.matchers`; empty for `pipeline` itself."""
    return name.split(".")[1] if "." in name else ""


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


@cache
def modules() -> tuple[Module, ...]:
    files = {}
    for file in sorted((ROOT / "pipeline").rglob("*.py")):
        *folders, stem = file.relative_to(ROOT).with_suffix("").parts
        files[".".join(folders if stem == "__init__" else [*folders, stem])] = file
    found = []
    for name, file in files.items():
        tree = ast.parse(file.read_text("utf-8"), str(file))
        package = name if file.stem == "__init__" else name.rpartition(".")[0]
        found.append(Module(name=name, file=file, tree=tree, imports=frozenset(imports_of(tree, package, set(files)))))
    return tuple(found)


def imports_of(tree: ast.Module, package: str, known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            base = above[: len(above) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield inner if inner in known else origin


def in_project(module: Module) -> set[str]:
    return {name for name in module.imports if name.split(".")[0] == "pipeline"}


def outside(module: Module) -> set[str]:
    return {name.split(".")[0] for name in module.imports} - {"pipeline"}


def by_name(module: Module) -> str:
    return module.name


every_module = pytest.mark.parametrize("module", modules(), ids=by_name)


@every_module
def test_imports_follow_the_layers(module: Module) -> None:
    others = {name.partition(".")[2] for name in in_project(module) if room_of(name) != module.room} - {""}
    below = set().union(*FLOORS[floor_of(module.room) + 1 :]) if module.room else set()
    assert not {name for name in others if not is_in(name, below)}
    if module.room in MAY_IMPORT:
        assert not {name for name in others if not is_in(name, MAY_IMPORT[module.room])}


@pytest.mark.parametrize("module", [module for module in modules() if module.room == "tardiff"], ids=by_name)
def test_the_encoder_has_its_layers(module: Module) -> None:
    inner = {name.partition(".tardiff.")[2] for name in in_project(module) if room_of(name) == "tardiff"}
    room = module.name.partition(".tardiff.")[2].split(".")[0]
    assert not {name for name in inner if not is_in(name, {room} | TARDIFF_MAY_IMPORT.get(room, set()))}


@pytest.mark.parametrize(
    "module", [module for module in modules() if module.name.partition(".")[2] in PURE], ids=by_name
)
def test_pure_modules_do_no_io(module: Module) -> None:
    assert not {name for name in in_project(module) if not is_in(name.partition(".")[2], PURE_MAY_IMPORT)}
    doors = {package for package, places in DOORS.items() if is_in(module.name, places)}
    assert outside(module) <= PURE_STANDARD | doors
    assert not [node for node in ast.walk(module.tree) if isinstance(node, ast.Name) and node.id == "open"]


@every_module
def test_each_package_has_one_door(module: Module) -> None:
    wrong = {package for package in outside(module) if package in DOORS and not is_in(module.name, DOORS[package])}
    assert not wrong
    unknown = outside(module) - sys.stdlib_module_names - DOORS.keys() - TYPES_ONLY
    assert not unknown, "a new package needs a line in DOORS, and one in the README that says what it is for"


def test_the_dependencies_are_the_packages_that_are_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split("[^a-z0-9-]", dependency.lower())[0] for dependency in project["dependencies"]}
    imported = set().union(*(outside(module) for module in modules())) - sys.stdlib_module_names - TYPES_ONLY
    assert declared == imported


@every_module
def test_whoever_catches_everything_says_why(module: Module) -> None:
    handlers = [node for node in ast.walk(module.tree) if isinstance(node, ast.ExceptHandler)]
    everything = {handler.lineno for handler in handlers if is_broad(handler.type)}
    assert not everything - lines_with_a_reason(module)


def is_broad(caught: ast.expr | None) -> bool:
    """True where it is all exceptions, or all that are errors."""
    names = {node.id for node in ast.walk(caught) if isinstance(node, ast.Name)} if caught is not None else set()
    return caught is None or not names.isdisjoint({"Exception", "BaseException"})


def lines_with_a_reason(module: Module) -> set[int]:
    """Those that end with a comment which says more to a reader than to the linter."""
    tokens = tokenize.generate_tokens(io.StringIO(module.file.read_text("utf-8")).readline)
    comments = (token for token in tokens if token.type == tokenize.COMMENT)
    return {token.start[0] for token in comments if re.sub(r"noqa: [A-Z0-9, ]+", "", token.string).strip("# -")}


@every_module
def test_only_the_command_line_meets_the_outside_world(module: Module) -> None:
    if module.room == "cli":
        return
    touched = [ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    touched += [node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name)]
    assert not [text for text in touched if OUTSIDE.fullmatch(text) or text in {"print", "input"}]


@every_module
def test_names_and_docstrings_say_something(module: Module) -> None:
    assert module.name.split(".")[-1] not in VAGUE
    assert ast.get_docstring(module.tree)


@every_module
def test_the_package_does_not_name_itself(module: Module) -> None:
    named = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and not node.level]
    assert not [node.module for node in named if (node.module or "").split(".")[0] == "pipeline"]
    assert "pipeline" not in {
        alias.name.split(".")[0]
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }


def test_imports_have_no_cycles() -> None:
    graph = {module.name: in_project(module) - {module.name} for module in modules()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_tables_name_what_exists() -> None:
    names = {module.name for module in modules()}
    assert {room_of(name) for name in names} - {""} == set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == len(set().union(*FLOORS))
    assert set().union(*FLOORS) >= MAY_IMPORT.keys()
    assert names >= {f"pipeline.{name}" for name in PURE}
    assert names >= {place for places in DOORS.values() for place in places}
