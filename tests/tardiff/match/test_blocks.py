"""Large files in blocks: what is known, and where the rest comes from."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tardiff.layer.regions import ByteArray
from pipeline.tardiff.match.blocks import BLOCK, MOST_OLD, Block, blocks, dividing_memory, is_small
from pipeline.tardiff.match.ranges import Ranges
from tests.conftest import examples

CHUNK = 1 << 16
MIB = 1 << 20


def noise(seed: int, size: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def rebuilt(data: ByteArray) -> ByteArray:
    """`data` with so many changes that no stretch of it is known, and windows left to anchor it."""
    changed = data.copy()
    changed[::24] += 1
    return changed


def holds(ranges: Ranges, start: int, stop: int) -> bool:
    return any(begin <= start and stop <= end for begin, end in ranges.ranges)


def divided(old: ByteArray, new: ByteArray) -> list[Block]:
    """The blocks where nothing is known."""
    known, found = blocks(old, new)
    assert not len(known)
    return list(found)


def test_small_files_are_one_block_with_all_of_old() -> None:
    assert is_small(1000, 5000)
    (block,) = divided(noise(1, 1000), noise(2, 5000))
    assert block == Block(new=Ranges(((0, 5000),)), old=Ranges(((0, 1000),)))


def test_blocks_hold_all_of_new_in_order() -> None:
    new = noise(2, 2 * BLOCK + 12_345)
    ranges = [pair for block in divided(noise(1, 1000), new) for pair in block.new.ranges]
    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
    assert ranges[-1][1] == len(new)
    assert max(stop - start for start, stop in ranges) <= BLOCK


def test_a_block_finds_what_has_moved() -> None:
    old = noise(1, 4 * BLOCK)
    new = rebuilt(np.concatenate((old[3 * BLOCK :], noise(2, 1000), old[: 2 * BLOCK - 1000])))
    first, second, third = divided(old, new)
    assert holds(first.old, 3 * BLOCK, 4 * BLOCK)
    assert holds(second.old, 0, BLOCK - 1000)
    assert holds(third.old, BLOCK, 2 * BLOCK - 1000)
    assert max(block.old.size for block in (first, second, third)) <= BLOCK + 4 * CHUNK


def test_a_block_comes_from_several_places() -> None:
    old = noise(1, 12 * BLOCK)
    starts = range(0, len(old), 3 * BLOCK)
    (block,) = divided(old, rebuilt(np.concatenate([old[at : at + MIB] for at in starts])))
    assert all(holds(block.old, at, at + MIB) for at in starts)
    assert block.old.size <= MOST_OLD


def test_a_new_file_has_no_part_of_old() -> None:
    for block in divided(noise(1, 3 * BLOCK), noise(2, 2 * BLOCK)):
        assert block.old.ranges == ()


def test_what_no_window_anchors_is_expected_where_its_surroundings_are() -> None:
    old = noise(1, 6 * BLOCK)
    table = old[2 * BLOCK + 1000 : 3 * BLOCK].copy()
    table[::8] += 1
    new = np.concatenate((rebuilt(old[BLOCK : 2 * BLOCK + 1000]), table, rebuilt(old[3 * BLOCK : 4 * BLOCK])))
    for block in divided(old, new):
        ((start, stop),) = block.new.ranges
        assert holds(block.old, start + BLOCK, stop + BLOCK)


def test_stretches_are_known_and_the_rest_is_matched_with_what_lies_beside_them() -> None:
    old = noise(1, 4 * BLOCK)
    changed = old.copy()
    changed[1000::1000] += 1
    new = np.concatenate((changed[:MIB], noise(2, 70_000), changed[MIB + 5000 : 3 * MIB], changed[5 * MIB :]))
    known, (block,) = blocks(old, new)
    assert [new - old for old, new in known[:, :2].tolist()] == [0, 65_000, 65_000 - 2 * MIB]
    assert known[:, 2].sum() > len(new) - 70_000 - 6000
    inserted = next(pair for pair in block.new.ranges if pair[0] < MIB + 10 < pair[1])
    assert inserted == pytest.approx((MIB, MIB + 70_000), abs=2000)
    assert holds(block.old, MIB - 1000, MIB + 6000)
    assert block.new.size + known[:, 2].sum() <= len(new)
    assert block.old.size < MIB


def test_a_large_file_with_two_changed_bytes_is_known() -> None:
    old = noise(1, 5 * BLOCK)
    new = old.copy()
    new[[7 * MIB, 9 * MIB]] += 1
    known, found = blocks(old, new)
    assert len(known) == 1
    assert sum(block.new.size for block in found) < 1000


@pytest.mark.parametrize("old", [np.zeros(3 * BLOCK, np.uint8), np.arange(3 * BLOCK, dtype=np.uint8)], ids=str)
def test_data_without_windows_of_its_own(old: ByteArray) -> None:
    for block in divided(old, old[: 2 * BLOCK]):
        assert block.old.size <= MOST_OLD


def test_a_file_that_holds_everything_twice_is_still_found() -> None:
    half = noise(1, 2 * BLOCK)
    old = np.concatenate((half, half))
    for block in divided(old, half[: 2 * BLOCK - 10]):
        ((start, stop),) = block.new.ranges
        assert holds(block.old, start, stop)


def test_a_small_file_is_not_matched_with_all_of_a_large_source() -> None:
    old = noise(1, MOST_OLD)
    (block,) = divided(old, rebuilt(old[3 * MIB : 3 * MIB + 100_000]))
    assert holds(block.old, 3 * MIB, 3 * MIB + 100_000)
    assert block.old.size <= MIB


@pytest.mark.parametrize("size", [MIB, 16 * MIB, 65 * MIB])
def test_dividing_takes_no_more_memory_than_was_said(size: int) -> None:
    old, new = noise(1, size), noise(2, size)
    tracemalloc.start()
    blocks(old, new)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= dividing_memory(size, size)


def test_no_block_has_more_of_old_than_allowed() -> None:
    old = noise(1, 10 * BLOCK)
    scattered = np.concatenate([old[at : at + 2048] for at in range(0, len(old), 20_000)])
    (block,) = divided(old, scattered[:BLOCK])
    assert BLOCK < block.old.size <= MOST_OLD


RANGES = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 30)), min_size=1, max_size=6).map(
    lambda gaps: Ranges(
        tuple(
            (sum(map(sum, gaps[:number])) + gap, sum(map(sum, gaps[:number])) + gap + size)
            for number, (gap, size) in enumerate(gaps)
        )
    )
)


@settings(max_examples=examples(200))
@given(
    old=RANGES,
    new=RANGES,
    rows=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(1, 60)), max_size=6),
)
def test_a_cover_of_joined_ranges_is_placed_in_the_files(
    old: Ranges, new: Ranges, rows: list[tuple[int, int, int]]
) -> None:
    places = [place for start, stop in old.ranges for place in range(start, stop)]
    goals = [goal for start, stop in new.ranges for goal in range(start, stop)]
    cover, end = [], 0
    for place, gap, length in rows:
        if place + length <= len(places) and end + gap + length <= len(goals):
            cover.append((place, end + gap, length))
            end += gap + length
    placed = Block(new=new, old=old).placed(np.array(cover, np.int64).reshape(-1, 3))
    assert [(place + n, goal + n) for place, goal, length in placed.tolist() for n in range(length)] == [
        (places[place + n], goals[goal + n]) for place, goal, length in cover for n in range(length)
    ]
    assert old.joined(np.arange(256, dtype=np.uint8)) == bytes(places)
