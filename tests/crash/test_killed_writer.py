"""A writer that is killed at any moment: the tree is whole, and the next one carries on."""

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pipeline.keys import Key
from pipeline.oci.digest import Digest
from pipeline.targets.directory import DirectoryTarget

from ..targets.processes import PRELUDE, ROOT

NOW = datetime(2025, 6, 1, tzinfo=UTC)
KILLS = 12

# Blob, then tag; the old blob goes last. Blobs are large enough to be killed within.
_WRITER = """
with target.lock(now=NOW, wait=0):
    print("ready", flush=True)
    old = [key for key in target.keys() if "/blobs/" in key]
    for step in range(1_000_000):
        data = f"{os.getpid()} {step}".encode() * 100_000
        blob = f"v2/app/blobs/{Digest.of(data)}"
        put(blob, data)
        put("v2/mirror/app/" + blob[7:], data, same_as=blob)
        put("v2/app/manifests/latest", blob.encode(), cache=MUTABLE)
        if step == 0:
            print("published", flush=True)
        for key in old:
            target.delete(Key(key))
        old = [blob, "v2/mirror/app/" + blob[7:]]
"""


def test_a_reader_finds_everything_that_a_tag_names_wherever_the_writer_was_killed(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path)
    tag = Key("v2/app/manifests/latest")
    moments = random.Random(4)
    for kill in range(KILLS):
        command = [sys.executable, "-c", PRELUDE + _WRITER, str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            if kill % 2:
                assert writer.stdout.readline() == "published\n"
            time.sleep(moments.uniform(0, 0.3))
            writer.kill()
        for key in target.keys():  # noqa: SIM118  # a target is no dict
            if "/blobs/" in key:
                with target.open(key) as stream:
                    assert str(Digest.of(stream.read())) == key.rpartition("/")[2]
        if kill > 0 or target.stat(tag) is not None:
            with target.open(tag) as stream:
                named = stream.read().decode()
            assert target.stat(Key(named)) is not None
    with target.lock(now=NOW, wait=0):
        assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".tmp")]
