"""`deltapress pull` as a command: its options, its results, its exit codes."""

import json
import re
import ssl
from pathlib import Path

import pytest

from pipeline.cli import bundle, main
from pipeline.cli import pull as command
from pipeline.client.outcome import LayerOutcome, PullOutcome
from pipeline.oci.descriptor import Platform
from pipeline.oci.digest import DiffID, Digest
from pipeline.report import pull_json, pull_text
from pipeline.targets.directory import DirectoryTarget

from ..conftest import require_tool
from ..runs import Shop, app
from ..targets.http.registry import Registry, make_certificates, running

DIGEST = Digest.of(b"")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"))
    shop.images({f"{number}.0": (app(number),) for number in range(2)})
    shop.run()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "public"


def pull(image: str, *more: str) -> int:
    return main(["pull", image, "--platform", "amd64", "--from", "public", *more])


def test_what_is_new_is_said(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull("app:0.0", "--into", "oci:device:now") == 0
    told = capsys.readouterr().out
    assert "whole" in told
    assert re.search(r"\): downloaded [0-9.]+ K?i?B\n$", told)
    assert pull("app:1.0", "--into", "oci:device:now", "--dry-run") == 0
    told = capsys.readouterr().out
    assert re.search(r"\): would download [0-9.]+ K?i?B instead of [0-9.]+ K?i?B, [0-9.]+ % less\n$", told)
    assert pull("app:1.0", "--into", "oci:device:now", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["changed"], [layer["how"] for layer in found["layers"]]) == (True, ["delta"])
    assert found["downloaded"] < found["whole"]
    assert pull("app:1.0", "--into", "oci:device:now") == 0
    assert "app:1.0 is up to date" in capsys.readouterr().out


def outcome_with(layer: LayerOutcome) -> PullOutcome:
    return PullOutcome(
        name="app:1",
        into="oci:x",
        platform=Platform(os="linux", architecture="amd64"),
        root=DIGEST,
        manifest=DIGEST,
        config=DIGEST,
        is_changed=True,
        layers=(layer,),
    )


def test_more_than_the_whole_is_not_called_less() -> None:
    """A delta came in vain, and then the whole layer."""
    layer = LayerOutcome(digest=DIGEST, diff_id=DiffID.of(b""), size=1000, way="whole", bytes=1300)
    assert pull_text(outcome_with(layer)).endswith("): downloaded 1.27 KiB instead of 0.98 KiB")


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (f"docker {DIGEST}", f"docker {DIGEST.short}"),
        (f"podman {DIGEST.hex}", f"podman {DIGEST.hex[:12]}…"),
        (f"containerd host/app@{DIGEST}", f"containerd host/app@{DIGEST.short}"),
        ("app:deadbeefdeadbeefdeadbeef", "app:deadbeefdeadbeefdeadbeef"),
    ],
)
def test_the_digest_of_a_source_is_short_for_people_and_whole_for_programs(source: str, shown: str) -> None:
    layer = LayerOutcome(digest=DIGEST, diff_id=DiffID.of(b""), size=9, way="delta", bytes=1, source=source)
    outcome = outcome_with(layer)
    assert f"  delta from {shown}  " in pull_text(outcome)
    assert pull_json(outcome)["layers"][0]["source"] == source


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["app:9", "--into", "oci:device"], 4, "public has no image app:9"),
        (["app:1.0", "--into", "oci:device", "--root", "."], 2, "--root and --source belong together"),
        (["app:1.0", "--into", "docker", "--unpack", "x"], 2, "--unpack needs a layout"),
        (["app:1.0", "--into", "oci:device", "--unpack", "/"], 2, "--unpack /: another folder cannot take its place"),
        (["app:1.0", "--into", "oci:device", "--unpack", "x/.."], 2, "another folder cannot take its place"),
        (["app:1.0", "--into", "docker"], 2, "docker pulls by the whole name in the end"),
        (["app:1.0", "--into", "oci:device", "--platform", "s390x"], 4, "cannot"),
    ],
    ids=["unknown", "root", "unpack", "unpack /", "unpack ..", "host", "read-only"],
)
def test_what_is_wrong_is_said(
    tree: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    if said == "cannot":
        Path("device").write_text("no folder")
    assert pull(*arguments) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["App", "--into", "oci:x"], "is not allowed"),
        (["app", "--into", "dir:x"], "write oci:DIRECTORY, oci:DIRECTORY:TAG or one of docker, podman, containerd"),
        (["app", "--into", "oci:x:-"], "'-' is no tag"),
        (["app", "--into", "oci:x", "--source", "1"], "'1' is not a digest"),
        (["app", "--into", "oci:x", "--platform", "a/b/c/d"], "is no platform"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["pull", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_bundle_is_written_and_pulled(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = ["bundle", "app:1.0", "--platform", "amd64", "--from", "public"]
    assert pull("app:0.0", "--into", "oci:device:now") == 0
    capsys.readouterr()
    assert main([*bundle, "--source", "0.0", "update.tar", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [artifact["source"] for artifact in found["artifacts"]] == ["0.0"]
    assert main(["pull", "app:1.0", "--platform", "amd64", "--from", "update.tar", "--into", "oci:device:now"]) == 0
    assert "delta from app:0.0" in capsys.readouterr().out
    assert main(["pull", "update.tar", "--platform", "amd64", "--into", "oci:device:now"]) == 0
    assert "app:1.0 is up to date" in capsys.readouterr().out
    assert main(["pull", "update.tar", "--from", "public", "--into", "oci:device:now"]) == 2
    assert "update.tar is a bundle; --from needs the name of an image" in capsys.readouterr().err
    assert main([*bundle, "--source", "1.0", "other.tar"]) == 3
    assert "no artifact of oci-delta leads there from 1.0" in capsys.readouterr().err
    assert not Path("other.tar").exists()
    with pytest.raises(SystemExit):
        main([*bundle, "--source", "?", "other.tar"])
    assert "'?' is neither a digest nor a tag" in capsys.readouterr().err


def test_the_examples_run_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_tool("openssl")
    monkeypatch.chdir(tmp_path)
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"), repositories={"team/app": ""}, policy="versions = 3")
    shop.images({name: (app(number),) for number, name in enumerate(("1.8", "1.9", "2.0"))}, "team/app")
    shop.run()
    manifests = tmp_path / "public/v2/team/app/manifests"
    (manifests / "latest").write_bytes((manifests / "2.0").read_bytes())
    make_certificates(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls/server.crt", tmp_path / "tls/server.key")
    lines = re.findall("^  deltapress (.*)$", bundle._EPILOG + command._EPILOG, re.MULTILINE)
    ours = [line for line in lines if not line.endswith("--into podman")]  # which has tests of its own
    assert (len(lines), len(ours)) == (8, 7)
    with (
        running(Registry(root=tmp_path / "public"), context) as registry,
        running(Registry(root=tmp_path / "public", prefix="/public/"), context) as mirror,
    ):
        # a device first has an old image, and a bundle must be there before it is pulled
        for line in sorted(ours, key=lambda line: (".tar --into" in line, line.startswith("bundle"))):
            for example, real in {
                "registry.example.org": registry.host,
                "https://mirror.example.org/public": mirror.url,
                "/var/lib/app": str(tmp_path / "layout"),
                "/media/stick/app.tar": "update.tar",
                "/media/stick/apps.tar": "update.tar",
            }.items():
                line = line.replace(example, real)
            assert main([*line.split(), "--platform", "amd64", "--ca", "tls/ca.crt"]) == 0, line
        assert main(["pull", f"{registry.host}/team/app:2.0", "--into", "oci:layout"]) == 4  # without the authority
