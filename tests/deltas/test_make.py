"""Delta jobs: extracted, encoded, proven; whatever one of them meets, the others go on."""

import gzip
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline.content import BytesContent, Content
from pipeline.deltas.job import Failed, Made, Refused, Result
from pipeline.deltas.layers import LayerSource
from pipeline.deltas.make import Workshop, make_deltas
from pipeline.deltas.plan import DeltaJob
from pipeline.deltas.prove import WrongLayerError, prove
from pipeline.history.records import DeltaKey, LayerRecord
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.progress import Silent
from pipeline.tardiff.encoder import GENERATOR, EncoderOptions
from pipeline.tardiff.layer import new_tar
from pipeline.tardiff.layer.regions import Bytes, Region, array_of
from pipeline.tardiff.layer.tar import TarReader
from pipeline.tardiff.pair import pairing
from pipeline.tardiff.pair.sources import Sketch, sketch
from pipeline.tardiff.pool import Pool
from pipeline.targets.base import KeyMissingError

from ..layouts.builder import compressed, tar_of
from ..runs import app, other

SMALL = Limits(layer=1 << 20)


class Layers:
    """Stored layers, and how often each was opened."""

    def __init__(self) -> None:
        self.stored: dict[Digest, bytes] = {}
        self.opened: list[Digest] = []

    def add(self, tar: bytes, compression: str = "gzip") -> LayerRecord:
        blob = compressed(tar, compression)
        digest = Digest.of(blob)
        self.stored[digest] = blob
        return LayerRecord(diff_id=DiffID.of(tar), digest=digest, size=len(blob), media_type="")

    def content(self, layer: LayerRecord) -> Content:
        if layer.digest not in self.stored:
            raise KeyMissingError(str(layer.digest))
        self.opened.append(layer.digest)
        return BytesContent(self.stored[layer.digest])


def job(sources: LayerRecord | tuple[LayerRecord, ...], layer: LayerRecord, max_size: int | None = None) -> DeltaJob:
    chain = sources if isinstance(sources, tuple) else (sources,)
    key = DeltaKey(
        from_diff_id=chain[-1].diff_id, to_diff_id=layer.diff_id, below=tuple(source.diff_id for source in chain[:-1])
    )
    return DeltaJob(key=key, sources=chain, layer=layer, max_size=layer.size - 1 if max_size is None else max_size)


@contextmanager
def workshop(layers: Layers, directory: Path, *, workers: int = 2, limits: Limits = SMALL) -> Iterator[Workshop]:
    directory.mkdir(exist_ok=True)
    with Pool(workers=workers, memory=1 << 30) as pool:
        source = LayerSource(content=layers.content, limits=limits)
        yield Workshop(layers=source, directory=directory, pool=pool, options=EncoderOptions())


def results(shop: Workshop, *jobs: DeltaJob) -> dict[DeltaKey, tuple[Result, bytes | None]]:
    """Each result with the bytes of its delta, read while they are there."""
    found: dict[DeltaKey, tuple[Result, bytes | None]] = {}
    for result in make_deltas(jobs, shop, progress=Silent()):
        data = None
        if isinstance(result, Made):
            with result.content.open() as stream:
                data = stream.read()
        found[result.job.key] = result, data
    assert list(shop.directory.iterdir()) == []
    return found


def test_a_delta_is_described_and_there(tmp_path: Path) -> None:
    layers = Layers()
    one = job(layers.add(app(1)), layers.add(app(2), "zstd"))
    with workshop(layers, tmp_path / "work") as shop:
        [(result, data)] = results(shop, one).values()
    assert isinstance(result, Made)
    assert data is not None
    assert (result.record.digest, result.record.size) == (Digest.of(data), len(data))
    assert (result.record.generator, result.record.options) == (GENERATOR, EncoderOptions().key)
    assert result.record.refused is None
    assert len(data) < 600


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_bytes_do_not_depend_on_the_workers(tmp_path: Path, workers: int) -> None:
    layers = Layers()
    old = [layers.add(app(number)) for number in range(3)]
    jobs = [job(source, layers.add(make(9))) for source in old for make in (app, other)]
    with workshop(layers, tmp_path / "a", workers=workers) as shop, workshop(layers, tmp_path / "b", workers=1) as lone:
        many = {key: data for key, (_, data) in results(shop, *jobs).items()}
        assert many == {key: data for key, (_, data) in results(lone, *reversed(jobs)).items()}
    assert len(many) == 6


def test_each_layer_is_decompressed_once(tmp_path: Path) -> None:
    layers = Layers()
    old, new = layers.add(app(1)), [layers.add(app(number)) for number in (2, 3, 4)]
    with workshop(layers, tmp_path / "work", workers=1) as shop:
        results(shop, *(job(old, layer) for layer in new), job(new[0], new[1]))
    assert layers.opened.count(old.digest) == 1
    # as a tar to make, and extracted as a source
    assert layers.opened.count(new[0].digest) == 2
    assert layers.opened.count(new[1].digest) == 1


