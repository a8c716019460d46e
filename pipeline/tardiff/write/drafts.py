"""The same delta written in several ways, of which one is compressed and kept.

Where a file differs from its source in many places, equal bytes between two changes can be zeros inside an AddData or a
Copy of their own; and two matchers find different covers. Which compresses better depends on the layer, and cannot be
told from some of it: mixed, the ways spoil each other's statistics. So whole streams are written, tried at a quick
level, and compared.

Rule 1. An operation has a price. Every client pays for each with a read and a write, so more of them must save bytes.
Rule 2. A draft that is cut finer is given up where changes are dense, as early as that is clear. An operation costs a
        byte or two, and so does skipping a run of zeros: where a finer cut saves next to nothing before compression, it
        does so behind it.
Rule 3. Operations wait in temporary files, not in memory, and the window of the compressor is fitted to their size.
"""

import os
from collections.abc import Sequence
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Self

from ...compression import Strength, Writable, ZstdFrameWriter, zstd_memory
from ..layer.regions import ByteArray
from ..match.cover import CoverArray
from ..pool import Pool
from .differences import differences, write_differences
from .writer import OpWriter

_PRICE = 0.04  # bytes that one operation must save: each takes a client some microseconds
_LEAST_SAVED = 18  # bytes of a draft, before compression, by each operation that it has more than a coarser one
_LEAST_SHARE = 1 / 16  # of the coarser draft, to be worth a trial
_CLEAR = 1 << 17  # operations: with fewer the rest of the layer can still decide otherwise
_INCOMPRESSIBLE = 0.95  # of its size: more strength would only take long over it
_PIECE = 1 << 20
_PROBE, _PROBES = 1 << 16, 16  # bytes of one, and how many of a draft at most


@dataclass(slots=True)
class _Draft:
    matcher: int
    gap: int
    file: IO[bytes]
    writer: OpWriter


class Drafts:
    """Takes what a delta is made of, and writes it once for each gap (see `differences`) and each matcher's covers.

    Temporary files are made in `directory`. To be used as a context manager.
    """

    def __init__(self, gaps: Sequence[int], matchers: int, directory: Path) -> None:
        self._files = ExitStack()
        self._drafts = []
        for matcher, gap in product(range(matchers), gaps):
            file = self._files.enter_context(TemporaryFile(prefix="deltapress-", dir=directory))  # noqa: SIM115 - it is one
            self._drafts.append(_Draft(matcher, gap, file, OpWriter(file)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def literal(self, data: bytes) -> None:
        """Emit `data`."""
        for draft in self._drafts:
            draft.writer.data(data)

    def copy(self, path: bytes, size: int) -> None:
        """Emit all `size` bytes of the source `path`."""
        for draft in self._drafts:
            draft.writer.copy(path, 0, size)

    def covered(self, path: bytes, old: ByteArray, new: ByteArray, covers: Sequence[CoverArray]) -> None:
        """Emit `new` from the content `old` of the source `path`, by the cover of each matcher."""
        for matcher, cover in enumerate(covers):
            for piece in differences(old, new, cover):
                drafts = [draft for draft in self._drafts if draft.matcher == matcher]
                for draft in drafts:
                    write_differences(draft.writer, path, piece, gap=draft.gap)
                if any(draft.writer.ops >= _CLEAR for draft in drafts):
                    self._give_up()

    def finish(self, out: Writable, *, trial: Strength, final: Strength, pool: Pool) -> tuple[int, OpWriter]:
        """Write the best of them to `out` as one zstd frame; the frame's size and the writer of its operations.

        With `trial` they are compared, with `final` the best is written; what cannot be compressed is with `trial`.
        """
        for draft in self._drafts:
            draft.writer.finish()
            draft.file.flush()
        self._give_up()
        best = self._drafts[0]
        if len(self._drafts) > 1:
            tasks = [pool.submit(zstd_memory(trial, draft.file.tell()), _tried, draft, trial) for draft in self._drafts]
            wait(tasks)
            _, number = min((task.result(), number) for number, task in enumerate(tasks))
            best = self._drafts[number]
        probing = pool.submit(zstd_memory(trial, _PROBES * _PROBE), _is_incompressible, best, trial)
        strength = trial if probing.result() else final
        memory = zstd_memory(strength, best.file.tell())
        return pool.submit(memory, _compressed, best, out, strength).result(), best.writer

    def _give_up(self) -> None:
        """Drop the drafts of rule 2."""
        coarsest = {draft.matcher: draft for draft in sorted(self._drafts, key=lambda draft: draft.gap)}
        self._drafts = [
            draft
            for draft in self._drafts
            if draft is (coarse := coarsest[draft.matcher]) or _is_promising(draft, coarse)
        ]


def _is_promising(fine: _Draft, coarse: _Draft) -> bool:
    size = coarse.file.tell()
    saved = size - fine.file.tell()
    return saved > max(_LEAST_SAVED * (fine.writer.ops - coarse.writer.ops), _LEAST_SHARE * size)


def _tried(draft: _Draft, strength: Strength) -> float:
    """What `draft` costs, bytes."""
    return _compressed(draft, _Nowhere(), strength) + _PRICE * draft.writer.ops


def _compressed(draft: _Draft, out: Writable, strength: Strength) -> int:
    size = draft.file.tell()
    frame = ZstdFrameWriter(out, strength=strength, size_bound=size)
    draft.file.seek(0)
    while data := draft.file.read(_PIECE):
        frame.write(data)
    frame.finish()
    return frame.size


def _is_incompressible(draft: _Draft, strength: Strength) -> bool:
    """Whether most of it is, judged by probes."""
    frame = ZstdFrameWriter(_Nowhere(), strength=strength, size_bound=_PROBES * _PROBE)
    size = draft.file.tell()
    probed = 0
    for at in range(0, size, max(_PROBE, -(-size // _PROBES))):
        probe = os.pread(draft.file.fileno(), _PROBE, at)
        frame.write(probe)
        probed += len(probe)
    frame.finish()
    return frame.size >= _INCOMPRESSIBLE * probed


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)
