"""How often the images of a ledger were pulled, from values alone; and the file that says so."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import Policy, Repository
from pipeline.demand.access_log import ManifestRequest
from pipeline.demand.counting import Count, steadied
from pipeline.demand.document import DemandError, demand_document, read_demand
from pipeline.demand.known import Demand
from pipeline.history.ledger import Ledger
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.records.rules import RulesRecord
from pipeline.history.versions import Observation, advance
from pipeline.oci.digest import Digest

from ..deltas.test_plan import NOW, image, platform_image, simple

A, B, C, D = (platform_image(letter).manifest for letter in "ABCD")


def nightly(letters: str) -> RepositoryRecord:
    record = RepositoryRecord()
    for number, letter in enumerate(letters):
        entry = simple(letter)
        seen = Observation(tags={"latest": entry.digest}, images={entry.digest: entry})
        record = advance(record, seen, now=NOW + timedelta(days=number))
    return record


def get(reference: object, days: float, name: str = "app") -> ManifestRequest:
    return ManifestRequest(time=NOW + timedelta(days=days), path=f"/v2/{name}/manifests/{reference}")


def counted(record: RepositoryRecord, *requests: ManifestRequest) -> dict[str, dict[Digest, int]]:
    count = Count(Ledger(repositories={"app": record}))
    count.add(requests)
    return count.result()


def test_a_tag_is_what_it_was_when_it_was_asked_for() -> None:
    asked = (get("latest", 0.5), get("latest", 1.5), get(A, 1.6), get("latest", -1), get("latest", 9))
    assert counted(nightly("ABCD"), *asked) == {"app": {A: 2, B: 1, C: 0}}


def test_what_was_the_latest_when_the_logs_end_is_not_judged() -> None:
    assert counted(nightly("ABCD"), get("latest", 0.5), get(A, 1.5)) == {"app": {A: 2}}


def test_an_index_does_not_count_and_its_images_do() -> None:
    both = image(platform_image("A"), platform_image("a", platform=platform_image("A").platform))
    record = RepositoryRecord()
    for entry, day in ((both, 0), (simple("C"), 1)):
        seen = Observation(tags={"latest": entry.digest}, images={entry.digest: entry})
        record = advance(record, seen, now=NOW + timedelta(days=day))
    count = Count(Ledger(repositories={"app": record}))
    count.add([get("latest", 0.5), get(A, 0.5), get(C, 2)])
    assert (count.pulls, count.others) == (2, 1)
    assert count.result()["app"][A] == 1


def test_a_repository_of_which_nothing_was_pulled_is_not_judged() -> None:
    assert counted(nightly("AB"), get("latest", 3, "another"), get("nonsense", 3), get("sha256:12", 3)) == {}


def test_the_file_is_the_same_for_the_same_pulls(tmp_path: Path) -> None:
    pulls = {"b": {B: 1, A: 0}, "a": {C: 3}}
    raw = demand_document(pulls)
    assert raw == demand_document({"a": {C: 3}, "b": {A: 0, B: 1}})
    (tmp_path / "demand.json").write_bytes(raw)
    assert read_demand(tmp_path / "demand.json") == pulls


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"pulls": {"a": {"x": 1}}}', b'{"pulls": {"a": 1}}'])
def test_a_bad_file_is_said_to_be_one(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "demand.json"
    path.write_bytes(raw)
    with pytest.raises(DemandError, match=r"demand\.json: .*deltapress demand LOG"):
        read_demand(path)


def test_without_its_file_what_is_remembered_decides(tmp_path: Path) -> None:
    rules = RulesRecord(versions=3, max_ratio=1, grace=timedelta(), pulls={A: 5, D: 7})
    record = RepositoryRecord(images=nightly("AB").images, rules=rules)
    repository = Repository(name="app", layout=tmp_path, policy=Policy(demand=tmp_path / "no"))
    demand = Demand()
    assert demand.pulls(repository, record) == {A: 5}
    (problem,) = demand.problems
    assert problem.startswith("app: ")
    assert demand.pulls(Repository(name="app", layout=tmp_path), record) is None


NUMBERS = st.dictionaries(st.sampled_from((A, B, C, D)), st.integers(0, 1000))


@given(counted=NUMBERS, before=NUMBERS)
def test_steadied_numbers_are_near_and_stay(counted: dict[Digest, int], before: dict[Digest, int]) -> None:
    found = steadied(counted, before)
    assert found.keys() == counted.keys()
    assert steadied(counted, found) == found
    for image_, count in counted.items():
        assert (found[image_] == 0) == (count == 0)
        assert found[image_] <= 2 * count
        assert count <= 2 * found[image_]


@given(base=st.integers(10, 1000), noise=st.lists(st.integers(80, 120), min_size=1))
def test_numbers_that_differ_a_little_every_night_change_nothing(base: int, noise: list[int]) -> None:
    remembered = {A: base}
    for percent in noise:
        remembered = steadied({A: base * percent // 100}, remembered)
    assert remembered == {A: base}
