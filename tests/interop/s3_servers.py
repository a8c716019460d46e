"""S3 servers for the tests, each in a private directory on free ports of the loopback, ended by its own process id.

Rule 1. SeaweedFS is the real one: it enforces conditions, policies and checksums. JuiceFS's gateway is real too, and
        ignores conditions. moto is a mock that authorises nobody.
Rule 2. The credentials are made up, and reach the code under test as a user's do: through the environment.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from pipeline.targets.s3.options import S3Options

from ..conftest import require_tool

ACCESS_KEY: Final = "deltapress-tests"
SECRET_KEY: Final = "made-up-for-these-tests"
_START_LIMIT: Final = 60  # seconds until a server must answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A running server with one empty bucket. `registry` is the `host:port` at which clients find the bucket's root."""

    port: int
    bucket: str
    registry: str | None = None

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.port}"

    def options(self, **changes: Any) -> S3Options:
        """Such that a test ends soon where something hangs."""
        known: dict[str, Any] = {"endpoint": self.endpoint, "addressing": "path", "read_timeout": 20, "attempts": 3}
        return S3Options(**(known | changes))

    def client(self) -> Any:
        """boto3's own, for what somebody else does to the bucket."""
        # a session of its own: the shared one would keep the credentials that another test has set
        return boto3.session.Session().client("s3", endpoint_url=self.endpoint)


def environment(folder: Path) -> dict[str, str]:
    """What boto3 reads: our made-up credentials, and nothing of the user's."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(folder / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "localhost,127.0.0.1",
    }


@contextmanager
def seaweedfs() -> Iterator[Storage]:
    """Everybody may read. The bucket is called 127 and the server's domain 0.0.1: so 127.0.0.1 is the bucket's virtual
    host, and no name must be resolved. The publisher says `localhost`, which is the server itself."""
    identities = [
        {"name": "anonymous", "actions": ["Read"]},
        {
            "name": "publisher",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        },
    ]
    with _folder() as folder:
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))
        (folder / "data").mkdir()
        master, volume, filer, port = _ports(4, also=10_000)  # gRPC is spoken on port + 10,000
        command = [_program("weed"), "mini", f"-dir={folder}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={port}"]
        command += [f"-s3.config={folder}/s3.json", "-s3.domainName=0.0.1", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        command += ["-admin.ui=false", "-webdav=false", "-master.telemetry=false"]
        with _running(command, folder, port, bucket="127"):
            yield Storage(port=port, bucket="127", registry=f"127.0.0.1:{port}")


@contextmanager
def juicefs() -> Iterator[Storage]:
    """It ignores conditional writes."""
    with _folder() as folder:
        (port,) = _ports(1)
        program, database = _program("juicefs"), f"sqlite3://{folder}/meta.db"
        layout = [program, "format", "--storage", "file", "--bucket", f"{folder}/data/", database, "files"]
        subprocess.run(layout, env=_variables(folder), capture_output=True, check=True, timeout=_START_LIMIT)
        command = [program, "gateway", "--no-usage-report", "--multi-buckets", "--object-meta", "--keep-etag"]
        command += ["--backup-meta", "0", "--cache-dir", f"{folder}/cache", database, f"127.0.0.1:{port}"]
        with _running(command, folder, port, bucket="tree"):
            yield Storage(port=port, bucket="tree")


@contextmanager
def moto() -> Iterator[Storage]:
    with _folder() as folder:
        (port,) = _ports(1)
        with _running([_program("moto_server"), "-H", "127.0.0.1", "-p", str(port)], folder, port, bucket="tree"):
            yield Storage(port=port, bucket="tree")


ALL: Final[Mapping[str, Callable[[], AbstractContextManager[Storage]]]] = {
    "seaweedfs": seaweedfs,
    "juicefs": juicefs,
    "moto": moto,
}


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)  # the wheels put it there, and the environment may not be active
    return str(beside) if beside.exists() else require_tool(name)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="deltapress-s3-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _ports(count: int, *, also: int = 0) -> list[int]:
    """Ports that are free, and free `also` so much higher."""
    found: list[int] = []
    with ExitStack() as bound:
        while len(found) < count:
            port = bound.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            if port + also > 65_535:
                port -= also
                try:
                    bound.enter_context(socket.create_server(("127.0.0.1", port)))
                except OSError:
                    continue
            elif also:
                try:
                    bound.enter_context(socket.create_server(("127.0.0.1", port + also)))
                except OSError:
                    continue
            found.append(port)
    return found


def _variables(folder: Path) -> dict[str, str]:
    # the last two are how JuiceFS is told its credentials
    keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **keys}


@contextmanager
def _running(command: list[str], folder: Path, port: int, *, bucket: str) -> Iterator[None]:
    output = folder / "output"
    with output.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_variables(folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _await(process, port, output)
        _create(bucket, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError as error:
            error.close()
            return  # it answers, and refuses us
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{process.args!r} does not answer:\n{output.read_text('utf-8', 'replace')}")


def _create(bucket: str, port: int) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=f"http://localhost:{port}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    deadline = time.monotonic() + _START_LIMIT
    while True:
        try:
            client.create_bucket(Bucket=bucket)
        except client.exceptions.ClientError:  # up, and not ready yet
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
