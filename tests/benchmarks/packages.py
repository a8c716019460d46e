"""Real releases as trees, fetched by name and version through the ordinary clients: pip, npm and apt-get.

Rule 1. What is fetched is fixed: versions are pinned, and wheels are those of one platform whatever runs this. Debian
        is the exception, it serves no version for ever: there it is the oldest and the newest of what is served now.
Rule 2. A client that is missing, or a release that is not served any longer, is `UnavailableError`: a pair less, and no
        reason to stop.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from pathlib import Path
from tempfile import TemporaryDirectory

from .layers import Entry, Tree, read_tar

_PLATFORM = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11", "--implementation", "cp")


class UnavailableError(Exception):
    """What a pair is made from cannot be had here; the text says what and why."""


def wheel(package: str, version: str) -> Tree:
    """The content of a wheel of the Python package index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with TemporaryDirectory() as folder:
        _output(
            *command, "--only-binary=:all:", *_PLATFORM, "--dest", folder, f"{package}=={version}", folder=Path(folder)
        )
        (path,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            return {
                member.filename: Entry(
                    data=archive.read(member), mode=0o755 if member.external_attr >> 16 & 0o111 else 0o644
                )
                for member in members
            }


def npm_package(package: str, version: str) -> Tree:
    """The content of a package of the npm registry."""
    with TemporaryDirectory() as folder:
        _output("npm", "pack", "--silent", "--ignore-scripts", f"{package}@{version}", folder=Path(folder))
        (path,) = Path(folder).glob("*.tgz")
        with tarfile.open(path) as tar:
            return read_tar(tar)


def debian_updates(packages: Sequence[str]) -> tuple[Tree, Tree]:
    """The files of `packages`, unpacked into one root: each at the oldest and at the newest version that is served."""
    versions = _debian_versions(packages)
    old, new = ({package: served[end] for package, served in versions.items()} for end in (0, -1))
    return _debian_root(old), _debian_root(new)


def debian_successors(pattern: str) -> tuple[Tree, Tree]:
    """The files of the two newest packages whose names match `pattern`, a number in them being what is newer."""
    search = _output("apt-cache", "search", "--names-only", pattern)
    names = {line.split(" ")[0] for line in search.splitlines()}
    if len(names) < 2:
        raise UnavailableError(f"apt-get serves fewer than two packages like {pattern}")
    newest = sorted(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)])[-2:]
    old, new = (_debian_root({name: served[-1]}) for name, served in _debian_versions(newest).items())
    return old, new


def _debian_versions(packages: Sequence[str]) -> dict[str, list[str]]:
    """The versions of each of `packages` that are served, oldest first."""
    versions: dict[str, set[str]] = {package: set() for package in packages}
    for line in _output("apt-cache", "madison", *packages).splitlines():
        package, version, place = (field.strip() for field in line.split("|"))
        if not place.endswith("Sources"):
            versions[package].add(version)
    if missing := sorted(package for package, served in versions.items() if not served):
        raise UnavailableError(f"apt-get serves no {', '.join(missing)} (is this Debian, and was apt-get update run?)")
    return {package: sorted(served, key=cmp_to_key(_debian_order)) for package, served in versions.items()}


def _debian_order(one: str, other: str) -> int:
    if one == other:
        return 0
    return -1 if subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0 else 1


def _debian_root(wanted: Mapping[str, str]) -> Tree:
    """The files of all packages of `wanted`, version by name."""
    root: dict[str, Entry] = {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        # apt-get drops its privileges for a download, and needs a folder that it may write to
        folder.chmod(0o777)
        _output("apt-get", "download", "-q", *(f"{name}={version}" for name, version in wanted.items()), folder=folder)
        for path in sorted(folder.glob("*.deb")):
            with (
                subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE) as unpacker,
                tarfile.open(fileobj=unpacker.stdout, mode="r|") as tar,
            ):
                root.update(read_tar(tar, keep_times=True))
    return root


def _output(*command: str, folder: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise UnavailableError(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise UnavailableError(f"{' '.join(command[:2])} … {command[-1]}: {lines[-1] if lines else 'failed'}")
    return done.stdout
