"""Layers that an artifact ships as they are: clients read exactly one gzip member, and compare its DiffID."""

import gzip
import json
from pathlib import Path

import pytest

from pipeline.history.records.images import LayerRecord
from pipeline.keys import Key, blob_key
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.oci.media_types import OCI_GZIP_LAYER
from pipeline.progress import Silent
from pipeline.targets.memory import MemoryTarget
from pipeline.verify import verify
from pipeline.verify.deltas import check_whole_layers
from pipeline.verify.findings import Findings

from ..device import ARTIFACT, DELTA
from ..layouts.builder import OCI, LayoutBuilder, compressed, json_bytes, sha256
from ..runs import Shop, app, other
from ..tars import file, tar

PLAIN = tar(file("a", b"data"))
GOOD = gzip.compress(PLAIN, mtime=0)
TWO = gzip.compress(PLAIN[:512], mtime=0) + gzip.compress(PLAIN[512:], mtime=0)


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        (GOOD, None),
        (TWO, "not exactly one gzip member"),
        (GOOD + gzip.compress(b"", mtime=0), "not exactly one gzip member"),
        (PLAIN, "not exactly one gzip member"),
        (compressed(PLAIN, "zstd"), "not exactly one gzip member"),
        (GOOD + bytes(512), "not exactly one gzip member"),
        (GOOD[:-9], "gzip stream: "),
        (gzip.compress(PLAIN + b"\0", mtime=0), "it decompresses to sha256:"),
        (gzip.compress(bytes(100 << 20), mtime=0), "decompresses to more than the allowed"),
        (None, "is not in the target"),
    ],
    ids=["good", "two members", "an empty one", "plain", "zstd", "zeros", "cut", "another", "bomb", "missing"],
)
def test_what_clients_unpack(stored: bytes | None, problem: str | None) -> None:
    digest = Digest.of(b"" if stored is None else stored)
    size = 0 if stored is None else len(stored)
    layer = LayerRecord(diff_id=DiffID.of(PLAIN), digest=digest, size=size, media_type=OCI_GZIP_LAYER)
    key = blob_key("app", digest)
    target = MemoryTarget()
    if stored is not None:
        target.contents[key] = stored
    findings = Findings(whole={(key, layer)})
    check_whole_layers(findings, target, Limits(layer=64 << 20), jobs=2, progress=Silent())
    assert [found.key for found in findings.problems] == ([] if problem is None else [key])
    assert all(problem in found.problem for found in findings.problems if problem is not None)


def test_one_of_two_members_that_an_artifact_ships_all_the_same(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": (app(1), other(1))})
    shop.run()
    build = LayoutBuilder()
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [sha256(app(2)), sha256(PLAIN)]}}
    layers = build.layer(app(2)), build.blob(TWO, f"{OCI}.layer.v1.tar+gzip")
    image = build.manifest(build.blob(json_bytes(config), f"{OCI}.config.v1+json"), *layers)
    shop.layout({"latest": image}, build)
    shop.run(1)
    stored = shop.folder.contents
    listing = Key(f"v2/app/referrers/{image['digest']}")
    [entry] = json.loads(stored[listing])["manifests"]
    artifact = json.loads(stored[Key(f"v2/app/manifests/{entry['digest']}")])
    [part] = [part for part in artifact["layers"] if part["annotations"].get(f"{DELTA}.to") == layers[1]["digest"]]
    part.update(layers[1])
    raw = json_bytes(artifact)
    stored[Key(f"v2/app/manifests/{sha256(raw)}")] = raw
    entry |= {"digest": sha256(raw), "size": len(raw), "artifactType": ARTIFACT}
    stored[listing] = json_bytes({**json.loads(stored[listing]), "manifests": [entry]})
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    key = f"v2/app/blobs/{layers[1]['digest']}"
    assert [line.problem for line in found.problems if line.key == key] == [
        "is listed as it is, beside deltas: it is not exactly one gzip member, of which clients read the first alone"
    ]
