"""Our deltas in the reference's hands, and its in ours; our tree beside what a real tar unpacks."""

import io
import os
import random
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.efforts import EFFORTS, Effort
from pipeline.tardiff.decoder import apply
from pipeline.tardiff.encoder import EncoderOptions, encode
from pipeline.tardiff.layer.tree import extract
from pipeline.tardiff.pool import Pool
from tests import tars
from tests.conftest import examples, require_tool
from tests.tardiff.lab import lay_out
from tests.tars import Member, directory, file, hard_link, symlink, tar

pytestmark = pytest.mark.interop


def run(*command: str | Path) -> None:
    subprocess.run(command, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, timeout=300)


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def edited(content: bytes, seed: int) -> bytes:
    """A few bytes changed, some inserted and removed."""
    made = bytearray(content)
    source = random.Random(seed)
    for _ in range(1 + len(content) // 5000):
        at = source.randrange(len(made))
        made[at : at + source.choice([0, 4, 4, 9])] = source.randbytes(source.choice([0, 4, 4, 20]))
    return bytes(made)


FILES = {f"d{n % 3}/f{n}": noise(n, 700 * n) for n in range(30)}
OLD = tar(
    directory("d0"),
    *(file(name, data) for name, data in FILES.items()),
    hard_link("d0/h", "d0/f3"),
    file("z", bytes(90_000)),
)
NEW = tar(
    *(file(name, data if n % 3 else edited(data, n) if data else data) for n, (name, data) in enumerate(FILES.items())),
    file("renamed", edited(FILES["d2/f29"], 1)),
    file("d0/h", edited(FILES["d0/f3"], 5)),
    symlink("z", "d0"),
    file("n" * 150, noise(77, 3000)),
    file("zeros", bytes(80_000) + b"x" + bytes(9999)),
)
CASES = {
    "mixed": (OLD, NEW),
    "the same": (OLD, OLD),
    "from nothing": (tar(), NEW),
    "to nothing": (OLD, tar()),
    "no tar behind": (OLD, NEW + noise(5, 999)),
}


@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize("name", CASES)
def test_the_reference_applies_our_deltas(tmp_path: Path, name: str, effort: Effort) -> None:
    patch = require_tool("tar-patch")
    old, new = CASES[name]
    (tmp_path / "tree").mkdir()
    (tmp_path / "new").write_bytes(new)
    tree = extract([io.BytesIO(old)], tmp_path / "tree", max_bytes=1 << 30)
    with Pool(workers=2, memory=1 << 30) as pool, (tmp_path / "delta").open("wb") as out:
        encode(tree, tmp_path / "new", out, options=EncoderOptions(effort=effort), pool=pool)
    lay_out(tree, tmp_path / "files")
    run(patch, tmp_path / "delta", tmp_path / "files", tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == new


# the reference stops at the end of the archive, so bytes behind it are not its matter
@pytest.mark.parametrize("name", [name for name in CASES if name != "no tar behind"])
def test_we_apply_deltas_of_the_reference(tmp_path: Path, name: str) -> None:
    diff = require_tool("tar-diff")
    old, new = CASES[name]
    (tmp_path / "old").write_bytes(old)
    (tmp_path / "new").write_bytes(new)
    (tmp_path / "tree").mkdir()
    run(diff, tmp_path / "old", tmp_path / "new", tmp_path / "delta")
    tree = extract([io.BytesIO(old)], tmp_path / "tree", max_bytes=1 << 30)
    out = io.BytesIO()
    with (tmp_path / "delta").open("rb") as delta:
        apply(delta, tree, out, expected_size=len(new))
    assert out.getvalue() == new


NAMES = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
MEMBERS = st.one_of(
    st.builds(lambda path, seed: file(path, noise(seed, 100)), NAMES, st.integers(0, 5)),
    st.builds(tars.directory, NAMES),
    st.builds(tars.hard_link, NAMES, NAMES),
    st.builds(tars.symlink, NAMES, NAMES),
)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.filter_too_much])
@given(members=st.lists(MEMBERS, max_size=10))
def test_every_source_is_what_a_real_tar_unpacks_there(members: list[Member]) -> None:
    """A source must be a regular file with these bytes there too; the tool may have files that are no sources."""
    unpack = require_tool("tar")
    with TemporaryDirectory() as scratch:
        (Path(scratch) / "layer.tar").write_bytes(tar(*members))
        real, ours = Path(scratch) / "real", Path(scratch) / "ours"
        real.mkdir()
        ours.mkdir()
        command = [unpack, "-x", "-f", f"{scratch}/layer.tar", "-C", str(real)]
        # a layer that it could not unpack (a hard link without target, a file in the way of a directory) tells nothing
        assume(subprocess.run(command, check=False, capture_output=True, timeout=60).returncode == 0)
        tree = extract([io.BytesIO((Path(scratch) / "layer.tar").read_bytes())], ours, max_bytes=1 << 20)
        for source in tree.sources:
            path = real / os.fsdecode(source.path)
            assert path.resolve() == real.resolve() / os.fsdecode(source.path)
            assert path.read_bytes() == tree.region(source).array().tobytes()


def test_a_tree_without_surprises_is_unpacked_whole(tmp_path: Path) -> None:
    unpack = require_tool("tar")
    (tmp_path / "layer.tar").write_bytes(OLD)
    (tmp_path / "real").mkdir()
    (tmp_path / "ours").mkdir()
    run(unpack, "-x", "-f", tmp_path / "layer.tar", "-C", tmp_path / "real")
    tree = extract([io.BytesIO(OLD)], tmp_path / "ours", max_bytes=1 << 30)
    sources = {Path(os.fsdecode(source.path)): tree.region(source).array().tobytes() for source in tree.sources}
    files = {path.relative_to(tmp_path / "real"): path for path in (tmp_path / "real").rglob("*") if path.is_file()}
    assert sources == {name: path.read_bytes() for name, path in files.items() if path.stat().st_size}
