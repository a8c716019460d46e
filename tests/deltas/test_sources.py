"""Which old images are sources, from values alone."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.values import SourceRule
from pipeline.deltas.sources import Sources, choose_sources
from pipeline.oci.digest import Digest

from .test_plan import platform_image, simple

_TIMED: tuple[SourceRule, ...] = ("sources_within",)


def version(letter: str) -> Digest:
    return simple(letter).digest


def choose(letters: str, versions: int, *, timed: str = "", pulls: Mapping[str, int] | None = None) -> Sources:
    return choose_sources(
        ((version(letter), platform_image(letter)) for letter in letters),
        versions=versions,
        timed={version(letter): _TIMED for letter in timed},
        pulls=None if pulls is None else {platform_image(name).manifest: count for name, count in pulls.items()},
    )


def rules(found: Sources) -> dict[str, tuple[SourceRule, ...]]:
    letters = {platform_image(letter).manifest: letter for letter in "ABCDEFG"}
    return {letters[source.image.manifest]: source.rules for source in found.found}


def test_the_last_versions_and_those_of_a_time() -> None:
    found = rules(choose("FEDCBA", 2, timed="EC"))
    assert found == {"F": ("versions",), "E": ("sources_within", "versions"), "C": ("sources_within",)}


def test_the_same_image_again_is_one_source() -> None:
    assert rules(choose("FFEEAB", 3)) == dict.fromkeys("FEA", ("versions",))


def test_demand_chooses_what_is_pulled_most_and_never_what_nobody_pulls() -> None:
    found = choose("FEDCBA", 2, timed="DC", pulls={"F": 3, "E": 9, "D": 0, "C": 1, "B": 90, "A": 9})
    assert rules(found) == {"E": ("demand",), "C": ("sources_within",), "B": ("demand",)}
    assert found.idle == 1


def test_what_was_not_counted_comes_first() -> None:
    assert rules(choose("FEDCBA", 2, pulls={"E": 1, "D": 5, "C": 6, "B": 0, "A": 0})) == {
        "F": ("demand",),
        "C": ("demand",),
    }


@given(letters=st.text("ABCDEFG", max_size=9), versions=st.integers(0, 9))
def test_without_other_rules_it_is_the_last_distinct_ones(letters: str, versions: int) -> None:
    assert "".join(rules(choose(letters, versions))) == "".join(dict.fromkeys(letters))[:versions]


@given(
    letters=st.permutations("ABCDEFG"),
    versions=st.integers(0, 9),
    pulls=st.dictionaries(st.sampled_from("ABCDEFG"), st.integers(0, 3)),
)
def test_demand_keeps_to_the_number_and_the_pulled(letters: list[str], versions: int, pulls: dict[str, int]) -> None:
    found = rules(choose("".join(letters), versions, pulls=pulls))
    assert len(found) == min(versions, sum(pulls.get(letter, 1) > 0 for letter in letters))
    assert all(pulls.get(letter, 1) for letter in found)
    left = [pulls[letter] for letter in letters if letter not in found and letter in pulls]
    if left and versions:
        assert all(pulls[letter] >= max(left) for letter in found if letter in pulls)
