"""`publish`, `plan`, `prune`, `remove`, `verify` as a person meets them: results, problems, exit codes."""

import gzip
import json
import random
import re
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.cli.retract import _EXAMPLES
from pipeline.errors import ExitCode
from tests.layouts.builder import LayoutBuilder, tar_of

Capture = pytest.CaptureFixture[str]

CONFIG = """
[target]
url = "public"
[policy]
versions = 2
grace = "0s"
keep = 3
[[repository]]
name = "team/app"
layout = "layouts/app"
"""
BROKEN = """
[[repository]]
name = "team/broken"
layout = "layouts/broken"
"""


def write_layout(folder: Path, versions: range) -> None:
    content = random.Random(0).randbytes(50_000)
    build = LayoutBuilder()
    for version in versions:
        build.tag(f"1.{version}", build.image(tar_of({"app": content, "version": b"%03d" % version})))
    build.write(folder / "layouts/app")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a configuration, and a layout with three versions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deltapress.toml").write_text(CONFIG)
    write_layout(tmp_path, range(3))
    return tmp_path


def tree(folder: Path) -> dict[str, int]:
    """The files and links below a folder, and when each was written, but for the lock and the reports of runs."""
    files = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {
        str(path): path.lstat().st_mtime_ns for path in files if path.name != "lock" and path.parent.name != "reports"
    }


