"""Who makes delta jobs: one interface, and threads behind it.

Which thread waits for which. The caller of `results` waits for coordinators, one of which makes one job from beginning
to end. A coordinator waits for tasks of the pool, and for another coordinator only while that one extracts a layer that
both need; it holds the lock of one such layer at a time. A task of the pool waits for nobody, so whatever the memory
budget admits comes to an end, and with it all that waits. Results come as they are ready; what they are depends neither
on their order nor on the number of workers.

Jobs wait for the caller: while it is busy with a result, say with storing it, no more than two for each coordinator are
made and not taken. Finished deltas are files, of which there would be as many as jobs beside a slow target.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Final, Protocol, Self

from ..content import FileContent
from ..progress import Progress
from .job import DeltaJob, Made, Result
from .make import Workshop, make

_NOT_TAKEN: Final = 2  # jobs for each coordinator


class Executor(Protocol):
    """Makes jobs, somewhere."""

    def submit(self, jobs: Sequence[DeltaJob]) -> None:
        """Begin with `jobs`, those in front first."""
        ...

    def results(self) -> Iterator[Result]:
        """The result of each submitted job, as soon as it is there. What is wrong with one job is a `Failed`.

        The bytes of a `Made` are valid until the next result is taken.
        """
        ...

    def stop(self) -> None:
        """Begin with nothing more, and let what is being read, matched or compressed at this moment end."""
        ...


class ThreadExecutor:
    """As many jobs at the same time as the pool of `workshop` has workers; to be used as a context manager.

    What is in the workshop's directory after a stop is for its owner to remove.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._coordinators = ThreadPoolExecutor(workshop.pool.workers, thread_name_prefix="delta")
        self._waiting: deque[DeltaJob] = deque()
        self._running: set[Future[Result]] = set()

    def submit(self, jobs: Sequence[DeltaJob]) -> None:
        self._workshop.announce(jobs)
        self._waiting += jobs
        self._begin()

    def results(self) -> Iterator[Result]:
        while self._running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                yield result
                if isinstance(result, Made) and isinstance(result.content, FileContent):
                    result.content.path.unlink()
                self._running.remove(future)
                self._begin()

    def _begin(self) -> None:
        """Hand as many jobs to the coordinators as may be made and not taken."""
        while self._waiting and len(self._running) < _NOT_TAKEN * self._workshop.pool.workers:
            self._running.add(self._coordinators.submit(make, self._waiting.popleft(), self._workshop))

    def stop(self) -> None:
        self._waiting.clear()
        self._workshop.pool.stop()
        self._coordinators.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.stop()
        self._coordinators.shutdown()


def make_deltas(jobs: Sequence[DeltaJob], executor: Executor, *, progress: Progress) -> Iterator[Result]:
    """The results of `jobs`. Closing the iterator early, or an interrupt, stops the executor.

    Progress counts the bytes of the layers that are made, for these say more about the time than their number.
    """
    with progress.task("deltas", sum(job.layer.layer.size for job in jobs), "bytes") as task:
        try:
            executor.submit(jobs)
            for result in executor.results():
                task.advance(result.job.layer.layer.size)
                yield result
        except BaseException:  # an interrupt, or a caller that wants no more, ends what runs
            executor.stop()
            raise
