"""Large files in blocks: where each comes from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tardiff.blocks import BLOCK, MOST_OLD, Block, blocks, is_small
from pipeline.tardiff.windows import ByteArray

CHUNK = 1 << 16


def noise(seed: int, size: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def holds(block: Block, start: int, stop: int) -> bool:
    return any(begin <= start and stop <= end for begin, end in block.parts)


def test_small_files_are_one_block_with_all_of_old() -> None:
    assert is_small(MOST_OLD, BLOCK)
    old, new = noise(1, 1000), noise(2, 5000)
    assert list(blocks(old, new)) == [Block(start=0, stop=5000, parts=((0, 1000),))]


def test_blocks_hold_all_of_new_in_order() -> None:
    new = noise(2, 2 * BLOCK + 12_345)
    found = list(blocks(noise(1, 1000), new))
    assert [block.start for block in found] == [0, *(block.stop for block in found[:-1])]
    assert found[-1].stop == len(new)
    assert max(block.size for block in found) <= BLOCK


def test_a_block_finds_what_has_moved() -> None:
    old = noise(1, 4 * BLOCK)
    inserted = noise(2, 1000)
    new = np.concatenate((old[3 * BLOCK :], inserted, old[: 2 * BLOCK - 1000]))
    first, second, third = blocks(old, new)
    assert holds(first, 3 * BLOCK, 4 * BLOCK)
    assert holds(second, 0, BLOCK - 1000)
    assert holds(third, BLOCK, 2 * BLOCK - 1000)
    assert max(block.old_size for block in (first, second, third)) <= BLOCK + 4 * CHUNK


def test_a_block_comes_from_several_places() -> None:
    old = noise(1, 12 * BLOCK)
    new = np.concatenate([old[at : at + (1 << 20)] for at in range(0, len(old), 3 * BLOCK)])
    (block,) = blocks(old, new)
    assert all(holds(block, at, at + (1 << 20)) for at in range(0, len(old), 3 * BLOCK))
    assert block.old_size <= MOST_OLD


def test_a_new_block_has_no_part_of_old() -> None:
    old = noise(1, 3 * BLOCK)
    new = np.concatenate((old[:BLOCK], noise(2, BLOCK)))
    known, unknown = blocks(old, new)
    assert known.parts
    assert unknown.parts == ()


@pytest.mark.parametrize("old", [np.zeros(3 * BLOCK, np.uint8), np.arange(3 * BLOCK, dtype=np.uint8)], ids=str)
def test_data_without_windows_of_its_own(old: ByteArray) -> None:
    for block in blocks(old, old[: 2 * BLOCK]):
        assert block.old_size <= MOST_OLD


def test_a_file_that_holds_everything_twice_is_still_found() -> None:
    half = noise(1, 2 * BLOCK)
    old = np.concatenate((half, half))
    for block in blocks(old, np.concatenate((half, noise(2, 10)))):
        assert holds(block, block.start, min(block.stop, len(half)))


def test_no_block_has_more_of_old_than_allowed() -> None:
    old = noise(1, 10 * BLOCK)
    scattered = np.concatenate([old[at : at + 2048] for at in range(0, len(old), 20_000)])
    (block,) = blocks(old, scattered[:BLOCK])
    assert BLOCK < block.old_size <= MOST_OLD


@settings(deadline=None, max_examples=200)
@given(
    gaps=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30)), min_size=1, max_size=6),
    rows=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9), st.integers(1, 60)), max_size=6),
    start=st.integers(0, 100),
)
def test_a_cover_of_the_parts_is_placed_in_old(
    gaps: list[tuple[int, int]], rows: list[tuple[int, int, int]], start: int
) -> None:
    parts, at = [], 0
    for gap, size in gaps:
        # parts that touch would be one
        parts.append((at + gap + 1, at + gap + 1 + size))
        at = parts[-1][1]
    old = noise(3, at)
    content = b"".join(old[begin:end].tobytes() for begin, end in parts)
    cover, end = [], 0
    for place, gap, length in rows:
        if place + length <= len(content):
            cover.append((place, end + gap, length))
            end += gap + length
    block = Block(start=start, stop=start + end, parts=tuple(parts))
    placed = block.placed(np.array(cover, np.int64).reshape(-1, 3))
    assert block.content(old) == content
    assert [
        (new, byte)
        for place, new, length in placed.tolist()
        for new, byte in zip(range(new, new + length), old[place : place + length].tolist(), strict=True)
    ] == [
        (start + new, byte)
        for place, new, length in cover
        for new, byte in zip(range(new, new + length), content[place : place + length], strict=True)
    ]
