"""One zstd frame, written, for deltas.

Rule. What is written depends on the data and the parameters alone: the same two threads on every machine (libzstd gives
the same bytes for any number of them but none), no checksum, no dates.
"""

from typing import NamedTuple, Protocol

import zstandard

MAX_WINDOW_LOG = 27
"""The largest zstd window that libzstd accepts by default (128 MiB); more is neither written nor read."""

_PIECE = 1 << 18
_WORTH_THREADS = 4 << 20
_LARGEST_JOB = 64 << 20  # zstd holds the input of its jobs
_LARGEST_CHAIN_LOG, _LARGEST_HASH_LOG = 23, 20  # as good as the levels' own, which have up to 640 MiB
_ONE_PASS = {
    "strategy": zstandard.STRATEGY_BTOPT,
    "target_length": 999,  # the longest that a level uses
    # smaller than those of level 19, which take more memory and time than the bytes that they save are worth
    "chain_log": 21,
    "hash_log": 18,
    "search_log": 6,
}
_FAR_MATCH = 32  # bytes, of what tables are too small for; the library's choice loses more
_DENSEST, _LARGEST_FAR_LOG = 3, 20  # one place in eight is looked up, or fewer in a larger window


class Writable(Protocol):
    """What this package writes to."""

    def write(self, data: bytes, /) -> object: ...


class Strength(NamedTuple):
    """How hard zstd tries: one of its levels, and whether it prices its choices in one pass instead of two, with small
    tables.

    With one pass a match is taken as long as it comes, not cut to be priced again. Long matches abound in operations of
    deltas: there level 19 takes 0.35 to 0.5 of its time so, for 1 to 2 % more of binaries and 4 % less of many small
    files.
    """

    level: int
    one_pass: bool = False


class ZstdFrameWriter:
    """Writes one zstd frame to `out`.

    `size_bound` is an upper bound of what will be written: it makes the window (and the memory of the reader) no larger
    than needed. Strong levels look for far repetitions in a table of their own, too.
    """

    def __init__(self, out: Writable, *, strength: Strength, size_bound: int) -> None:
        self._compressor = zstandard.ZstdCompressor(compression_params=_parameters(strength, size_bound)).compressobj()
        self._out = out
        self._held = bytearray()
        self.size = 0
        """Bytes written to `out` so far."""

    def write(self, data: bytes) -> None:
        """Compress `data`; small pieces are gathered."""
        self._held += data
        if len(self._held) >= _PIECE:
            self._put(self._compressor.compress(bytes(self._held)))
            self._held.clear()

    def finish(self) -> None:
        """End the frame; nothing may be written after it."""
        self._put(self._compressor.compress(bytes(self._held)))
        self._put(self._compressor.flush())

    def _put(self, data: bytes) -> None:
        if data:
            self._out.write(data)
            self.size += len(data)


def zstd_memory(strength: Strength, size_bound: int) -> int:
    """What a `ZstdFrameWriter` with these parameters allocates, bytes."""
    # libzstd cannot estimate long-distance matching: its table has at most as many entries of eight bytes as we say
    parameters = _parameters(strength, size_bound, estimating=True)
    window = 1 << parameters.window_log
    far = 8 << parameters.window_log - _far_rate_log(parameters.window_log) if _prices(parameters) else 0
    one = parameters.estimated_compression_context_size() + far + 4 * _PIECE
    return 2 * one + 2 * window + size_bound if size_bound >= _WORTH_THREADS else one + window


def _parameters(
    strength: Strength, size_bound: int, *, estimating: bool = False
) -> zstandard.ZstdCompressionParameters:
    has_threads = size_bound >= _WORTH_THREADS and not estimating
    window_log = min(MAX_WINDOW_LOG, max(17, size_bound.bit_length()))
    level = zstandard.ZstdCompressionParameters.from_level(strength.level, source_size=max(1, size_bound))
    search = {
        "chain_log": min(level.chain_log, _LARGEST_CHAIN_LOG),
        "hash_log": min(level.hash_log, _LARGEST_HASH_LOG),
        **(_ONE_PASS if strength.one_pass else {}),
    }
    # a tree that is deeper than the window only takes memory
    search["chain_log"] = min(search["chain_log"], window_log + 1)
    # others take every far match, whatever its offset costs: layers of small files get up to half as large again
    is_looking_far = _prices(level) and not estimating
    rate_log = _far_rate_log(window_log)
    far = {"ldm_min_match": _FAR_MATCH, "ldm_hash_rate_log": rate_log, "ldm_hash_log": window_log - rate_log}
    return zstandard.ZstdCompressionParameters.from_level(
        strength.level,
        source_size=max(1, size_bound),
        window_log=window_log,
        enable_ldm=is_looking_far,
        write_checksum=False,
        write_content_size=False,
        # two halves, the second of which sees a quarter of a window of the first; a job is never smaller than that
        threads=2 if has_threads else 0,
        job_size=min(_LARGEST_JOB, -(-size_bound // 2)) if has_threads else 0,
        overlap_log=7 if has_threads else 0,
        **search,
        **(far if is_looking_far else {}),
    )


def _prices(parameters: zstandard.ZstdCompressionParameters) -> bool:
    """Whether the strategy weighs what its choices cost."""
    return bool(parameters.strategy >= zstandard.STRATEGY_BTOPT)


def _far_rate_log(window_log: int) -> int:
    """Of how many places the far ones are looked up, one in two to the power of this: the table has room for those."""
    return max(_DENSEST, window_log - _LARGEST_FAR_LOG)
