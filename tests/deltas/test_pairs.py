"""Which layer of an old image is the source of a new one, from values alone."""

import io

import pytest

from pipeline.deltas.pairs import Pairs
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.oci.digest import DiffID
from pipeline.tardiff.layer.outline import Outline, outline

from ..tars import file, tar
from .test_plan import diff_id, platform_image


def outlined(**files: bytes) -> Outline:
    return outline(io.BytesIO(tar(*(file(name, data) for name, data in files.items()))))


def source_of(target: Outline, *old: Outline, below: int = 0) -> str:
    """Which of the old layers, named by their positions, is chosen for one that lies on `below` others."""
    names = [f"old {number}" for number in range(len(old))]
    outlines: dict[DiffID, Outline] = {diff_id(name): entry for name, entry in zip(names, old, strict=True)}
    outlines[diff_id("new")] = target
    new = platform_image(*(f"extra {number}" for number in range(below)), "new")
    found = list(Pairs(RepositoryRecord(), outlines).between(platform_image(*names), new))
    [source] = [key.from_diff_id for key, layer in found if layer.diff_id == diff_id("new")]
    return next(name for name in names if diff_id(name) == source)


A, B, C = (letter * 100 for letter in (b"a", b"b", b"c"))


@pytest.mark.parametrize(
    ("old", "chosen"),
    [
        ([{"one": A}, {"two": B}], "old 0"),  # by name and content
        ([{"one": C}, {"two": C}], "old 0"),  # by name
        ([{"x": A}, {"y": C}], "old 0"),  # by content
        ([{"one": A}, {"x": A, "more": B[:50]}], "old 1"),  # all that is shared counts
        ([{"x": C}, {"y": C}], "old 1"),  # nothing is shared: the top, as the new one is
    ],
)
def test_the_source_has_most_of_the_large_files(old: list[dict[str, bytes]], chosen: str) -> None:
    target = outlined(one=A, two=B[:50])
    assert source_of(target, *(outlined(**files) for files in old)) == chosen


def test_ties_go_to_the_layer_as_deep_below_the_top() -> None:
    same = outlined(one=A)
    assert source_of(same, same, same, same) == "old 2"
    nothing = outlined()
    assert source_of(nothing, nothing, nothing, below=5) == "old 1"
    assert source_of(nothing, nothing) == "old 0"


def test_a_file_counts_once_though_its_name_and_its_content_are_known() -> None:
    twice, more = outlined(one=A, other=A), outlined(one=B, two=B[:50])
    assert source_of(outlined(one=A, two=B[:50]), more, twice) == "old 0", "150 bytes by name, not 100 counted twice"
