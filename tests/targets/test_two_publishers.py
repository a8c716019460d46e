"""Two real commands on one target at once: one publishes, the other leaves with one line, or waits."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import ExitCode
from pipeline.keys import Headers, Key
from pipeline.targets.base import LOCK_KEY, Target
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.s3.target import S3Target

from ..cli.command import start
from ..client import Client, contents_of, problems
from ..interop import s3_servers
from ..interop.s3_servers import Storage
from ..layouts.builder import LayoutBuilder, tar_of
from .test_s3_faults import headers_of

_NOISE = random.Random(3).randbytes(200_000)
_STEP = 0.01  # seconds: a lock is held for longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the commands run. `is_held` asks the storage whether somebody has the lock."""

    folder: Path
    url: str
    table: str
    variables: dict[str, str]
    target: Callable[[], Target]
    headers: Callable[[Iterable[Key]], dict[Key, Headers] | None]
    is_held: Callable[[], bool]

    def configure(self, name: str, versions: int = 4) -> str:
        """A configuration that publishes one repository, `name`; what it is called."""
        build = LayoutBuilder()
        for version in range(versions):
            tar = tar_of({"data": _NOISE, "name": name.encode(), "version": b"%d" % version})
            build.tag(f"1.{version}", build.image(tar))
        build.write(self.folder / name)
        text = f'[target]\nurl = "{self.url}"\n{self.table}\n[[repository]]\nname = "{name}"\nlayout = "{name}"\n'
        (self.folder / f"{name}.toml").write_text(text)
        return f"{name}.toml"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return start(*arguments, cwd=self.folder, **self.variables)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Its exit code, output and messages."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def check(self, **tags: int) -> None:
        """Readers stumble over nothing, and find so many tags in each repository."""
        contents = contents_of(self.target())
        assert problems(contents, self.headers(contents), at_rest=True) == []
        assert {name: len(Client(contents).tags(name)) for name in tags} == tags


@pytest.fixture(params=["directory", "moto", pytest.param("seaweedfs", marks=pytest.mark.interop)])
def site(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Site:
    if request.param == "directory":
        lock = tmp_path / "public" / LOCK_KEY
        return Site(
            folder=tmp_path,
            url="public",
            table="",
            variables={},
            target=lambda: DirectoryTarget(tmp_path / "public"),
            headers=lambda _: None,
            is_held=lambda: lock.exists() and '"held": true' in lock.read_text(),
        )
    storage: Storage = request.getfixturevalue(request.param)

    client = storage.client()  # made once: a run may be over before another one is

    def is_held() -> bool:
        try:
            client.head_object(Bucket=storage.bucket, Key=prefix + LOCK_KEY)
        except ClientError:
            return False
        return True

    return Site(
        folder=tmp_path,
        url=f"s3://{storage.bucket}/{prefix.rstrip('/')}",
        table=f'[target.s3]\nendpoint = "{storage.endpoint}"\naddressing = "path"',
        variables=s3_servers.environment(tmp_path),
        target=lambda: S3Target(storage.bucket, prefix, storage.options()),
        headers=lambda keys: headers_of(storage, prefix, keys),
        is_held=is_held,
    )


@contextmanager
def stopped_publisher(site: Site, config: str) -> Iterator["subprocess.Popen[str]"]:
    """One that has the lock, and does nothing until it is told to go on."""
    process = site.start("-c", config, "publish")
    try:
        process.send_signal(signal.SIGSTOP)
        # by small steps: at its own pace the run can be over before anybody has seen the lock
        while not site.is_held():
            process.send_signal(signal.SIGCONT)
            time.sleep(_STEP)
            process.send_signal(signal.SIGSTOP)
            assert process.poll() is None, process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_who_comes_second_leaves_with_one_line_or_waits(site: Site) -> None:
    ours, theirs = site.configure("ours"), site.configure("theirs")
    with stopped_publisher(site, ours) as first:
        code, out, err = site.run("-c", theirs, "publish")
        assert (code, out) == (ExitCode.TARGET_FAILED, "")
        [line] = err.splitlines()
        assert line.startswith(f"deltapress: {LOCK_KEY}: the lock is held by process {first.pid} on ")
        for command in ("prune", "publish --repair", "prune --reconcile --force"):
            assert site.run("-c", theirs, *command.split())[0] == ExitCode.TARGET_FAILED
        waiting = site.start("-c", theirs, "publish", "--wait", "60")
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) == ExitCode.SUCCESS
        out, err = waiting.communicate(timeout=60)
        assert waiting.returncode == ExitCode.SUCCESS, err
        assert "  deltas   3 made, " in out
    code, out, err = site.run("-c", theirs, "verify")
    assert code == ExitCode.SUCCESS, out + err
    site.check(ours=4, theirs=4)


def test_of_many_at_once_each_has_its_turn(site: Site) -> None:
    names = [f"app{number}" for number in range(4)]
    processes = [site.start("-c", site.configure(name), "publish", "--wait", "100") for name in names]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == ExitCode.SUCCESS, err
    site.check(**dict.fromkeys(names, 4))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_who_is_told_to_end_gives_the_lock_back(site: Site, number: signal.Signals) -> None:
    ours, theirs = site.configure("ours"), site.configure("theirs")
    with stopped_publisher(site, ours) as first:
        first.send_signal(number)
        first.send_signal(signal.SIGCONT)
        out, err = first.communicate(timeout=60)
        assert (first.returncode, out) == (ExitCode.INTERRUPTED, "")
        assert "Traceback" not in err
    for config in (theirs, ours):
        code, _, err = site.run("-c", config, "publish")
        assert code == ExitCode.SUCCESS, err
    site.check(ours=4, theirs=4)