@pytest.mark.parametrize("workers", [1, 4])
def test_each_layer_is_listed_hashed_and_sampled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    asked: Counter[tuple[str, bytes]] = Counter()
    hashing = pairing._digest

    def counting_reader(stream: BinaryIO) -> TarReader:
        asked["listed", b""] += 1
        return TarReader(stream)

    def counting_digest(region: Region) -> bytes:
        asked["hashed", region.array().tobytes()] += 1
        return hashing(region)

    def counting_sketch(data: Bytes) -> Sketch:
        asked["sampled", array_of(data).tobytes()] += 1
        return sketch(data)

    monkeypatch.setattr(new_tar, "TarReader", counting_reader)
    monkeypatch.setattr(pairing, "_digest", counting_digest)
    monkeypatch.setattr(pairing, "sketch", counting_sketch)
    layers = Layers()
    # of one size, so that files are hashed; none is identical, and none has its old path, so that they are sampled
    old = [layers.add(tar_of({f"old/{number}": random.Random(number).randbytes(9000)})) for number in range(3)]
    content = random.Random(99).randbytes(9000)
    new = layers.add(tar_of({"new": content}))
    with workshop(layers, tmp_path / "work", workers=workers) as shop:
        made = results(shop, *(job(source, new, 1 << 20) for source in old))
    assert all(isinstance(result, Made) for result, _ in made.values())
    assert asked["listed", b""] == 1
    assert asked["hashed", content] == asked["sampled", content] == 1
    assert len(asked) == 1 + 2 * 4
    assert set(asked.values()) == {1}


def test_several_layers_are_one_source(tmp_path: Path) -> None:
    layers = Layers()
    old, new = (layers.add(other(1)), layers.add(app(1))), layers.add(other(2))
    with workshop(layers, tmp_path / "work") as shop:
        [(_, merged)] = results(shop, job(old, new)).values()
        [(alone, _)] = results(shop, job(old[1], new)).values()
    assert merged is not None
    assert len(merged) < 600
    assert isinstance(alone, Made | Refused)
    assert alone.record.size > 3000


def test_a_delta_that_is_too_large_is_refused(tmp_path: Path) -> None:
    layers = Layers()
    one = job(layers.add(app(1)), layers.add(app(2)), max_size=20)
    with workshop(layers, tmp_path / "work") as shop:
        [(result, data)] = results(shop, one).values()
    assert isinstance(result, Refused)
    assert (data, result.record.digest) == (None, None)
    assert result.record.size > 20
    assert "more than the policy allows" in (result.record.refused or "")


def _spoil_new(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    layers.stored[new.digest] = gzip.compress(app(7))


def _spoil_old(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    layers.stored[old.digest] = gzip.compress(app(7))


def _cut(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    layers.stored[old.digest] = layers.stored[old.digest][:-20]


def _remove(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    del layers.stored[old.digest]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_spoil_new, "decompresses to"),
        (_spoil_old, "decompresses to"),
        (_cut, "gzip"),
        (_remove, "is not in the target"),
    ],
)
def test_a_layer_that_is_not_what_it_was_fails_its_jobs_alone(tmp_path: Path, spoil: object, problem: str) -> None:
    layers = Layers()
    old, new = layers.add(app(1)), layers.add(app(2))
    good = job(layers.add(other(1)), layers.add(other(2)))
    assert callable(spoil)
    spoil(layers, old, new)
    with workshop(layers, tmp_path / "work") as shop:
        found = results(shop, job(old, new), good)
    failed, _ = found[job(old, new).key]  # and `results` has seen that nothing of it stayed on the disk
    assert isinstance(failed, Failed)
    assert problem in failed.problem
    assert found[good.key][1] is not None


def test_a_layer_larger_than_the_limit_fails(tmp_path: Path) -> None:
    layers = Layers()
    with workshop(layers, tmp_path / "work", limits=Limits(layer=2000)) as shop:
        [(result, _)] = results(shop, job(layers.add(app(1)), layers.add(app(2)))).values()
    assert isinstance(result, Failed)
    assert re.search(
        r"layer sha256:\w{64} .* 2,000 bytes; if that is right, raise `layer` in \[limits\]", result.problem
    )


def test_a_layer_whose_ratio_was_forbidden_since_it_was_published_fails(tmp_path: Path) -> None:
    layers = Layers()
    one = job(layers.add(app(1)), layers.add(bytes(80 << 20), "zstd"))
    with workshop(layers, tmp_path / "work", limits=Limits(ratio=1000)) as shop:
        [(result, _)] = results(shop, one).values()
    assert isinstance(result, Failed)
    assert str(one.layer.digest) in result.problem
    assert "67,108,864 bytes; if that is right, raise `ratio` in [limits]" in result.problem


def test_leaving_early_ends_the_work(tmp_path: Path) -> None:
    layers = Layers()
    jobs = [job(layers.add(app(number)), layers.add(app(number + 20))) for number in range(6)]
    with workshop(layers, tmp_path / "work", workers=1) as shop:
        running = make_deltas(jobs, shop, progress=Silent())
        assert isinstance(next(running), Made)
        getattr(running, "close")()  # noqa: B009  # an Iterator is not known to be a generator
    assert len(layers.opened) < 12


def test_a_proof_compares_the_result(tmp_path: Path) -> None:
    layers = Layers()
    old, new = layers.add(app(1)), layers.add(app(2))
    with workshop(layers, tmp_path / "work") as shop:
        [(_, data)] = results(shop, job(old, new)).values()
    assert data is not None
    (tmp_path / "tree/bin").mkdir(parents=True)
    delta = tmp_path / "delta"
    delta.write_bytes(data)
    (tmp_path / "tree/bin/app").write_bytes(app(1)[512 : 512 + 4000])
    with delta.open("rb") as stream:
        prove(stream, tmp_path / "tree", new.diff_id, size=len(app(2)))
    (tmp_path / "tree/bin/app").write_bytes(app(3)[512 : 512 + 4000])
    with delta.open("rb") as stream, pytest.raises(WrongLayerError, match=str(new.diff_id)):
        prove(stream, tmp_path / "tree", new.diff_id, size=len(app(2)))
