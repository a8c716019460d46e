"""The real command, killed, stopped, out of space: what a reader finds then, and what the next run makes of it."""

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import Key
from pipeline.targets.directory import DirectoryTarget

from ..cli.command import environment, run, start
from ..client import contents_of, problems, unproven, without_times
from ..conftest import require_tool
from ..layouts.builder import LayoutBuilder, on, tar_of

KILLS = 14
_CONFIG = """
[target]
url = "public"
[policy]
versions = 3
grace = "0s"
max_delete = 1.0
order = "{order}"
[[repository]]
name = "team/app"
layout = "app"
"""
_NOISE = random.Random(1).randbytes(300_000)


def _layer(number: int) -> bytes:
    files = {}
    for index in range(6):
        data = bytearray(_NOISE[index * 50_000 : (index + 1) * 50_000])
        data[200 * number : 200 * number + 100] = random.Random(number).randbytes(100)
        files[f"lib/{index}"] = bytes(data)
    return tar_of(files)


def _layout(folder: Path, versions: range) -> None:
    build = LayoutBuilder()
    for number in versions:
        amd = build.image(_layer(number))
        build.tag(
            f"1.{number}", build.index(on(amd, "linux/amd64"), on(build.image(_layer(50 + number)), "linux/arm64"))
        )
    shutil.rmtree(folder / "app", ignore_errors=True)
    build.write(folder / "app")


@pytest.fixture(params=["images-first", "deltas-first"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three versions are published, one of them was replaced; the next run adds one and has something to delete."""
    (tmp_path / "deltapress.toml").write_text(_CONFIG.format(order=request.param))
    for versions in (range(3), range(1, 4)):
        _layout(tmp_path, versions)
        assert run("publish", cwd=tmp_path).returncode == ExitCode.SUCCESS
    _layout(tmp_path, range(1, 5))
    return tmp_path


def _published(site: Path) -> dict[Key, bytes]:
    """All but the reports of runs, of which a disturbed one may leave another, and the times on the pages."""
    contents = contents_of(DirectoryTarget(site / "public"))
    return without_times({key: data for key, data in contents.items() if not key.startswith("_deltapress/reports/")})


def _twin(site: Path) -> Path:
    twin = site.with_name(f"{site.name}-twin")
    shutil.copytree(site, twin, symlinks=True)
    return twin


def _has_converged(site: Path, undisturbed: dict[Key, bytes]) -> bool:
    """The next runs end in the same tree; what a dead one listed by the way goes after its grace."""
    assert [run("publish", cwd=site).returncode for _ in range(3)] == [ExitCode.SUCCESS] * 3
    contents = _published(site)
    assert problems(contents, at_rest=True) == []
    assert unproven(contents) == []
    return contents == undisturbed


def _settled(site: Path) -> dict[Key, bytes]:
    twin = _twin(site)
    for _ in range(3):
        assert run("publish", cwd=twin).returncode == ExitCode.SUCCESS
    return _published(twin)


def test_killed_at_random_moments(site: Path) -> None:
    undisturbed = _settled(site)
    before = site / "before"
    shutil.copytree(site / "public", before, symlinks=True)
    began = time.monotonic()
    assert run("publish", cwd=site).returncode == ExitCode.SUCCESS
    whole = time.monotonic() - began
    moments = random.Random(9)
    killed = 0
    is_done = True
    while killed < KILLS:
        if is_done or killed % 5 == 0:  # from the beginning again; else a run is killed that completes another
            shutil.rmtree(site / "public")
            shutil.copytree(before, site / "public", symlinks=True)
        process = start("publish", cwd=site)
        time.sleep(moments.uniform(0.3, 1.0) * whole)
        process.kill()
        process.communicate(timeout=60)
        is_done = process.returncode != -signal.SIGKILL
        if is_done:
            whole *= 0.9  # the machine has become faster: a kill that comes too late shows nothing
        else:
            killed += 1
        assert problems(_published(site)) == [], killed
    assert _has_converged(site, undisturbed)


@pytest.mark.parametrize("site", ["images-first"], indirect=True)
def test_stopped_in_the_middle_of_making_deltas(site: Path) -> None:
    undisturbed = _settled(site)
    process = start("publish", "-v", cwd=site, TMPDIR=str(site))
    while not list(site.glob("deltapress-*/*")):  # the first layer is being unpacked
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "deltapress: interrupted" in err
    assert list(site.glob("deltapress-*")) == []
    assert problems(_published(site)) == []
    assert _has_converged(site, undisturbed)


def _limited(site: Path, size: int) -> "subprocess.CompletedProcess[str]":
    """Publish where no file may be larger than `size` bytes."""
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size})); "
    code += "import sys; from pipeline.cli import main; sys.exit(main(['publish']))"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=site,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("site", ["images-first"], indirect=True)
def test_a_file_that_may_not_become_so_large(site: Path) -> None:
    before = _published(site)
    failed = _limited(site, 150_000)
    assert failed.returncode == ExitCode.TARGET_FAILED
    [line] = failed.stderr.splitlines()
    assert line.startswith("deltapress: v2/team/app/blobs/sha256:")
    assert "ulimit -f" in line
    contents = _published(site)
    assert problems(contents) == []
    assert before.keys() <= contents.keys()
    assert run("publish", cwd=site).returncode == ExitCode.SUCCESS


@pytest.fixture
def in_namespace() -> str:
    """`unshare`, where a user may mount something in a name space of his own."""
    unshare = require_tool("unshare")
    if subprocess.run([unshare, "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"], check=False).returncode:
        pytest.skip("needs user name spaces that may mount a tmpfs")
    return unshare


def _mounted(unshare: str, site: Path, mount: str) -> "subprocess.CompletedProcess[str]":
    """Publish with something mounted over `public`; the tree comes out in `out`."""
    script = f'{mount} && "{sys.executable}" -m pipeline publish; code=$?; cp -a public out; exit $code'
    return subprocess.run(
        [unshare, "-Urm", "sh", "-c", script],
        cwd=site,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.interop
@pytest.mark.parametrize("site", ["images-first"], indirect=True)
@pytest.mark.parametrize("room", [0, 60, 250, 500])
def test_a_full_disk(site: Path, in_namespace: str, room: int) -> None:
    """`room` KiB are left. Everything complete is kept, and nothing leads to what is not."""
    sizes = {path.stat().st_ino: path.stat().st_size for path in (site / "public").rglob("*") if path.is_file()}
    used = sum(-(-size // 4096) * 4 for size in sizes.values())  # KiB: a tmpfs counts pages
    mount = f"cp -a public full && mount -t tmpfs -o size={used + room}k none public && cp -a full/. public"
    failed = _mounted(in_namespace, site, mount)
    contents = contents_of(DirectoryTarget(site / "out"))
    assert problems(contents) == []
    assert failed.returncode == ExitCode.TARGET_FAILED
    [line] = failed.stderr.splitlines()
    assert "the disk is full; make room" in line
    shutil.rmtree(site / "public")
    shutil.move(site / "out", site / "public")
    assert run("publish", cwd=site).returncode == ExitCode.SUCCESS
    assert problems(_published(site), at_rest=True) == []


@pytest.mark.interop
@pytest.mark.parametrize("site", ["images-first"], indirect=True)
def test_a_read_only_directory(site: Path, in_namespace: str) -> None:
    before = _published(site)
    failed = _mounted(in_namespace, site, "mount --bind public public && mount -o remount,bind,ro public")
    assert failed.returncode == ExitCode.TARGET_FAILED
    [line] = failed.stderr.splitlines()
    assert "read-only; mount it for writing" in line
    assert _published(site) == before
