"""What publishing to a bucket costs, on a real server on this machine: `python -m tests.benchmarks.s3`.

First the requests and bytes of a first run, of one with a new version, and of one with nothing new. Then many small and
fewer large blobs, published by the command and copied by `rclone` with as many transfers at a time: wall time,
throughput, processor time, memory, and in a run of its own, through a proxy that counts, the requests.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.targets.s3.target import S3Target

from ..interop import s3_servers
from ..interop.s3_servers import Storage
from ..layouts.builder import OCI, Json, LayoutBuilder, blob_path, json_bytes, sha256, tar_of
from ..runs import Shop
from ..targets.faulty_proxy import Request, faulty_proxy
from .measure import Usage, best, measured_apart

TRANSFERS: Final = 8
_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_LAYERS: Final = 4
_PUBLISH: Final = "`deltapress publish`"
_RCLONE: Final = "`rclone copy`"
_BASE: Final = 3 * _MIB  # bytes of a layer that all versions share
_APP: Final = 2 * _MIB  # bytes of the layer that changes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.s3", description=__doc__)
    parser.add_argument(
        "--blobs",
        action="append",
        type=_blobs,
        metavar="COUNTxKIB",
        help="how many of which size; more than once (default: 2000x8 and 64x16384)",
    )
    parser.add_argument("--repeat", type=int, default=2, help="the least counts (default: 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_servers.seaweedfs() as storage:
        folder = Path(name)
        os.environ.pop("AWS_CA_BUNDLE", None)  # with which rclone does not start
        os.environ.update(s3_servers.environment(folder), **_rclone())
        _show_requests(storage, folder / "requests")
        for blobs in arguments.blobs or [_Blobs(count=2000, size=8 * _KIB), _Blobs(count=64, size=16 * _MIB)]:
            _show_throughput(storage, folder, blobs, arguments.repeat)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blobs:
    """So many layers, of so many bytes each."""

    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.count} x {self.size // _KIB} KiB"


def _blobs(text: str) -> _Blobs:
    count, size = map(int, text.split("x"))
    return _Blobs(count=count, size=size * _KIB)


def _show_requests(storage: Storage, folder: Path) -> None:
    print(
        "| run | keys | PUT and POST | GET and HEAD | DELETE | sent | received |\n|---|---:|---:|---:|---:|---:|---:|"
    )
    folder.mkdir()
    with faulty_proxy(storage.port) as proxy:
        for run, versions in (("first, 3 versions", 3), ("one new version", 4), ("nothing new", 4)):
            options = storage.options(endpoint=proxy.endpoint)
            shop = Shop(path=folder, target=S3Target(storage.bucket, "counted/", options))
            shop.images({f"1.{version}": (_base(), _app(version)) for version in range(versions)})
            begun = len(proxy.requests)
            outcome = shop.run(versions)
            _show_run(run, outcome.written.keys, proxy.requests[begun:])


def _show_run(run: str, keys: int, requests: list[Request]) -> None:
    count = Counter(request.method for request in requests)
    figures = [keys, count["PUT"] + count["POST"], count["GET"] + count["HEAD"], count["DELETE"]]
    figures += [sum(request.sent for request in requests), sum(request.received for request in requests)]
    assert sum(figures[1:4]) == len(requests)
    print(f"| {run} | {' | '.join(f'{figure:,}' for figure in figures)} |")


def _base() -> bytes:
    return tar_of({"usr/base": random.Random("base").randbytes(_BASE)})


def _app(version: int) -> bytes:
    data = bytearray(random.Random("app").randbytes(_APP))
    data[1000 * version : 1000 * version + 500] = random.Random(version).randbytes(500)
    return tar_of({"bin/app": bytes(data)})


def _show_throughput(storage: Storage, folder: Path, blobs: _Blobs, repeat: int) -> None:
    name = str(blobs).replace(" ", "")
    layout = _layout(folder / name, blobs)
    found: dict[str, list[Usage]] = {_PUBLISH: [], _RCLONE: []}
    requests: dict[str, int] = {}
    for number in range(repeat):
        found[_PUBLISH].append(_published(storage, layout, storage.endpoint, f"published-{name}-{number}"))
        found[_RCLONE].append(_copied(storage, layout, storage.endpoint, f"copied-{name}-{number}"))
    with faulty_proxy(storage.port) as proxy:
        _published(storage, layout, proxy.endpoint, f"published-{name}")
        requests[_PUBLISH] = len(proxy.requests)
        _copied(storage, layout, proxy.endpoint, f"copied-{name}")
        requests[_RCLONE] = len(proxy.requests) - requests[_PUBLISH]
    version = subprocess.run(["rclone", "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    print(f"\n{blobs}, {version}, the least of {repeat} runs each:\n")
    print("| | wall, s | MiB/s | CPU, s | peak memory, MiB | requests |\n|---|---:|---:|---:|---:|---:|")
    for command, usages in found.items():
        usage = best(usages)
        rate, memory = blobs.count * blobs.size / _MIB / usage.wall, usage.memory / _MIB
        print(f"| {command} | {usage.wall:.1f} | {rate:.0f} | {usage.cpu:.1f} | {memory:.0f} | {requests[command]:,} |")


def _published(storage: Storage, layout: Path, endpoint: str, prefix: str) -> Usage:
    with _configuration(storage, layout, endpoint, prefix) as config:
        command: list[str | Path] = [sys.executable, "-m", "pipeline", "-c", config, "publish"]
        return measured_apart(command, limit=900)


def _copied(storage: Storage, layout: Path, endpoint: str, prefix: str) -> Usage:
    os.environ["RCLONE_CONFIG_BENCH_ENDPOINT"] = endpoint
    command: list[str | Path] = [
        "rclone",
        "copy",
        "--transfers",
        str(TRANSFERS),
        layout,
        f"bench:{storage.bucket}/{prefix}",
    ]
    return measured_apart(command, limit=900)


def _layout(path: Path, blobs: _Blobs) -> Path:
    """Images of four layers each, whose content does not compress. Written blob by blob, since a gigabyte is much."""
    build = LayoutBuilder()
    for image in range(blobs.count // _LAYERS):
        layers, diff_ids = [], list[str]()
        for layer in range(_LAYERS):
            tar = tar_of({f"data{layer}": random.Random(f"{image} {layer}").randbytes(blobs.size - 4096)})
            layers.append(_written(path, zlib.compress(tar, 0, wbits=31)))
            diff_ids.append(sha256(tar))
        config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        described = build.blob(json_bytes(config), f"{OCI}.config.v1+json")
        build.tag(f"v{image}", build.manifest(described, *layers))
    return build.write(path)


def _written(layout: Path, blob: bytes) -> Json:
    digest = sha256(blob)
    file = layout / blob_path(digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(blob)
    return {"mediaType": f"{OCI}.layer.v1.tar+gzip", "digest": digest, "size": len(blob)}


@contextmanager
def _configuration(storage: Storage, layout: Path, endpoint: str, prefix: str) -> Iterator[Path]:
    config = layout.with_name("deltapress.toml")
    config.write_text(
        f'[target]\nurl = "s3://{storage.bucket}/{prefix}"\n'
        f'[target.s3]\nendpoint = "{endpoint}"\naddressing = "path"\nconcurrency = {TRANSFERS}\n'
        f'[policy]\nversions = 0\n[[repository]]\nname = "app"\nlayout = "{layout.name}"\n'
    )
    yield config
    config.unlink()


def _rclone() -> dict[str, str]:
    """The remote `bench:`, as rclone reads it from the environment; its endpoint is another for each run."""
    said = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": s3_servers.ACCESS_KEY,
        "SECRET_ACCESS_KEY": s3_servers.SECRET_KEY,
    }
    return {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in said.items()} | {"RCLONE_CONFIG": os.devnull}


if __name__ == "__main__":
    main()
