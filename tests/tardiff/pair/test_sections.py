"""Files of several sources."""

import numpy as np
import pytest

from pipeline.tardiff.layer.regions import ByteArray
from pipeline.tardiff.layer.tree import Source
from pipeline.tardiff.pair.sections import SAMPLES, Section, SectionIndex, section_size
from pipeline.tardiff.pair.windows import sampled, sampling

ONE_IN = 64
LEAST = section_size(ONE_IN)


def noise(seed: int, size: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def sections(old: list[ByteArray], new: ByteArray, *, own: int | None = None) -> list[Section]:
    sources = [Source(path=b"%d" % number, size=len(data), offset=0) for number, data in enumerate(old)]
    index = SectionIndex(sources, [sampled(data, ONE_IN)[1] for data in old], ONE_IN)
    return index.sections(*sampled(new, ONE_IN), len(new), own=None if own is None else sources[own])


def test_merged_files_are_told_apart_where_they_meet() -> None:
    old = [noise(seed, 5 * LEAST) for seed in range(3)]
    first, second, third = sections(old, np.concatenate((old[2][: 3 * LEAST + 1000], old[0], old[1][LEAST:])))
    assert [first.source.path, second.source.path, third.source.path] == [b"2", b"0", b"1"]
    assert first.start == 0
    assert first.stop == second.start == pytest.approx(3 * LEAST + 1000, abs=2000)
    assert second.stop == third.start == pytest.approx(8 * LEAST + 1000, abs=2000)
    assert third.stop == 12 * LEAST + 1000


def test_what_is_new_stays_with_the_section_before_it() -> None:
    old = [noise(1, 4 * LEAST), noise(2, 4 * LEAST)]
    first, second = sections(old, np.concatenate((noise(3, 3 * LEAST), old[0], noise(4, 3 * LEAST), old[1])))
    assert (first.start, second.source.path) == (0, b"1")
    assert 7 * LEAST - 2000 < second.start <= 10 * LEAST + 2000


def test_windows_of_several_sources_have_no_vote() -> None:
    common = noise(1, 4 * LEAST)
    old = [np.concatenate((common, noise(2, 1000))), np.concatenate((common, noise(3, 2 * LEAST)))]
    assert sections(old, common) == []
    (only,) = sections(old, old[1])
    assert (only.start, only.stop, only.source.path) == (0, len(old[1]), b"1")


def test_the_files_own_source_keeps_what_others_hold_little_more_of() -> None:
    new = noise(1, 3 * LEAST)
    middle = new[LEAST : 2 * LEAST]
    changed, like_it = noise(2, LEAST), noise(3, LEAST)
    changed[: LEAST // 10] = middle[: LEAST // 10]
    like_it[-LEAST // 8 :] = middle[-LEAST // 8 :]
    own = np.concatenate((new[:LEAST], changed, new[2 * LEAST :]))
    assert [section.source.path for section in sections([own, like_it], new, own=0)] == [b"0"]
    assert [section.source.path for section in sections([own, like_it], new)] == [b"0", b"1", b"0"]
    assert [section.source.path for section in sections([own, middle], new, own=0)] == [b"0", b"1", b"0"]


def test_nobody_votes_for_strangers() -> None:
    assert sections([noise(1, 2 * LEAST), noise(2, 2 * LEAST)], noise(3, 5 * LEAST)) == []
    assert sections([noise(1, 100), noise(2, 10)], noise(3, 10)) == []


def test_alternating_sources_are_no_shorter_than_sections() -> None:
    old = [noise(1, 8 * LEAST), noise(2, 8 * LEAST)]
    pieces = [old[number % 2][at : at + 2000] for number, at in enumerate(range(0, 8 * LEAST, 2000))]
    found = sections(old, np.concatenate(pieces))
    assert [section.start for section in found[1:]] == [section.stop for section in found[:-1]]
    assert len(found) <= 8


@pytest.mark.parametrize(("total", "one_in"), [(0, 64), (64 << 21, 64), (64 << 22, 128), (1 << 40, 1 << 19)])
def test_more_bytes_are_sampled_less(total: int, one_in: int) -> None:
    assert sampling(total, SAMPLES) == one_in
