"""`mirror` as a person meets it: results, problems, exit codes."""

import json
import re
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.cli.mirror import _EXAMPLES
from pipeline.errors import ExitCode
from pipeline.keys import Key

from ..client import contents_of, deltas_of
from ..interop import s3_servers
from ..runs import ClocklessDirectory, Shop, app

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a published tree in it."""
    shop = Shop(tmp_path, ClocklessDirectory(tmp_path / "public"), repositories={"team/app": "", "other": ""})
    shop.images({f"1.{number}": app(number) for number in range(3)}, "team/app")
    shop.images({"latest": app(9)}, "other")
    shop.run()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def deltas(site: Path, folder: str) -> int:
    return len(deltas_of(contents_of(ClocklessDirectory(site / folder)), "team/app"))


def test_a_tree_and_its_mirror(site: Path, capsys: Capture) -> None:
    assert main(["mirror", "public", "copy", "--dry-run"]) == ExitCode.SUCCESS
    assert "Would write " in capsys.readouterr().out
    assert not (site / "copy").exists()
    assert main(["mirror", "public", "copy"]) == ExitCode.SUCCESS
    assert "Wrote " in capsys.readouterr().out
    assert deltas(site, "copy") == deltas(site, "public") == 2
    assert main(["mirror", "public", "copy"]) == ExitCode.SUCCESS
    assert "Nothing to write: everything is published already." in capsys.readouterr().out
    assert main(["mirror", "public", "copy", "--json", "--no-deltas", "--tag", "1.2", "--repository", "team/*"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["repositories"]) == ["team/app"]
    assert document["written"]["keys"] > 0
    assert deltas(site, "copy") == 0
    tags = contents_of(ClocklessDirectory(site / "copy"))[Key("v2/team/app/tags/list")]
    assert json.loads(tags)["tags"] == ["1.2"]


def test_a_bucket_is_filled_verified_and_pulled_from(
    site: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reached as the environment says, without a configuration."""
    for name, value in s3_servers.environment(site).items():
        monkeypatch.setenv(name, value)
    with s3_servers.moto() as storage:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{storage.port}")
        place = f"s3://{storage.bucket}/there"
        for _ in range(2):
            assert main(["mirror", "public", place]) == ExitCode.SUCCESS
        assert "Nothing to write: everything is published already." in capsys.readouterr().out
        assert main(["verify", place]) == ExitCode.SUCCESS
        pull = ["pull", "--from", place, "--platform", "amd64", "--into", "oci:device:now", "--json"]
        for tag, way in (("1.1", "whole"), ("1.2", "delta")):
            capsys.readouterr()
            assert main([*pull, f"team/app:{tag}"]) == ExitCode.SUCCESS
            assert [layer["how"] for layer in json.loads(capsys.readouterr().out)["layers"]] == [way]


def test_the_examples_of_mirror_work(site: Path) -> None:
    lines = re.findall(r"^  deltapress (mirror .*?)(?:  .*)?$", _EXAMPLES, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        assert main([word.strip("'") for word in line.split()]) == ExitCode.SUCCESS, line


def test_a_damaged_image_is_named_and_the_run_is_partly_done(site: Path, capsys: Capture) -> None:
    [layer, *_] = sorted((site / "public/v2/other/blobs").iterdir(), key=lambda file: -file.stat().st_size)
    layer.chmod(0o644)
    layer.write_bytes(b"x" * layer.stat().st_size)
    assert main(["mirror", "public", "copy"]) == ExitCode.PARTLY_DONE
    captured = capsys.readouterr()
    assert "Tag latest of repository other was left out" in captured.err
    assert layer.name in captured.err
    assert deltas(site, "copy") == 2


def test_a_configuration_without_repositories_looks_after_a_mirror(site: Path, capsys: Capture) -> None:
    assert main(["mirror", "public", "copy"]) == ExitCode.SUCCESS
    shown = capsys.readouterr().out
    assert "team/app: new tags 1.0, 1.1, 1.2\n" in shown
    assert "other: new tag latest\n" in shown
    (site / "mirror.toml").write_text('repository = []\n[target]\nurl = "copy"\n')
    assert main(["-c", "mirror.toml", "remove", "team/app:1.0"]) == ExitCode.SUCCESS
    capsys.readouterr()
    assert main(["-c", "mirror.toml", "list", "team/app"]) == ExitCode.SUCCESS
    assert "team/app: 2 tags" in capsys.readouterr().out
    assert main(["-c", "mirror.toml", "prune"]) == ExitCode.SUCCESS


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["public", "public"], ExitCode.BAD_CONFIGURATION, "is the source and the target"),
        (["public", "https://registry.invalid"], ExitCode.BAD_CONFIGURATION, "is of an unknown kind"),
        (["nowhere", "copy"], ExitCode.TARGET_FAILED, "a registry begins with https://"),
        (["public", "copy", "--repository", "typo"], ExitCode.BAD_INPUT, "public shows no v2/typo/tags/list; correct"),
        (["public", "copy", "--repository", "typo*"], ExitCode.BAD_CONFIGURATION, "shows no repository that is chosen"),
    ],
)
def test_what_cannot_be_mirrored(
    arguments: list[str], code: ExitCode, problem: str, site: Path, capsys: Capture
) -> None:
    assert main(["mirror", *arguments]) == code
    assert problem in capsys.readouterr().err
    assert not (site / "copy/v2").exists(), "no tree that shows nothing"


def test_what_was_left_alone_is_said_once_and_nothing_else(site: Path, capsys: Capture) -> None:
    assert main(["mirror", "public", "copy"]) == ExitCode.SUCCESS
    capsys.readouterr()
    for option, said in (
        ("--dry-run", "Nothing would be written.\n"),
        ("--json", None),
        ("--wait=1", "Nothing was written.\n"),
    ):
        assert main(["mirror", "copy", "public", option]) == ExitCode.BAD_INPUT
        out, err = capsys.readouterr()
        assert said in {None, out}
        assert err.splitlines() == [
            "deltapress: other is published here from a layout; mirror it into another target",
            "  Repository other was not mirrored.",
            "deltapress: team/app is published here from a layout; mirror it into another target",
            "  Repository team/app was not mirrored.",
        ]


@pytest.mark.parametrize(
    ("option", "text", "problem"),
    [
        ("--platform", "arm", "is no platform; write OS/ARCH"),
        ("--repository", "", "repository name '' is not allowed"),
        ("--repository", "../public", "repository name '../public' is not allowed"),
    ],
)
def test_what_names_nothing_is_a_usage_error(option: str, text: str, problem: str, site: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["mirror", "public", "copy", "--tag", "1.*", option, text])
    assert raised.value.code == ExitCode.BAD_CONFIGURATION
    assert problem in capsys.readouterr().err
    assert not (site / "copy").exists()
