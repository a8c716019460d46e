"""Delta jobs: extracted, encoded, proven; whatever one of them meets, the others go on."""

import gzip
import multiprocessing
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from pipeline.deltas import layers as layers_module
from pipeline.deltas import make as make_module
from pipeline.deltas.executor import ThreadExecutor, make_deltas
from pipeline.deltas.job import DeltaJob, Failed, Made, Refused, Result
from pipeline.deltas.layers import reading_memory
from pipeline.deltas.make import Workshop, make
from pipeline.deltas.plan import PlannedDelta
from pipeline.deltas.prove import WrongLayerError, prove
from pipeline.history.records.deltas import DeltaKey, DeltaRecord
from pipeline.history.records.images import LayerRecord
from pipeline.history.resolver import ContentResolver, LayerLocator, Place, Store
from pipeline.keys import blob_key
from pipeline.limits import Limits
from pipeline.oci.digest import DiffID, Digest
from pipeline.progress import Silent
from pipeline.tardiff.encoder import GENERATOR, EncoderOptions
from pipeline.tardiff.layer import new_tar
from pipeline.tardiff.layer.regions import Bytes, Region, array_of
from pipeline.tardiff.layer.tar import TarReader
from pipeline.tardiff.match.matchers.hdiff import Hdiff
from pipeline.tardiff.pair import pairing
from pipeline.tardiff.pair.sources import Sketch, sketch
from pipeline.tardiff.pool import Pool
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.memory import MemoryTarget

from ..layouts.builder import compressed, tar_of
from ..runs import app, other
from ..targets.wrappers import RecordingTarget

SMALL = Limits(layer=1 << 20)


class Layers:
    """Stored layers: in a target, some of them in layouts too."""

    def __init__(self) -> None:
        self.target = MemoryTarget()
        self.reads = RecordingTarget(self.target)
        self.resolver = ContentResolver(target=self.reads)

    @property
    def opened(self) -> list[str]:
        """The digests in the order in which layers were opened."""
        return [str(call.key).rpartition("/")[2] for call in self.reads.calls if call.method == "open"]

    def add(self, tar: bytes, compression: str = "gzip", media_type: str = "") -> LayerRecord:
        blob = compressed(tar, compression)
        digest = Digest.of(blob)
        self.put(digest, blob)
        return LayerRecord(diff_id=DiffID.of(tar), digest=digest, size=len(blob), media_type=media_type)

    def put(self, digest: Digest, blob: bytes) -> None:
        """Whatever that is."""
        self.target.contents[blob_key("app", digest)] = blob


def locator(layer: LayerRecord) -> LayerLocator:
    return LayerLocator(layer=layer, places=(Place(store=Store.TARGET, repository="app"),))


def job(
    sources: LayerRecord | tuple[LayerRecord, ...],
    layer: LayerRecord,
    max_size: int | None = None,
    *,
    limits: Limits = SMALL,
) -> DeltaJob:
    chain = sources if isinstance(sources, tuple) else (sources,)
    key = DeltaKey(
        from_diff_id=chain[-1].diff_id, to_diff_id=layer.diff_id, below=tuple(source.diff_id for source in chain[:-1])
    )
    planned = PlannedDelta(
        key=key, sources=chain, layer=layer, max_size=layer.size - 1 if max_size is None else max_size
    )
    return DeltaJob.of(planned, locator, options=EncoderOptions(), limits=limits)


@contextmanager
def workshop(layers: Layers, directory: Path, *, workers: int = 2, memory: int = 1 << 30) -> Iterator[Workshop]:
    directory.mkdir(exist_ok=True)
    with Pool(workers=workers, memory=memory) as pool:
        yield Workshop(resolver=layers.resolver, directory=directory, pool=pool)


