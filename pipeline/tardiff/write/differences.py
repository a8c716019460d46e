"""Differences of a new file from its source, cut into operations and written thousands at once, as arrays.

A file that was rebuilt differs in hundreds of thousands of places, and a Python statement for each would take longer
than finding them.

Rule 1. Work is done in pieces of 256 KiB of new, whose arrays stay in a processor's cache; memory does not depend on
        the size of a file.
Rule 2. Inside a row of the cover, a run of at least `gap` equal bytes is a Copy; what is between such runs is one
        AddData. Whatever no row covers is Data.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..format import Op
from ..layer.regions import ByteArray
from ..match.cover import CoverArray, clipped
from .writer import OpWriter

PIECE = 1 << 18
_FEW = 16  # rows that a loop writes faster than numpy starts

Numbers = NDArray[np.int64]

_NONE: Numbers = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """One piece of a new file against its source.

    `cover` is relative to the piece in new and ascends; `data` holds new - old where it covers (new, where nothing that
    is covered has changed), and new elsewhere. `changed` are the places, ascending, where a covered byte differs, and
    `owners` the numbers of their rows.
    """

    cover: CoverArray
    data: ByteArray
    changed: Numbers
    owners: Numbers


def differences(old: ByteArray, new: ByteArray, cover: CoverArray) -> Iterator[Differences]:
    """The pieces of `new`, in order."""
    if len(new) <= PIECE:
        yield _differences(old, new, cover)
        return
    for start in range(0, len(new), PIECE):
        stop = min(start + PIECE, len(new))
        yield _differences(old, new[start:stop], clipped(cover, start, stop))


def _differences(old: ByteArray, new: ByteArray, cover: CoverArray) -> Differences:
    if len(cover) < _FEW and all(
        np.array_equal(old[place : place + size], new[start : start + size]) for place, start, size in cover.tolist()
    ):
        return Differences(cover=cover, data=new, changed=_NONE, owners=_NONE)
    data = new.copy()
    # one by one: rows are long enough for that to be quicker than gathering their bytes at once
    for place, start, size in cover.tolist():
        data[start : start + size] -= old[place : place + size]
    starts = cover[:, 1]
    places = np.flatnonzero(data)
    owners = np.searchsorted(starts, places, "right") - 1
    is_covered = (owners >= 0) & (places < (starts + cover[:, 2])[owners])
    return Differences(cover=cover, data=data, changed=places[is_covered], owners=owners[is_covered])


def write_differences(writer: OpWriter, path: bytes, piece: Differences, *, gap: int) -> None:
    """Write `piece` of a file whose source is `path`."""
    if not len(piece.changed) and len(piece.cover) < _FEW:
        _write_copies(writer, path, piece)
        return
    kinds, starts, sizes, positions = _operations(piece, gap)
    first, last = 0, len(kinds)
    # the outermost may go on in what is written before and behind: there the writer joins them
    if last and kinds[0] != Op.ADD_DATA:
        _write_one(writer, path, piece, int(kinds[0]), int(starts[0]), int(sizes[0]), int(positions[0]))
        first = 1
    end = last - 1 if last > first and kinds[-1] != Op.ADD_DATA else last
    if first < end:
        inner = slice(first, end)
        _write_many(writer, path, piece.data, kinds[inner], starts[inner], sizes[inner], positions[inner])
    if end < last:
        _write_one(writer, path, piece, int(kinds[-1]), int(starts[-1]), int(sizes[-1]), int(positions[-1]))


def _write_copies(writer: OpWriter, path: bytes, piece: Differences) -> None:
    """Write a piece of which nothing that is covered has changed: layers can have thousands of small files."""
    at = 0
    for position, start, size in piece.cover.tolist():
        writer.data(piece.data[at:start].tobytes())
        writer.copy(path, position, size)
        at = start + size
    writer.data(piece.data[at:].tobytes())


def _operations(piece: Differences, gap: int) -> tuple[NDArray[np.uint8], Numbers, Numbers, Numbers]:
    """Kind, place in the piece, size, and position in old of each operation, without gaps."""
    row_starts = piece.cover[:, 1]
    row_stops = row_starts + piece.cover[:, 2]
    changed, owners = piece.changed, piece.owners
    if len(changed):
        is_apart = (np.diff(changed) > gap) | (np.diff(owners) > 0)
        breaks = np.flatnonzero(is_apart)
        opening, closing = np.append(0, breaks + 1), np.append(breaks, len(changed) - 1)
        sum_starts, sum_stops = changed[opening], changed[closing] + 1
        # equal bytes at the ends of a row that are too few for an operation join the sum beside them
        begins, ends = row_starts[owners[opening]], row_stops[owners[closing]]
        sum_starts = np.where(sum_starts - begins < gap, begins, sum_starts)
        sum_stops = np.where(ends - sum_stops < gap, ends, sum_stops)
    else:
        sum_starts = sum_stops = np.empty(0, np.int64)
    size = len(piece.data)
    edges = np.unique(np.concatenate((row_starts, row_stops, sum_starts, sum_stops, [0, size])))
    starts, sizes = edges[:-1], np.diff(edges)
    rows, is_covered = _holders(starts, row_starts, row_stops)
    _, is_sum = _holders(starts, sum_starts, sum_stops)
    kinds = np.where(is_sum, Op.ADD_DATA, np.where(is_covered, Op.COPY, Op.DATA)).astype(np.uint8)
    positions = np.where(is_covered, starts, 0)
    if len(row_starts):
        positions += np.where(is_covered, (piece.cover[:, 0] - row_starts)[rows], 0)
    return kinds, starts, sizes, positions


def _holders(places: Numbers, starts: Numbers, stops: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """For each place the number of the last range that begins at or before it, and whether the range holds it."""
    if not len(starts):
        return np.zeros(len(places), np.int64), np.zeros(len(places), np.bool_)
    numbers = np.searchsorted(starts, places, "right") - 1
    return numbers, (numbers >= 0) & (places < stops[numbers])


def _write_one(
    writer: OpWriter, path: bytes, piece: Differences, kind: int, start: int, size: int, position: int
) -> None:
    if kind == Op.DATA:
        writer.data(piece.data[start : start + size].tobytes())
    else:
        writer.copy(path, position, size)


def _write_many(
    writer: OpWriter,
    path: bytes,
    data: ByteArray,
    kinds: NDArray[np.uint8],
    starts: Numbers,
    sizes: Numbers,
    positions: Numbers,
) -> None:
    is_read = kinds != Op.DATA
    reading = np.flatnonzero(is_read)
    if not len(reading):
        writer.data(data[starts[0] : starts[-1] + sizes[-1]].tobytes())
        return
    ends = positions + sizes
    before = np.empty(len(kinds), np.int64)
    before[reading] = np.append(writer.begin_many(path), ends[reading[:-1]])
    seeks = reading[before[reading] != positions[reading]]
    seek_sizes = np.zeros(len(kinds), np.int64)
    seek_sizes[seeks] = 1 + _uvarint_sizes(positions[seeks])
    head_sizes = 1 + _uvarint_sizes(sizes)
    has_payload = kinds != Op.COPY
    totals = seek_sizes + head_sizes + np.where(has_payload, sizes, 0)
    offsets = np.cumsum(totals) - totals
    out = np.empty(int(totals.sum()), np.uint8)
    # what is not payload is marked by its edges: +1 where heads begin, -1 where they end
    edges = np.zeros(len(out) + 1, np.int8)
    edges[offsets] += 1
    edges[(offsets + seek_sizes + head_sizes)[has_payload]] -= 1
    ends_with_head = offsets[1:][~has_payload[:-1]]  # one head behind another: there the mark goes on
    edges[ends_with_head] -= 1
    is_head = np.cumsum(edges[:-1], dtype=np.int8) > 0
    out[~is_head] = data[starts[0] : starts[-1] + sizes[-1]][np.repeat(has_payload, sizes)]
    out[offsets[seeks]] = Op.SEEK
    _put_uvarints(out, offsets[seeks] + 1, positions[seeks])
    out[offsets + seek_sizes] = kinds
    _put_uvarints(out, offsets + seek_sizes + 1, sizes)
    writer.end_many(
        out.tobytes(),
        ops=len(kinds) + len(seeks),
        position=int(ends[reading[-1]]),
        literal=int(sizes[~is_read].sum()),
        copied=int(sizes[~has_payload].sum()),
        added=int(sizes[kinds == Op.ADD_DATA].sum()),
    )


def _uvarint_sizes(values: Numbers) -> Numbers:
    sizes = np.ones(len(values), np.int64)
    rest = values >> 7
    while rest.any():
        sizes += rest > 0
        rest >>= 7
    return sizes


def _put_uvarints(out: ByteArray, at: Numbers, values: Numbers) -> None:
    """Write each value, as unsigned LEB128, from its place on."""
    while len(values):
        more = values > 0x7F
        out[at] = (values & 0x7F) | more * np.int64(0x80)
        at, values = at[more] + 1, values[more] >> 7
