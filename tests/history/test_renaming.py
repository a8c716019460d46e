"""A repository that goes on under another name, from values alone."""

from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.renaming import carry_over
from pipeline.history.versions import advance

from .test_versions import day, digest, history, names, seen


def test_the_new_name_goes_on_from_the_history_of_the_old_one() -> None:
    old = history({"latest": "A", "1.0": "A"}, {"latest": "B", "1.0": "A"})
    record = carry_over(RepositoryRecord(), ("old",), {"old": old})
    assert (record.tags, record.images) == (old.tags, old.images)
    record = advance(record, seen({"latest": "C"}), now=day(2))
    assert names(record) == {"latest": ["A", "B", "C"], "*": ["A"]}


def test_what_the_new_name_has_already_comes_after_it() -> None:
    old, new = history({"latest": "A"}, {"latest": "B"}), history({"latest": "B"}, {"latest": "C"})
    record = carry_over(new, ("old",), {"old": old})
    assert names(record) == {"latest": ["A", "B", "C"]}
    assert list(record.images) == [digest("A"), digest("B"), digest("C")]


def test_several_names_come_in_their_order() -> None:
    first, second = history({"latest": "A"}), history({"latest": "B"})
    record = carry_over(history({"latest": "C"}), ("first", "second"), {"second": second, "first": first})
    assert names(record) == {"latest": ["A", "B", "C"]}


def test_it_is_carried_over_once() -> None:
    repositories = {"old": history({"latest": "A"}, {"latest": "B"})}
    record = carry_over(RepositoryRecord(), ("old",), repositories)
    assert carry_over(record, ("old",), repositories) is record
    assert carry_over(RepositoryRecord(), ("unknown",), repositories) == RepositoryRecord()