def results(shop: Workshop, *jobs: DeltaJob) -> dict[DeltaKey, tuple[Result, bytes | None]]:
    """Each result with the bytes of its delta, read while they are there."""
    found: dict[DeltaKey, tuple[Result, bytes | None]] = {}
    with ThreadExecutor(shop) as executor:
        for result in make_deltas(jobs, executor, progress=Silent()):
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
    assert layers.opened.count(str(old.digest)) == 1
    # as a tar to make, and extracted as a source
    assert layers.opened.count(str(new[0].digest)) == 2
    assert layers.opened.count(str(new[1].digest)) == 1


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
    layers.put(new.digest, gzip.compress(app(7)))


def _spoil_old(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    layers.put(old.digest, gzip.compress(app(7)))


def _cut(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    key = blob_key("app", old.digest)
    layers.target.contents[key] = layers.target.contents[key][:-20]


def _remove(layers: Layers, old: LayerRecord, new: LayerRecord) -> None:
    del layers.target.contents[blob_key("app", old.digest)]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_spoil_new, "the target, repository app: it is damaged"),
        (_spoil_old, "the target, repository app: it is damaged"),
        (_cut, "the target, repository app: it is damaged"),
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
    with workshop(layers, tmp_path / "work") as shop:
        one = job(layers.add(app(1)), layers.add(app(2)), limits=Limits(layer=2000))
        [(result, _)] = results(shop, one).values()
    assert isinstance(result, Failed)
    assert re.search(
        r"layer sha256:\w{64} .* 2,000 bytes; if that is right, raise `layer` in \[limits\]", result.problem
    )


def test_a_layer_whose_ratio_was_forbidden_since_it_was_published_fails(tmp_path: Path) -> None:
    layers = Layers()
    one = job(layers.add(app(1)), layers.add(bytes(80 << 20), "zstd"), limits=Limits(ratio=1000))
    with workshop(layers, tmp_path / "work") as shop:
        [(result, _)] = results(shop, one).values()
    assert isinstance(result, Failed)
    assert str(one.layer.layer.digest) in result.problem
    assert "67,108,864 bytes; if that is right, raise `ratio` in [limits]" in result.problem


def test_leaving_early_ends_the_work(tmp_path: Path) -> None:
    layers = Layers()
    jobs = [job(layers.add(app(number)), layers.add(app(number + 20))) for number in range(6)]
    with workshop(layers, tmp_path / "work", workers=1) as shop, ThreadExecutor(shop) as executor:
        running = make_deltas(jobs, executor, progress=Silent())
        assert isinstance(next(running), Made)
        getattr(running, "close")()  # noqa: B009  # an Iterator is not known to be a generator
    assert len(layers.opened) < 12


def test_no_more_is_made_than_somebody_takes(tmp_path: Path) -> None:
    """Two deltas for each worker, whatever time the target takes for one."""
    layers = Layers()
    jobs = [job(layers.add(app(number)), layers.add(app(number + 20))) for number in range(9)]
    with workshop(layers, tmp_path / "work", workers=2) as shop, ThreadExecutor(shop) as executor:
        running = make_deltas(jobs, executor, progress=Silent())
        for taken, _ in enumerate(running):
            may_be_made = min(taken + 4, 9)
            while len(layers.opened) < 2 * may_be_made:
                time.sleep(0.001)
            time.sleep(0.02)  # whoever goes on does it now
            assert len(layers.opened) == 2 * may_be_made
    assert list(shop.directory.iterdir()) == []


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


class Rendezvous:
    """Counts who is in one of some functions at the same time; there, it waits for `party` to be complete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, party: int) -> None:
        self.entered: Counter[str] = Counter()
        self.most = self._inside = 0
        self._lock = threading.Lock()
        self._party = threading.Barrier(party)
        for module, name in ((layers_module, "extract"), (new_tar.NewTar, "at"), (make_module, "prove")):
            monkeypatch.setattr(module, name, self._watched(name, getattr(module, name)))
        monkeypatch.setattr(Hdiff, "cover", self._watched("cover", Hdiff.cover))

    def _watched(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def watched(*args: Any, **kwargs: Any) -> object:
            with self._lock:
                self.entered[name] += 1
                self._inside += 1
                self.most = max(self.most, self._inside)
            try:
                if self._party.parties > 1 and not self._party.broken:
                    with suppress(threading.BrokenBarrierError):
                        self._party.wait(20 if not self.has_met else 0)
                        self.has_met = True
                else:
                    time.sleep(0.005)  # somebody who may come too early is likelier to
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self._inside -= 1

        return watched

    has_met = False


def _pairs(layers: Layers) -> list[DeltaJob]:
    """Four jobs that share nothing, with files that are too large to be matched on the way."""
    jobs = []
    for number in range(4):
        data = random.Random(number).randbytes(200_000)
        changed = bytearray(data[: 3 * 200_000 // 4])
        changed[::100] = bytes(len(changed[::100]))
        jobs.append(job(layers.add(tar_of({"lib": data})), layers.add(tar_of({"lib": bytes(changed)}))))
    return jobs


def test_extraction_and_proof_are_within_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget of one byte admits one task at a time, whatever it is."""
    layers = Layers()
    jobs = _pairs(layers)
    seen = Rendezvous(monkeypatch, party=1)
    with workshop(layers, tmp_path / "work", workers=4, memory=1) as shop:
        made = results(shop, *jobs)
    assert all(isinstance(result, Made) for result, _ in made.values())
    assert {name: seen.entered[name] for name in ("extract", "at", "prove")} == {"extract": 4, "at": 4, "prove": 4}
    assert seen.entered["cover"] >= 4
    assert seen.most == 1


def test_with_room_for_two_two_run_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = Layers()
    jobs = _pairs(layers)
    seen = Rendezvous(monkeypatch, party=2)
    with workshop(layers, tmp_path / "work", workers=4, memory=1 << 30) as shop:
        results(shop, *jobs)
    assert seen.has_met
    assert seen.most >= 2


@pytest.mark.parametrize(
    ("media_type", "decoder"),
    [
        ("application/vnd.oci.image.layer.v1.tar", 0),
        ("application/vnd.oci.image.layer.v1.tar+gzip", 0),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", 0),
        ("application/vnd.oci.image.layer.v1.tar+zstd", 128 << 20),
        ("application/vnd.oci.image.layer.v1.tar+xz", 256 << 20),
        ("whatever", 256 << 20),
    ],
)
def test_reading_a_layer_is_taken_for_what_its_format_may_need(media_type: str, decoder: int) -> None:
    layer = Layers().add(app(1), media_type=media_type)
    assert reading_memory([layer]) == (16 << 20) + decoder + layer.size // 8
    plain = Layers().add(app(2), media_type="application/vnd.oci.image.layer.v1.tar")
    assert reading_memory([layer, plain]) - reading_memory([layer]) == (layer.size + plain.size) // 8 - layer.size // 8


def _make_elsewhere(job: DeltaJob, tree: Path, directory: Path) -> tuple[DeltaRecord, bytes]:
    """What a process of its own does, which knows where the tree is and nothing else."""
    with Pool(workers=1, memory=1 << 30) as pool:
        shop = Workshop(resolver=ContentResolver(target=DirectoryTarget(tree)), directory=directory, pool=pool)
        shop.announce([job])
        result = make(job, shop)
        assert isinstance(result, Made)
        with result.content.open() as stream:
            return result.record, stream.read()


def test_a_job_can_be_made_in_another_process(tmp_path: Path) -> None:
    layers = Layers()
    one = job(layers.add(app(1)), layers.add(app(2)))
    for key, data in layers.target.contents.items():
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(data)
    (tmp_path / "work").mkdir()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        record, elsewhere = processes.submit(_make_elsewhere, one, tmp_path, tmp_path / "work").result()
    with workshop(layers, tmp_path / "here") as shop:
        [(result, here)] = results(shop, one).values()
    assert isinstance(result, Made)
    assert (record, elsewhere) == (result.record, here)
