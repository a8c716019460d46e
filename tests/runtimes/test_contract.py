"""Which layers a runtime has already."""

import pytest

from pipeline.client.runtimes.contract import InstalledImage, held_layers
from pipeline.oci.digest import DiffID


def layers(names: str) -> tuple[DiffID, ...]:
    return tuple(DiffID.of(name.encode()) for name in names)


def image(names: str) -> InstalledImage:
    return InstalledImage(identity=names, names=(), digests=(), config=None, diff_ids=layers(names))


@pytest.mark.parametrize(
    ("have", "want", "held"),
    [
        ([], "abc", 0),
        (["abc"], "abc", 3),
        (["ab"], "abc", 2),
        (["abc"], "ab", 2),
        (["axc"], "abc", 1),
        (["xbc"], "abc", 0),
        (["a", "abx", "xyz"], "abc", 2),
        (["abc"], "", 0),
    ],
)
def test_layers_count_with_those_below_them(have: list[str], want: str, held: int) -> None:
    assert held_layers([image(names) for names in have], layers(want)) == held
