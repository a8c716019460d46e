"""docs/report.schema.json is what the commands print with --json: documents of real runs, each member described."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from pipeline.cli import main
from tests.check import misbehaving as bad
from tests.check.misbehaving import serving
from tests.cli.test_publish import CONFIG, Capture, write_layout
from tests.layouts.builder import LayoutBuilder, tar_of
from tests.test_readme import COMMANDS, options_of

ROOT: Final = Path(__file__).parents[1]
SCHEMA: Final = json.loads((ROOT / "docs/report.schema.json").read_text("utf-8"))
# lists and maps that must have had a member in some document, or else what is said of their members was not tried
TRIED: Final = {
    "run": {
        *("repositories", "broken", "written.unchanging", "written.changed", "writes", "savings", "repairs", "lost"),
        *("deltas.planned", "deltas.skipped", "deltas.made", "deltas.retracted", "deltas.failed"),
        *("prune.remove", "prune.waiting", "moves", "seconds", "notes"),
    },
    "reconciliation": {"stray", "foreign", "missing"},
    "verification": {"problems"},
    "listing": {"repositories"},
    "history": {"runs", "problems"},
    "check": {"repositories", "clients", "rules"},
    "pull": {"layers"},
    "bundle": {"artifacts"},
    "error": set(),
}


def closed(schema: Any) -> Any:
    """The same without leave to add members, of objects that say what they have."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    return {"additionalProperties": False, **found} if isinstance(schema.get("properties"), dict) else found


def complaints(schema: Any, document: Any) -> list[str]:
    return [f"{error.json_path}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(document)]


def held(name: str, document: dict[str, Any]) -> None:
    """The schema as it is published holds the document, and its definition `name` describes every member."""
    assert complaints(SCHEMA, document) == []
    if name == "history":
        for report in document["runs"]:
            kept = {member: value for member, value in report.items() if member not in {"run", "left_out"}}
            if "error" in kept:
                held("error", {member: value for member, value in kept.items() if member != "started"})
            else:
                held("run", kept)
        document = {**document, "runs": []}
    strict = {"$ref": f"#/$defs/{name}", "$defs": closed(SCHEMA["$defs"])}
    assert complaints(strict, document) == []


def filled(value: Any, way: str = "") -> Iterator[str]:
    """The ways to the lists and maps that have members."""
    for name, member in value.items():
        if member and isinstance(member, list | dict):
            yield f"{way}{name}"
            if isinstance(member, dict):
                yield from filled(member, f"{way}{name}.")


class Site:
    """A folder in which commands run, and what they said."""

    def __init__(self, capsys: Capture) -> None:
        self._capsys = capsys
        self.filled: dict[str, set[str]] = {name: set() for name in TRIED}
        self.commands: set[str] = set()

    def says(self, name: str, line: str) -> dict[str, Any]:
        """Run the command, and hold what it says against the definition `name`."""
        self._capsys.readouterr()
        code = main([*line.split(), "--json"])
        document: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert document["exit_code"] == code
        held(name, document)
        self.filled[name].update(filled(document))
        self.commands.add(document["command"])
        return document


def layout_of_two(folder: Path) -> None:
    """A second repository, of whose tags one is broken, and which grows by something for which no delta is wanted."""
    build = LayoutBuilder()
    build.tag("1.0", build.image(tar_of({"x": b"1" * 9999})))
    build.tag("1.1", build.image(tar_of({"y": b"2" * 9999})))
    broken = build.image(tar_of({"z": b"3"}))
    build.tag("2.0", broken)
    build.write(folder / "layouts/two")
    (folder / "layouts/two/blobs/sha256" / broken["digest"].partition(":")[2]).write_bytes(b"{}")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_command_with_json_is_in_it() -> None:
    with_json = {name for name, parser in COMMANDS.items() if "--json" in options_of(parser)}
    assert set(SCHEMA["properties"]["command"]["enum"]) == with_json


def test_what_every_command_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "deltapress.toml"
    config.write_text(CONFIG)
    site = Site(capsys)
    write_layout(tmp_path, range(3))
    for line in ("plan", "publish --dry-run", "publish", "publish", "list", "list team/app", "verify"):
        site.says({"list": "listing", "verify": "verification"}.get(line.split()[0], "run"), line)
    site.says("pull", "pull team/app:1.2 --from public --into oci:device:now --platform amd64 --dry-run")
    site.says("pull", "pull team/app:1.2 --from public --into oci:device:now --platform amd64")
    site.says("bundle", "bundle team/app:1.2 --from public --source 1.0 --platform amd64 update.tar")
    with serving(tmp_path / "public", bad.typed(None)) as url:
        site.says("check", f"check {url} --apply")

    config.write_text(f'{CONFIG}[[repository]]\nname = "two"\nlayout = "layouts/two"\n')
    layout_of_two(tmp_path)
    write_layout(tmp_path, range(4))
    assert site.says("run", "publish")["exit_code"] == 5
    site.says("run", "plan --what-if versions=1")
    config.write_text(CONFIG)
    site.says("run", "tag team/app:1.3 1.2")
    site.says("listing", "list team/app")
    site.says("run", "retract team/app")
    site.says("run", "publish")
    site.says("run", "retract --undo team/app")
    site.says("run", "remove team/app:1.1 --dry-run")
    site.says("run", "remove team/app:1.1")
    site.says("run", "prune --dry-run")
    site.says("run", "prune")
    site.says("run", "mirror public copy")

    public = tmp_path / "public"
    (public / "v2/team/app/tags/list").unlink()
    (public / "notes.txt").write_text("somebody else's")
    shutil.copytree(public / "v2/two", public / "v2/three")
    site.says("reconciliation", "prune --reconcile")
    site.says("verification", "verify")
    site.says("run", "publish --repair")
    write_layout(tmp_path, range(5, 6))
    for blob in (public / "v2/team/app/blobs").iterdir():
        blob.write_bytes(b"damaged" if blob.stat().st_size > 10_000 else blob.read_bytes())
    site.says("run", "publish")
    shutil.rmtree(tmp_path / "layouts")
    site.says("run", "publish")
    shutil.rmtree(public / "v2/team/app/blobs")
    site.says("run", "publish --repair --force")
    site.says("error", "remove team/nothing")
    site.says("error", "plan -c none.toml")
    (public / "_deltapress/reports/2.json").write_text("{")
    site.says("history", "history 30")

    assert site.commands == set(SCHEMA["properties"]["command"]["enum"])
    untried = {name: wanted - site.filled[name] for name, wanted in TRIED.items()}
    assert {name: ways for name, ways in untried.items() if ways} == {}


@pytest.mark.parametrize(
    "document",
    [
        {"schema": 1, "command": "verify", "exit_code": 0},
        {"schema": 2, "command": "plan", "exit_code": 2, "error": "no"},
        {"schema": 1, "command": "nothing", "exit_code": 0},
        {"schema": 1, "command": "history", "exit_code": 0, "runs": [{"run": 1}], "problems": []},
    ],
    ids=["members missing", "another schema", "no command", "no report"],
)
def test_the_schema_refuses_what_is_no_document(document: dict[str, Any]) -> None:
    assert complaints(SCHEMA, document)