def as_json(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["exit_code"] == code
    return code, document


def test_a_page_that_was_there_before_is_named_and_left(site: Path, capsys: Capture) -> None:
    page = site / "public/index.html"
    page.parent.mkdir()
    page.write_text("ours")
    assert main(["plan"]) == ExitCode.SUCCESS
    assert "publish would refuse this: index.html: is in the target already" in capsys.readouterr().out
    assert main(["publish"]) == ExitCode.BAD_CONFIGURATION
    problem = capsys.readouterr().err.splitlines()[-1]
    assert problem == (
        "deltapress: index.html: is in the target already, and not ours; nothing was written. Move it away, set "
        "`pages = false` in [site] to keep your own index.html, or let `publish --adopt` overwrite it (target "
        f"{site}/public)"
    )
    assert page.read_text() == "ours"
    assert main(["publish", "--adopt"]) == ExitCode.SUCCESS
    assert page.read_text() != "ours"


def test_a_first_run_and_one_with_nothing_new(site: Path, capsys: Capture) -> None:
    assert main(["publish"]) == ExitCode.SUCCESS
    first = capsys.readouterr()
    assert "  deltas   2 made, " in first.out
    assert "1.1 → 1.2" in first.out
    assert "deltapress:" not in first.err
    before = tree(site / "public")
    assert main(["publish"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out.startswith("Nothing to write: everything is published already. (")
    assert tree(site / "public") == before


def test_json_says_what_was_done(site: Path, capsys: Capture) -> None:
    code, document = as_json(capsys, "publish")
    assert code == ExitCode.SUCCESS
    assert document["dry_run"] is False
    assert document["repositories"] == {"team/app": {"problem": None}}
    # pages and lists are written before the deltas and again behind them
    assert document["written"]["keys"] == len(
        [path for path in tree(site / "public") if "/_deltapress/ledger" not in path]
    )
    made = document["deltas"]["made"]
    assert len(made) == 2
    assert document["deltas"]["failed"] == []
    for delta in made:
        assert (site / "public/v2/team/app/blobs" / delta["digest"]).stat().st_size == delta["size"]
    assert [saving["source_tags"] for saving in document["savings"]] == [["1.1"], ["1.0"]]
    assert all(0 < saving["with_deltas"] < saving["whole"] // 10 for saving in document["savings"])


@pytest.mark.parametrize("arguments", [["plan"], ["publish", "--dry-run"], ["publish", "-n"]], ids=" ".join)
def test_a_plan_writes_nothing(arguments: list[str], site: Path, capsys: Capture) -> None:
    assert main(arguments) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert "Would make 2 deltas; 2 are wanted:" in shown
    assert "Would write" in shown
    assert not (site / "public").exists()


def test_a_plan_tells_what_is_there(site: Path, capsys: Capture) -> None:
    main(["publish"])
    _, document = as_json(capsys, "plan")
    assert document["dry_run"] is True
    assert document["writes"] == []
    assert document["deltas"]["planned"] == []
    main(["plan"])
    assert "have, " in capsys.readouterr().out


def test_a_plan_tells_which_key_wants_a_delta_and_what_it_takes(site: Path, capsys: Capture) -> None:
    _, document = as_json(capsys, "plan")
    assert {(tuple(want["rules"]), want["size"]) for want in document["deltas"]["wanted"]} == {(("versions",), None)}
    main(["publish"])
    (site / "deltapress.toml").write_text(CONFIG.replace("versions = 2", 'versions = 2\nmax_deltas = "1B"'))
    capsys.readouterr()
    main(["plan"])
    assert len(re.findall(r"versions .* skip: max_deltas has no room for [1-9]", capsys.readouterr().out)) == 2
    _, document = as_json(capsys, "plan")
    assert all(want["over_budget"] and want["size"] > 1 for want in document["deltas"]["wanted"])


def test_a_plan_estimates_another_policy(site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(CONFIG.replace("versions = 2", "versions = 1"))
    main(["publish"])
    capsys.readouterr()
    assert main(["plan", "--what-if", "versions=2"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert "With versions=2, estimated:\n  1 delta more, for 1 update: " in shown
    assert "1 of the sizes are guesses from at most 1 delta of the same series" in shown
    _, document = as_json(capsys, "plan", "--what-if", "versions=0")
    assert (document["what_if"]["more"]["number"], document["what_if"]["fewer"]["number"]) == (0, 1)
    assert main(["plan", "--what-if", "versions=9"]) == ExitCode.BAD_CONFIGURATION


def test_pulls_are_counted_in_logs(site: Path, capsys: Capture) -> None:
    main(["publish"])
    _, listed = as_json(capsys, "plan")
    old, new = (listed["deltas"]["wanted"][-1][end] for end in ("source", "target"))
    line = '192.0.2.7 - - [05/Jan/2096:12:00:01 +0000] "GET /v2/team/app/manifests/%s HTTP/1.1" 200 1432 "-" "-"\n'
    (site / "access.log").write_text(line % old * 3 + line % new + "noise\n")
    (site / "access.log.1.gz").write_bytes(gzip.compress((line % old).encode()))
    assert main(["demand", "access.log", "access.log.1.gz", "--output", "demand.json"]) == ExitCode.SUCCESS
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("5 pulls of published images, from 2096-01-05 to 2096-01-05; 0 requests")
    pulls = json.loads((site / "demand.json").read_text())["pulls"]["team/app"]
    assert pulls[old] == 4
    assert new not in pulls
    assert list(pulls.values()).count(0) == 1
    (site / "deltapress.toml").write_text(CONFIG.replace("versions = 2", 'versions = 2\ndemand = "demand.json"'))
    _, document = as_json(capsys, "plan")
    assert {(want["source"], *want["rules"]) for want in document["deltas"]["wanted"]} == {(old, "demand")}
    (site / "access.log").unlink()
    assert main(["demand", "access.log"]) == ExitCode.BAD_INPUT
    (site / "access.log.1.gz").write_bytes(gzip.compress(b"x" * 999)[:-9])
    assert main(["demand", "access.log.1.gz"]) == ExitCode.BAD_INPUT


def test_what_no_client_gains_by_is_told(site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(CONFIG.replace("versions = 2", "versions = 2\nmax_ratio = 0.000001"))
    main(["publish"])
    assert re.search("^  deltas   2 refused: .* more than the policy allows ", capsys.readouterr().out, re.MULTILINE)
    main(["plan"])
    assert "skip: " in capsys.readouterr().out


def test_a_tag_is_removed_and_put_back(site: Path, capsys: Capture) -> None:
    main(["publish"])
    before = tree(site / "public")
    assert main(["remove", "team/app:1.2", "--dry-run"]) == ExitCode.SUCCESS
    assert "the tag 1.2 is published no longer" in capsys.readouterr().out
    assert tree(site / "public") == before
    code, document = as_json(capsys, "remove", "team/app:1.2")
    assert code == ExitCode.SUCCESS
    assert document["notes"][0] == "team/app: the tag 1.2 is published no longer"
    tags = site / "public/v2/team/app/tags/list"
    assert json.loads(tags.read_bytes())["tags"] == ["1.0", "1.1"]
    main(["publish", "--no-prune"])
    assert "`deltapress remove --undo team/app:1.2` takes that back" in capsys.readouterr().out
    assert json.loads(tags.read_bytes())["tags"] == ["1.0", "1.1"]
    assert main(["remove", "--undo", "team/app:1.2"]) == ExitCode.SUCCESS
    assert json.loads(tags.read_bytes())["tags"] == ["1.0", "1.1", "1.2"]


def test_deltas_are_retracted_and_listed_again(site: Path, capsys: Capture) -> None:
    main(["publish"])
    listing = site / "public/v2/team/app/manifests/_deltaindex"
    before, listed = tree(site / "public"), listing.read_bytes()
    assert main(["retract", "--all", "--dry-run"]) == ExitCode.SUCCESS
    assert "2 deltas are neither listed nor made" in capsys.readouterr().out
    assert tree(site / "public") == before
    code, document = as_json(capsys, "retract", "team/app", "--source", "1.1")
    assert code == ExitCode.SUCCESS
    [(name, count)] = document["deltas"]["retracted"].items()
    assert name.startswith("team/app --source sha256:")
    assert count == 1
    assert as_json(capsys, "plan")[1]["deltas"]["retracted"] == {name: 1}
    main(["publish"])
    assert "1 delta is neither listed nor made, since 20" in capsys.readouterr().out
    assert main(["retract", "--undo", *name.split(" ")]) == ExitCode.SUCCESS
    assert listing.read_bytes() == listed


def test_the_examples_of_retract_work(site: Path) -> None:
    main(["publish"])
    lines = re.findall(r"^  deltapress (.*?)(?:  .*)?$", _EXAMPLES, re.MULTILINE)
    assert len(lines) == 5
    for line in lines:
        assert main(line.split()) == ExitCode.SUCCESS, line


@pytest.mark.parametrize("arguments", [[], ["--all", "team/app"], ["--source", "1.1"], ["team/app:1.0"], ["Team"]])
def test_what_names_no_deltas_is_told_in_a_line(arguments: list[str], site: Path, capsys: Capture) -> None:
    main(["publish"])
    capsys.readouterr()
    assert main(["retract", *arguments]) == ExitCode.BAD_CONFIGURATION
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("what", ["team/app:", "Team", "team/app@1.2", "team/app:1.9", "team/none"])
def test_what_cannot_be_removed_is_told_in_a_line(what: str, site: Path, capsys: Capture) -> None:
    main(["publish"])
    capsys.readouterr()
    assert main(["remove", what]) == ExitCode.BAD_CONFIGURATION
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_one_bad_repository_leaves_the_run_partly_done(site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(CONFIG + BROKEN)
    assert main(["publish"]) == ExitCode.PARTLY_DONE
    captured = capsys.readouterr()
    assert "  written  " in captured.out
    assert "team/broken" not in captured.out
    (line,) = [line for line in captured.err.splitlines() if line.startswith("deltapress: ")]
    assert str(site / "layouts/broken") in line
    assert "Repository team/broken was not published." in captured.err
    code, document = as_json(capsys, "publish")
    assert code == ExitCode.PARTLY_DONE
    assert str(site / "layouts/broken") in document["repositories"]["team/broken"]["problem"]


def test_nothing_but_bad_repositories_is_bad_input(site: Path, capsys: Capture) -> None:
    (site / "layouts/app/index.json").write_text("{")
    assert main(["publish"]) == ExitCode.BAD_INPUT
    assert "everything is published" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["publish", "plan", "prune", "verify"])
def test_a_bad_configuration_is_reported_whole(command: str, site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(CONFIG + 'kepp = 3\ngrace = "soon"\n')
    assert main([command]) == ExitCode.BAD_CONFIGURATION
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "repository[0].kepp" in captured.err
    assert "repository[0].grace" in captured.err
    assert not (site / "public").exists()


def test_the_command_may_run_anywhere(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "elsewhere").mkdir()
    monkeypatch.chdir(site / "elsewhere")
    assert main(["publish", "-c", "../deltapress.toml"]) == ExitCode.SUCCESS
    assert (site / "public/v2/team/app/manifests/1.2").exists()


def test_what_is_stale_goes_when_it_may(site: Path, capsys: Capture) -> None:
    main(["publish"])
    write_layout(site, range(4))
    assert main(["publish", "--no-prune"]) == ExitCode.SUCCESS
    _, document = as_json(capsys, "prune", "--dry-run")
    keys = [stone["key"] for stone in document["prune"]["remove"]]
    assert keys
    assert document["prune"]["done"] is False
    assert all((site / "public" / key).exists() for key in keys)
    main(["prune", "--dry-run"])
    assert all(key in capsys.readouterr().out for key in keys[:1])
    assert main(["prune"]) == ExitCode.SUCCESS
    assert f"Deleted {len(keys)} unreferenced files" in capsys.readouterr().out
    assert not [key for key in keys if (site / "public" / key).exists()]


def test_too_much_is_not_deleted_without_force(site: Path, capsys: Capture) -> None:
    (site / "deltapress.toml").write_text(CONFIG.replace("versions = 2", "versions = 2\nmax_delete = 0"))
    main(["publish"])
    write_layout(site, range(4))
    main(["publish", "--no-prune"])
    before = tree(site / "public")
    capsys.readouterr()
    assert main(["prune"]) == ExitCode.PARTLY_DONE
    assert "--force" in capsys.readouterr().err
    assert tree(site / "public") == before
    assert main(["prune", "--force"]) == ExitCode.SUCCESS
    assert len(tree(site / "public")) < len(before)


def test_a_target_that_cannot_be_written(site: Path, capsys: Capture) -> None:
    (site / "public").write_text("a file is in the way")
    assert main(["publish"]) == ExitCode.TARGET_FAILED
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("deltapress: ")]
    assert "public" in line


def test_any_number_of_jobs_gives_the_same_tree(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=lambda zone: datetime(2026, 1, 1, tzinfo=zone))  # the pages say when a tag moved
    monkeypatch.setattr("pipeline.cli.settings.datetime", clock)

    def content(folder: str) -> dict[str, bytes]:
        root = site / folder
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and not str(path.relative_to(root)).startswith(("_deltapress/l", "_deltapress/reports/"))
        }

    main(["publish", "--jobs=1"])
    (site / "public").rename(site / "one")
    main(["publish", "--jobs=3"])
    assert content("one") == content("public")


def test_verify_finds_nothing_wrong_with_what_publish_wrote(site: Path, capsys: Capture) -> None:
    main(["publish"])
    capsys.readouterr()
    assert main(["verify"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert "Applied 2 deltas." in shown
    assert "Nothing is wrong." in shown
    code, document = as_json(capsys, "verify")
    assert code == ExitCode.SUCCESS
    assert document["problems"] == []
    assert document["deltas"] == 2


def test_verify_names_what_is_wrong(site: Path, capsys: Capture) -> None:
    main(["publish"])
    damaged, missing = sorted((site / "public/v2/team/app/blobs").iterdir())[:2]
    damaged.write_bytes(b"")
    missing.unlink()
    capsys.readouterr()
    assert main(["verify"]) == ExitCode.VERIFICATION_FAILED
    captured = capsys.readouterr()
    assert "Nothing is wrong." not in captured.out
    for path in (damaged, missing):
        key = path.relative_to(site / "public")
        assert any(line.startswith(f"deltapress: {key}: ") for line in captured.err.splitlines())
    code, document = as_json(capsys, "verify")
    assert code == ExitCode.VERIFICATION_FAILED
    assert {str(path.relative_to(site / "public")) for path in (damaged, missing)} <= {
        problem["key"] for problem in document["problems"]
    }


def test_verify_of_nothing(site: Path, capsys: Capture) -> None:
    assert main(["verify"]) == ExitCode.VERIFICATION_FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("deltapress: public: nothing is published there; ")


def test_a_directory_is_verified_without_a_configuration(
    site: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    main(["publish"])
    (site / "empty").mkdir()
    monkeypatch.chdir(site / "empty")
    capsys.readouterr()
    assert main(["verify", "../public"]) == ExitCode.SUCCESS
    assert "Nothing is wrong." in capsys.readouterr().out
    assert main(["verify", "."]) == ExitCode.VERIFICATION_FAILED
    assert capsys.readouterr().err.splitlines()[-1] == (
        "deltapress: .: nothing is published there; name another directory or URL"
    )


def test_repair_says_line_by_line_what_it_did(site: Path, capsys: Capture) -> None:
    assert main(["publish"]) == ExitCode.SUCCESS
    (site / "public/v2/team/app/tags/list").unlink()
    blob = next((site / "public/v2/team/app/blobs").iterdir())
    blob.write_bytes(b"damaged")
    assert main(["verify"]) == ExitCode.VERIFICATION_FAILED
    named = capsys.readouterr().err
    assert "deltapress: v2/team/app/tags/list: is missing" in named
    assert f"deltapress: v2/team/app/blobs/{blob.name}: is damaged: its 7 bytes have another digest" in named
    assert main(["publish"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out.startswith("Nothing to write")
    assert main(["publish", "--repair"]) == ExitCode.SUCCESS
    out = capsys.readouterr().out
    assert "v2/team/app/tags/list: is missing, and the ledger says that it was written; written again" in out
    assert f"blobs/{blob.name}: is damaged: it has 7 bytes" in out
    assert main(["verify"]) == ExitCode.SUCCESS
    code, document = as_json(capsys, "publish", "--repair")
    assert (code, document["repairs"], document["lost"]) == (ExitCode.SUCCESS, [], [])


def test_reconcile_names_what_is_unknown_and_deletes_it_with_force(site: Path, capsys: Capture) -> None:
    assert main(["publish"]) == ExitCode.SUCCESS
    for path in ("public/robots.txt", "public/v2/gone/manifests/latest"):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text("?")
    assert main(["prune", "--reconcile"]) == ExitCode.SUCCESS
    out = capsys.readouterr().out
    assert "  robots.txt  somebody else's, left as it is\n" in out
    assert "  v2/gone/manifests/latest  unknown, looks like a published file\n" in out
    code, document = as_json(capsys, "prune", "--reconcile", "--force")
    assert (code, document["deleted"], document["stray"]) == (ExitCode.SUCCESS, True, ["v2/gone/manifests/latest"])
    assert not (site / "public/v2/gone").exists()
    assert (site / "public/robots.txt").exists()
    (site / "public/index.html").unlink()
    assert main(["prune", "--reconcile"]) == ExitCode.VERIFICATION_FAILED
    assert "index.html: is missing" in capsys.readouterr().err


def test_what_is_published_is_listed(site: Path, capsys: Capture) -> None:
    assert main(["list"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out == "Nothing is published.\n"
    main(["publish"])
    capsys.readouterr()
    assert main(["list"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out.split()[:5] == ["team/app", "3", "tags", "3", "images"]
    assert main(["list", "team/app"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert "team/app: 3 tags, 3 images" in shown
    assert "deltas from 2 of 2 images" in shown
    code, document = as_json(capsys, "list", "team/app")
    assert code == ExitCode.SUCCESS
    [repository] = document["repositories"].values()
    assert repository["tags"].keys() == {"1.0", "1.1", "1.2"}
    assert {image["digest"] for image in repository["images"]} == {tag["image"] for tag in repository["tags"].values()}
    assert [update["deltas"] for update in repository["updates"]] == [1, 1]
    assert main(["list", "team"]) == ExitCode.BAD_CONFIGURATION
    assert capsys.readouterr().err == "deltapress: repository 'team' is not published; published: team/app\n"


def test_a_tag_is_pointed_back_from_the_command_line(site: Path, capsys: Capture) -> None:
    main(["publish"])
    capsys.readouterr()
    assert main(["tag", "team/app:1.2", "1.1"]) == ExitCode.SUCCESS
    assert capsys.readouterr().out.startswith("team/app:1.2  ")
    manifests = site / "public" / "v2" / "team" / "app" / "manifests"
    assert (manifests / "1.2").read_bytes() == (manifests / "1.1").read_bytes()
    with pytest.raises(SystemExit):
        main(["tag", "team/app", "1.1"])
    assert "'team/app' is no REPOSITORY:TAG" in capsys.readouterr().err
