"""`deltapress check`: exit codes, text that fits a terminal, the documented JSON, and examples that run."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.check.clients import CLIENTS
from pipeline.check.rules import Rule
from pipeline.cli import main
from pipeline.cli.check import _EPILOG
from pipeline.errors import ExitCode

from ..check import misbehaving as bad
from ..check.misbehaving import serving
from ..check.trees import INDEXED, published

Capture = pytest.CaptureFixture[str]
EVIL: Final = "text/\x9b31m\u202e" + "x" * 5000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("tree"))


def test_the_examples_run(tree: Path, capsys: Capture) -> None:
    lines = re.findall(r"^  deltapress (.*)$", _EPILOG, re.MULTILINE)
    assert len(lines) == 3
    with serving(tree) as url:
        for line in lines:
            assert main(re.sub(r"https?://[a-z0-9.:]+", url, line).split()) == ExitCode.SUCCESS, line
            assert url in capsys.readouterr().out


def test_a_host_that_passes(tree: Path, capsys: Capture) -> None:
    with serving(tree) as url:
        assert main(["check", url, "--repository", INDEXED, "--apply"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert re.search("^Applied [0-9]+ deltas to the old layers", shown, re.MULTILINE)
    assert shown.count("  pass\n") == len(CLIENTS)
    assert "Nothing is wrong." in shown


def test_a_host_that_fails_is_told_what_to_change_in_100_columns(tree: Path, capsys: Capture) -> None:
    with serving(tree, bad.typed(None)) as url:
        assert main(["check", url]) == ExitCode.VERIFICATION_FAILED
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 100
    assert re.search(r"^  docker +fail  manifest-type, index-type$", shown, re.MULTILINE)
    assert re.search(r"^  flatpak +fail  manifest-type-alone$", shown, re.MULTILINE)
    assert re.search(r"^manifest-type: fails podman", shown, re.MULTILINE)
    assert "here:    /v2/" in shown
    assert shown.count("change:  please report it") == 1
    assert "change:  as for manifest-type" in shown


def test_each_client_is_told_how_to_use_plain_http(tree: Path, capsys: Capture) -> None:
    with serving(tree) as url:
        assert main(["check", url.replace("127.0.0.1", "0.0.0.0")]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert all(client.insecure.split(",")[0] in shown for client in CLIENTS)


@pytest.mark.parametrize("option", ["", "--apply"])
def test_the_json_is_what_the_readme_says(option: str, tree: Path, capsys: Capture) -> None:
    with serving(tree, bad.refused(403, bad.is_referrers)) as url:
        assert main(["check", url, "--json", *option.split()]) == ExitCode.VERIFICATION_FAILED
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["exit_code"] == 6
    assert found["url"] == url
    assert found["server"]["kind"] == "deltapress serve"
    assert found["server"]["header"].startswith("Werkzeug")
    assert INDEXED in found["repositories"]
    assert found["requests"] > 100
    assert found["bytes"] > 10_000
    assert found["left_out"] == [f"{INDEXED}: 8 of 9 blobs were looked at"]
    assert (found["deltas_applied"] is None) == (option == "")
    clients = {client["name"]: client for client in found["clients"]}
    assert list(clients) == [client.name for client in CLIENTS]
    assert clients["docker"] == {"name": "docker", "verdict": "pass", "fails": [], "warns": []}
    assert clients["oras"]["verdict"] == "fail"
    assert clients["oras"]["fails"] == ["referrers-denied"]
    assert clients["oras"]["warns"] == ["referrers-unknown-denied"]
    rules = {rule["rule"]: rule for rule in found["rules"]}
    assert rules.keys() == {"referrers-denied", "referrers-unknown-denied"}
    assert rules["referrers-denied"]["fails"] == ["crane", "oras", "flightctl"]
    assert rules["referrers-denied"]["warns"] == []
    need = Rule.REFERRERS_DENIED.value
    assert [rules["referrers-denied"][name] for name in ("needs", "why", "source")] == [
        need.needs,
        need.why,
        need.source,
    ]
    assert rules["referrers-denied"]["change"]
    assert rules["referrers-denied"]["seen"][0].keys() == {"path", "detail"}


def test_what_a_host_says_moves_no_cursor(tree: Path, capsys: Capture) -> None:
    defect = bad.header("Content-Type", EVIL.encode().decode("latin-1"), bad.is_manifest)
    for option in ([], ["--json"]):
        with serving(tree, defect) as url:
            assert main(["check", url, *option]) == ExitCode.VERIFICATION_FAILED
        shown = capsys.readouterr().out
        assert all(char.isprintable() or char == "\n" for char in shown)
        if not option:
            assert max(map(len, shown.splitlines())) <= 100


@pytest.mark.parametrize(
    "arguments",
    [
        ["registry.example.org"],
        ["https://registry.example.org/v2/"],
        ["https://registry.example.org", "--repository", "No/Name"],
        ["https://registry.example.org", "--repository", "../etc"],
        [],
    ],
)
def test_a_bad_command_line(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    assert ended.value.code == ExitCode.BAD_CONFIGURATION
    assert "deltapress check: error:" in capsys.readouterr().err


def test_a_repository_that_is_not_there(tree: Path, capsys: Capture) -> None:
    with serving(tree) as url:
        assert main(["check", url, "--repository", "none"]) == ExitCode.VERIFICATION_FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "/v2/none/tags/list: answers 404 application/json and leads to no image" in captured.err


def test_a_repository_that_does_not_list_its_tags_is_found_by_the_usual_one(tree: Path, capsys: Capture) -> None:
    with serving(tree, bad.refused(403, lambda request: request.path.endswith("/tags/list"))) as url:
        assert main(["check", url]) == ExitCode.VERIFICATION_FAILED
    shown = capsys.readouterr().out
    assert "team/app: no tag could be found, so no image of it was looked at" in shown
    assert "org.example.hello: no tag" not in shown
