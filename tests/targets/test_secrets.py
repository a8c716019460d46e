"""Credentials are shown to nobody: not by messages, tracebacks or reports, and not by what is published."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from pipeline.cli import main
from pipeline.errors import ExitCode
from pipeline.targets.base import TargetError
from pipeline.targets.s3.faults import answered
from pipeline.targets.s3.options import S3Options
from pipeline.targets.s3.target import S3Target

from ..interop.s3_servers import Storage
from ..layouts.builder import LayoutBuilder
from ..runs import app
from .faulty_proxy import Fault, FaultyProxy, faulty_proxy

# In the shapes that real ones have; each is the documentation's example or made up.
ACCESS_KEY: Final = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN: Final = "FwoGZXIvYXdzEBYaDKmadeupForThisTest+/" * 4 + "=="
PASSWORD: Final = "pa55word"
SECRETS: Final = (ACCESS_KEY, SECRET_KEY, TOKEN, PASSWORD, "Signature=", "X-Amz-Credential", "aws4_request")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def proxy(moto: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_SESSION_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    with faulty_proxy(moto.port) as running:
        yield running


@pytest.fixture
def config(moto: Storage, proxy: FaultyProxy, prefix: str, tmp_path: Path) -> Path:
    """Two versions of an image, to be published through the proxy."""
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    build.tag("1.1", build.image(app(2)))
    build.write(tmp_path / "app")
    path = tmp_path / "deltapress.toml"
    path.write_text(f"""
        [target]
        url = "s3://{moto.bucket}/{prefix}"
        [target.s3]
        addressing = "path"
        endpoint = "{proxy.endpoint}"
        read_timeout = "1s"
        attempts = 1
        [[repository]]
        name = "app"
        layout = "app"
    """)
    return path


def shown(capsys: Capture) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


def check_nothing_leaks(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


def test_a_run_shows_and_publishes_none(config: Path, moto: Storage, prefix: str, capsys: Capture) -> None:
    for command in (["plan"], ["publish"], ["publish", "--repair"], ["prune", "--reconcile"], ["verify"]):
        assert main(["-v", "-c", str(config), *command, "--json"]) == ExitCode.SUCCESS
    text = shown(capsys)
    assert text.count('"schema": 1') == 5
    check_nothing_leaks(text)
    client = moto.client()
    listed = client.list_objects_v2(Bucket=moto.bucket, Prefix=prefix)["Contents"]
    names = {entry["Key"].removeprefix(prefix) for entry in listed}
    assert {"index.html", "_deltapress/ledger.json", "v2/app/tags/list"} <= names
    for name in names:
        answer = client.get_object(Bucket=moto.bucket, Key=prefix + name)
        check_nothing_leaks(f"{name} {json.dumps(answer['Metadata'])} {answer['Body'].read().decode('latin-1')}")


@pytest.mark.parametrize("fault", ["busy", "expired", "hang", "drop", "cut", "echo", "echo-refused"])
@pytest.mark.parametrize("good", [0, 9])
def test_a_run_that_fails_shows_none(
    config: Path, proxy: FaultyProxy, fault: Fault, good: int, capsys: Capture
) -> None:
    proxy.fault = lambda request: fault if request.number > good else None
    assert main(["-v", "-c", str(config), "publish", "--json"]) == ExitCode.TARGET_FAILED
    text = shown(capsys)
    assert "Traceback" in text  # of what we raised, at least
    assert text.splitlines()[-1].startswith("deltapress: ")
    check_nothing_leaks(text)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL_S3", f"http://user:{PASSWORD}@127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_S3", f"user:{PASSWORD}@127.0.0.1"),
        ("AWS_ENDPOINT_URL", f"https://user:{PASSWORD}@a b"),
        ("HTTP_PROXY", f"http://user:{PASSWORD}@127.0.0.1:1"),
        ("HTTPS_PROXY", f"http://user:{PASSWORD}@127.0.0.1:1"),
        ("http_proxy", f"user:{PASSWORD}@127.0.0.1:1"),
    ],
)
def test_a_password_in_a_url_of_the_environment_is_not_repeated(
    config: Path, variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(variable, value)
    scheme = "https" if variable == "HTTPS_PROXY" else "http"
    lines = config.read_text().splitlines()
    endpoint = "" if variable.startswith("AWS") else f'endpoint = "{scheme}://storage.invalid"'
    config.write_text("\n".join(endpoint if line.strip().startswith("endpoint") else line for line in lines))
    assert main(["-v", "-c", str(config), "publish"]) == ExitCode.TARGET_FAILED
    text = shown(capsys)
    assert "endpoint" in text
    check_nothing_leaks(text)


@pytest.mark.parametrize(
    "table",
    [
        f'[target]\nurl = "s3://{ACCESS_KEY}:{PASSWORD}@bucket"',
        f'[target]\nurl = "https://user:{PASSWORD}@host/bucket"',
        f'[target]\nurl = "s3://bucket"\n[target.s3]\nendpoint = "https://user:{PASSWORD}@host"',
        f'[target]\nurl = "s3://bucket"\n[target.s3]\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"',
    ],
    ids=["bucket", "other-scheme", "endpoint", "unknown-keys"],
)
def test_a_secret_in_the_configuration_is_refused_and_not_repeated(table: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "deltapress.toml"
    path.write_text(f'{table}\n[[repository]]\nname = "app"\nlayout = "app"\n')
    assert main(["-v", "-c", str(path), "publish"]) == ExitCode.BAD_CONFIGURATION
    check_nothing_leaks(shown(capsys))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"The token {TOKEN} is bad", "The token … is bad"),
        (f"Credential={ACCESS_KEY}/20260101/us-east-1/s3/aws4_request, Signature={'0f' * 32}", "…, …"),
        ("Missing Content-MD5", "Missing Content-MD5"),
        ("Your proposed upload is smaller than the minimum", "Your proposed upload is smaller than the minimum"),
    ],
)
def test_what_a_server_says_is_kept_but_for_what_could_be_a_secret(message: str, expected: str) -> None:
    error = answered("InvalidRequest", 400, message, key="a", url="s3://bucket")
    assert str(error) == f"a: the server answered 400 InvalidRequest: {expected} (target s3://bucket)"


def test_what_the_network_said_is_told(moto: Storage) -> None:
    target = S3Target("bucket", "", S3Options(endpoint="http://127.0.0.1:1", region="us-east-1", attempts=1))
    with pytest.raises(TargetError, match=r"\(EndpointConnection: Connection refused; no retry helped\)"):
        list(target.keys())


def test_a_traceback_holds_no_foreign_error(moto: Storage) -> None:
    target = S3Target("missing-bucket", "", moto.options())
    with pytest.raises(TargetError) as caught:
        list(target.keys())
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
