"""What publishing to a bucket costs, on a real server on this machine: `python -m tests.benchmarks.s3`.

First the requests and bytes of a first run, of one with a new version, and of one with nothing new. Then many large
blobs, published by the command and copied by `rclone` with as many transfers at a time: wall time, throughput, memory.
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
_MIB: Final = 1 << 20
_LAYERS: Final = 4
_BASE: Final = 3 * _MIB  # bytes of a layer that all versions share
_APP: Final = 2 * _MIB  # bytes of the layer that changes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.s3", description=__doc__)
    parser.add_argument("--blobs", type=int, default=64, help="of the second measurement (default: 64)")
    parser.add_argument("--size", type=int, default=16, help="of each, in MiB (default: 16)")
    parser.add_argument("--repeat", type=int, default=2, help="the least counts (default: 2)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, s3_servers.seaweedfs() as storage:
        folder = Path(name)
        os.environ.pop("AWS_CA_BUNDLE", None)  # with which rclone does not start
        os.environ.update(s3_servers.environment(folder), **_rclone(storage))
        _show_requests(storage, folder / "requests")
        _show_throughput(storage, folder, arguments.blobs, arguments.size, arguments.repeat)


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


def _show_throughput(storage: Storage, folder: Path, blobs: int, size: int, repeat: int) -> None:
    layout = _large_layout(folder / "layout", blobs, size)
    found: dict[str, list[Usage]] = {"`deltapress publish`": [], "`rclone copy`": []}
    for number in range(repeat):
        with _configuration(storage, folder, f"published-{number}") as config:
            command: list[str | Path] = [sys.executable, "-m", "pipeline", "-c", config, "publish"]
            found["`deltapress publish`"].append(measured_apart(command, limit=900))
        copy: list[str | Path] = [
            "rclone",
            "copy",
            "--transfers",
            str(TRANSFERS),
            layout,
            f"bench:{storage.bucket}/copied-{number}",
        ]
        found["`rclone copy`"].append(measured_apart(copy, limit=900))
    version = subprocess.run(["rclone", "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    print(f"\n{blobs} blobs of {size} MiB, {version}, the least of {repeat} runs each:\n")
    print("| | wall, s | MiB/s | CPU, s | peak memory, MiB |\n|---|---:|---:|---:|---:|")
    for name, usages in found.items():
        usage = best(usages)
        rate, memory = blobs * size / usage.wall, usage.memory / _MIB
        print(f"| {name} | {usage.wall:.1f} | {rate:.0f} | {usage.cpu:.1f} | {memory:.0f} |")


def _large_layout(path: Path, blobs: int, size: int) -> Path:
    """Images of four layers each, whose content does not compress. Written blob by blob, since a gigabyte is much."""
    build = LayoutBuilder()
    for image in range(blobs // _LAYERS):
        layers, diff_ids = [], list[str]()
        for layer in range(_LAYERS):
            tar = tar_of({f"data{layer}": random.Random(f"{image} {layer}").randbytes(size * _MIB - 4096)})
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
def _configuration(storage: Storage, folder: Path, prefix: str) -> Iterator[Path]:
    config = folder / "deltapress.toml"
    config.write_text(
        f'[target]\nurl = "s3://{storage.bucket}/{prefix}"\n'
        f'[target.s3]\nendpoint = "{storage.endpoint}"\naddressing = "path"\nconcurrency = {TRANSFERS}\n'
        '[policy]\nversions = 0\n[[repository]]\nname = "app"\nlayout = "layout"\n'
    )
    yield config
    config.unlink()


def _rclone(storage: Storage) -> dict[str, str]:
    """The remote `bench:`, as rclone reads it from the environment."""
    said = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": storage.endpoint,
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": s3_servers.ACCESS_KEY,
        "SECRET_ACCESS_KEY": s3_servers.SECRET_KEY,
    }
    return {f"RCLONE_CONFIG_BENCH_{name}": value for name, value in said.items()} | {"RCLONE_CONFIG": os.devnull}


if __name__ == "__main__":
    main()
