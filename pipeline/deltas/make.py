"""Run the delta jobs of a plan: extract, encode, prove.

Rule 1. Every delta is applied to the extracted old layer, and the DiffID of the result compared, before anybody may
        list it. What does not prove is an error of that delta alone.
Rule 2. A layer is decompressed once for all jobs that use it, verified against its DiffID on the way, and so are its
        files listed, hashed and sampled, and matched with what several old layers hold; its temporary files go as soon
        as no job needs them.
Rule 3. Results come as they are ready, but what they are depends on neither order nor number of workers.
Rule 4. No layer is held in memory; the pool keeps the memory of matching within the budget.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

from ..content import Content, FileContent, digest_of
from ..errors import DeltapressError
from ..history.records import DeltaRecord, LayerRecord
from ..oci.digest import Digest
from ..progress import Progress
from ..tardiff.encoder import GENERATOR, EncoderOptions, encode
from ..tardiff.knowledge import Knowledge
from ..tardiff.layer.new_tar import NewTar
from ..tardiff.layer.tar import TarError
from ..tardiff.layer.tree import SourceTree
from ..tardiff.pool import Pool
from .layers import LayerSource
from .plan import DeltaJob
from .prove import prove

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A job that ended with a delta, or with a lasting reason for none. `content` is None in the second case.

    The content is valid until the next result is taken.
    """

    job: DeltaJob
    record: DeltaRecord
    content: Content | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that must be looked at; it is tried again in the next run."""

    job: DeltaJob
    problem: str


Result = Made | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What all jobs of a run share; `directory` is for temporary files, `knowledge` what one delta leaves to others."""

    layers: LayerSource
    directory: Path
    pool: Pool
    options: EncoderOptions
    knowledge: Knowledge = field(default_factory=Knowledge)


def make_deltas(jobs: Sequence[DeltaJob], workshop: Workshop, *, progress: Progress) -> Iterator[Result]:
    """The result of each job, as soon as it is there.

    What is wrong with one job is a `Failed`. Closing the iterator early, or an interrupt, ends the work as soon as what
    is being read, matched or compressed at that moment is; what is in the workshop's directory then is for its owner to
    remove.
    """
    trees = _Shared[tuple[LayerRecord, ...], SourceTree](Counter(job.sources for job in jobs))
    tars = _Shared[LayerRecord, NewTar](Counter(job.layer for job in jobs))
    with progress.task("deltas", len(jobs)) as task, ThreadPoolExecutor(workshop.pool.workers) as coordinators:
        try:
            waiting = {coordinators.submit(_run, job, workshop, trees, tars): job for job in jobs}
            for future in as_completed(waiting):
                result = future.result()
                task.advance()
                yield result
                if isinstance(result, Made) and isinstance(result.content, FileContent):
                    result.content.path.unlink()
        except BaseException:
            workshop.pool.stop()
            raise
        finally:
            coordinators.shutdown(wait=False, cancel_futures=True)


def _run(
    job: DeltaJob,
    workshop: Workshop,
    trees: "_Shared[tuple[LayerRecord, ...], SourceTree]",
    tars: "_Shared[LayerRecord, NewTar]",
) -> Result:
    try:
        with ExitStack() as held:
            tree = held.enter_context(trees.use(job.sources, lambda: _extract(job.sources, workshop), _remove_tree))
            tar = held.enter_context(tars.use(job.layer, lambda: _unpack(job.layer, workshop), _remove_tar))
            return _make(job, tree(), tar(), workshop)
    except TarError as error:
        return Made(
            job=job,
            record=_record(job, workshop, refused=f"the old layer is not a readable tar: {error}"),
            content=None,
        )
    except DeltapressError as error:
        return Failed(job=job, problem=str(error))
    except OSError as error:
        return Failed(job=job, problem=f"temporary files in {workshop.directory}: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001  # a bug that one delta meets must not keep the others from being made
        return Failed(job=job, problem=f"internal error ({type(error).__name__}: {error}); please report it")


def _make(job: DeltaJob, tree: SourceTree, tar: NewTar, workshop: Workshop) -> Made:
    with _temporary(workshop) as path:
        _check_not_stopped(workshop)
        with path.open("wb") as out:
            encoded = encode(tree, tar, out, options=workshop.options, pool=workshop.pool, knowledge=workshop.knowledge)
        if encoded.size > job.max_size:
            path.unlink()
            reason = f"{encoded.size:,} bytes are more than the policy allows for a layer of {job.layer.size:,} bytes"
            return Made(job=job, record=_record(job, workshop, size=encoded.size, refused=reason), content=None)
        _check_not_stopped(workshop)
        with path.open("rb") as delta:
            prove(delta, tree, job.key.to_diff_id, size=tar.size)
    content = FileContent(path=path, size=encoded.size)
    return Made(job=job, record=_record(job, workshop, size=encoded.size, digest=digest_of(content)), content=content)


def _check_not_stopped(workshop: Workshop) -> None:
    """Raises CancelledError, whose `Failed` nobody takes any more."""
    if workshop.pool.is_stopped:
        raise CancelledError


def _unpack(layer: LayerRecord, workshop: Workshop) -> NewTar:
    _check_not_stopped(workshop)
    with _temporary(workshop) as path:
        workshop.layers.unpack(layer, path)
        return NewTar.at(path)


def _extract(layers: Sequence[LayerRecord], workshop: Workshop) -> SourceTree:
    _check_not_stopped(workshop)
    with _temporary(workshop) as path:
        return workshop.layers.extract(layers, path)


def _remove_tar(tar: NewTar) -> None:
    tar.path.unlink()


def _remove_tree(tree: SourceTree) -> None:
    shutil.rmtree(tree.directory)


@contextmanager
def _temporary(workshop: Workshop) -> Iterator[Path]:
    """The name of a new file or folder, which stays unless making it fails: the run goes on, the disk is not ours."""
    path = workshop.directory / uuid4().hex
    try:
        yield path
    except BaseException:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        raise


def _record(
    job: DeltaJob, workshop: Workshop, *, size: int = 0, digest: Digest | None = None, refused: str | None = None
) -> DeltaRecord:
    return DeltaRecord(
        key=job.key,
        generator=GENERATOR,
        options=workshop.options.key,
        size=size,
        digest=digest,
        refused=refused,
    )


class _Shared(Generic[K, V]):
    """Costly things that several jobs use: made by the first, removed after the last of those that were announced."""

    def __init__(self, uses: Mapping[K, int]) -> None:
        self._left = dict(uses)
        self._locks = {key: threading.Lock() for key in uses}
        self._made: dict[K, V] = {}

    @contextmanager
    def use(self, key: K, make: Callable[[], V], remove: Callable[[V], None]) -> Iterator[Callable[[], V]]:
        """Count as one user, who makes the thing when it asks for it and nobody has yet. A maker that fails is tried
        again by the next."""

        def get() -> V:
            with self._locks[key]:
                if key not in self._made:
                    self._made[key] = make()
                return self._made[key]

        try:
            yield get
        finally:
            with self._locks[key]:
                self._left[key] -= 1
                if not self._left[key] and key in self._made:
                    remove(self._made.pop(key))
