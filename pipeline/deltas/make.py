"""One delta job: extract, encode, prove.

Rule 1. Every delta is applied to the extracted old layer, and the DiffID of the result compared, before anybody may
        list it. What does not prove is an error of that delta alone.
Rule 2. A layer is decompressed once for all announced jobs that use it, verified on the way, and so are its files
        listed, hashed and sampled, and matched with what several old layers hold; its temporary files go as soon as no
        job needs them.
Rule 3. No layer is held in memory. Whatever takes much of it, extraction and proof as well as matching and compression,
        is a task of the pool, which keeps all of them together within the budget.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Generic, TypeVar
from uuid import uuid4

from ..content import FileContent, digest_of
from ..errors import DeltapressError
from ..history.resolver import ContentResolver, LayerLocator
from ..limits import Limits
from ..tardiff.decoder import applying_memory
from ..tardiff.encoder import encode
from ..tardiff.knowledge import Knowledge
from ..tardiff.layer.forms import summary
from ..tardiff.layer.new_tar import NewTar
from ..tardiff.layer.tar import TarError
from ..tardiff.layer.tree import SourceTree
from ..tardiff.pool import Pool
from .job import DeltaJob, Failed, Made, Refused, Result
from .layers import LayerSource, reading_memory
from .prove import prove

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_Sources = tuple[tuple[LayerLocator, ...], Limits]
_Layer = tuple[LayerLocator, Limits]


class Workshop:
    """What the jobs of one process share: extracted layers, what one delta leaves to others, and the memory.

    `directory` is for temporary files.
    """

    def __init__(self, *, resolver: ContentResolver, directory: Path, pool: Pool) -> None:
        self.directory, self.pool = directory, pool
        self.knowledge = Knowledge()
        self._resolver = resolver
        self._trees: _Shared[_Sources, SourceTree] = _Shared()
        self._tars: _Shared[_Layer, NewTar] = _Shared()

    def announce(self, jobs: Iterable[DeltaJob]) -> None:
        """These will be made: what they share is kept until the last of them has had it."""
        for job in jobs:
            self._trees.announce((job.sources, job.limits))
            self._tars.announce((job.layer, job.limits))

    @contextmanager
    def layers(self, job: DeltaJob) -> Iterator[tuple[Callable[[], SourceTree], Callable[[], NewTar]]]:
        """How to get the old files and the new tar of an announced job."""
        with ExitStack() as held:
            tree = held.enter_context(
                self._trees.use((job.sources, job.limits), lambda: self._extracted(job), _remove_tree)
            )
            tar = held.enter_context(self._tars.use((job.layer, job.limits), lambda: self._unpacked(job), _remove_tar))
            yield tree, tar

    def within(self, memory: int, function: Callable[[], T]) -> T:
        """`function()`, run by the pool once `memory` bytes are free. Raises what it raises, and CancelledError."""
        return self.pool.submit(memory, function).result()

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """The name of a new file or folder, which stays unless making it fails: the run goes on, the disk is not ours.

        Raises CancelledError, whose `Failed` nobody takes any more, when the pool is stopped.
        """
        if self.pool.is_stopped:
            raise CancelledError
        path = self.directory / uuid4().hex
        try:
            yield path
        except BaseException:  # an interrupt too must leave no half of it on the disk
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            raise

    def _extracted(self, job: DeltaJob) -> SourceTree:
        source = LayerSource(resolver=self._resolver, limits=job.limits)
        with self.temporary() as path:
            memory = reading_memory([locator.layer for locator in job.sources])
            return self.within(memory, lambda: source.extract(job.sources, path))

    def _unpacked(self, job: DeltaJob) -> NewTar:
        source = LayerSource(resolver=self._resolver, limits=job.limits)

        def unpack() -> NewTar:
            source.unpack(job.layer, path)
            return NewTar.at(path)

        with self.temporary() as path:
            return self.within(reading_memory([job.layer.layer]), unpack)


def make(job: DeltaJob, workshop: Workshop) -> Result:
    """The result of an announced job. Not to be called in a task of the workshop's pool, for whose tasks it waits."""
    try:
        with workshop.layers(job) as (tree, tar):
            return _make(job, tree(), tar(), workshop)
    except TarError as error:
        return Refused(job=job, record=job.record(refused=f"the old layer is not a readable tar: {error}"))
    except DeltapressError as error:
        return Failed(job=job, problem=str(error))
    except MemoryError:
        return Failed(job=job, problem="memory ran out; lower `memory` in [limits], so that less is done at once")
    except OSError as error:
        return Failed(job=job, problem=f"temporary files in {workshop.directory}: {error.strerror or error}")
    except Exception as error:  # noqa: BLE001 - a bug that one delta meets must not keep the others from being made
        return Failed(job=job, problem=f"internal error ({type(error).__name__}: {error}); please report it")


def _make(job: DeltaJob, tree: SourceTree, tar: NewTar, workshop: Workshop) -> Made | Refused:
    lost_sources = summary(tree.doubts) if tree.doubts else ""
    with workshop.temporary() as path:
        with path.open("wb") as out:
            encoded = encode(tree, tar, out, options=job.options, pool=workshop.pool, knowledge=workshop.knowledge)
        if encoded.size > job.max_size:
            path.unlink()
            size = job.layer.layer.size
            reason = f"{encoded.size:,} bytes are more than the policy allows for a layer of {size:,} bytes"
            refused = job.record(size=encoded.size, refused=reason)
            return Refused(job=job, record=refused, lost_sources=lost_sources)

        def check() -> None:
            with path.open("rb") as delta:
                prove(delta, tree, job.key.to_diff_id, size=tar.size)

        with path.open("rb") as delta:
            memory = applying_memory(delta)
        workshop.within(memory, check)
    content = FileContent(path=path, size=encoded.size)
    record = job.record(size=encoded.size, digest=digest_of(content))
    return Made(job=job, record=record, content=content, lost_sources=lost_sources)


def _remove_tar(tar: NewTar) -> None:
    tar.path.unlink()


def _remove_tree(tree: SourceTree) -> None:
    shutil.rmtree(tree.directory)


class _Shared(Generic[K, V]):
    """Costly things that several jobs use: made by the first, removed after the last of those that were announced."""

    def __init__(self) -> None:
        self._left: Counter[K] = Counter()
        self._locks: dict[K, threading.Lock] = {}
        self._made: dict[K, V] = {}

    def announce(self, key: K) -> None:
        """There will be one more user."""
        with self._locks.setdefault(key, threading.Lock()):
            self._left[key] += 1

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
