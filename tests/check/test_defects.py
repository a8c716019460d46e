"""Each defect of a host is named, for the right clients, and nothing else is."""

from pathlib import Path

import pytest

from pipeline.check import Address, Check, check
from pipeline.check.verdict import Verdict, concerned
from pipeline.errors import ExitCode
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.targets.directory import DirectoryTarget
from pipeline.verify import verify

from . import misbehaving as bad
from .defects import LISTED, MORE, Case
from .misbehaving import Defect, serving
from .trees import INDEXED


def checked(tree: Path, defect: Defect | None = None, *, is_applying: bool = False) -> Check:
    with serving(tree, defect) as url:
        return check(Address.parse(url), (), limits=Limits(), jobs=2, progress=Silent(), is_applying=is_applying)


def test_a_host_without_defects_passes_every_client(tree: Path) -> None:
    found = checked(tree, is_applying=True)
    assert found.broken == {}
    assert {client.verdict for client in found.clients} == {Verdict.PASS}
    assert found.exit_code is ExitCode.SUCCESS
    assert found.applied is not None
    whole = verify(DirectoryTarget(tree), jobs=2, limits=Limits(), progress=Silent())
    assert found.applied.deltas == whole.deltas == whole.applied
    assert found.left_out == (f"{INDEXED}: 8 of 9 blobs were looked at",)


def test_a_small_tree_takes_no_more_than_the_readme_says(tree: Path) -> None:
    found = checked(tree)
    assert len(found.repositories) == 4
    assert found.requests < 200
    assert found.bytes < 2.3 * (1 << 20)


@pytest.mark.parametrize("case", [*LISTED, *MORE], ids=str)
def test_a_defect_is_named_for_the_right_clients(tree: Path, case: Case) -> None:
    found = checked(tree, case.defect, is_applying=case.is_applying)
    assert found.broken.keys() == {case.rule} | case.others
    who = concerned(found.clients, case.rule)
    assert (set(who[Verdict.FAIL]), set(who[Verdict.WARN])) == (set(case.fails), set(case.warns))
    is_bad = any(client.fails for client in found.clients)
    assert found.exit_code is (ExitCode.VERIFICATION_FAILED if is_bad else ExitCode.SUCCESS)


@pytest.mark.parametrize(
    "defect",
    [
        bad.missing_is(403),  # as a bucket answers
        bad.missing_is(200, bad.PAGE),
        bad.refused(403, bad.is_manifest, method="HEAD"),
        bad.typed("application/octet-stream"),
        bad.compressed(bad.is_manifest, unasked=True),
    ],
    ids=["403", "a page", "no HEAD", "no types", "compressed"],
)
def test_deltas_are_applied_whatever_a_host_says_of_them(tree: Path, defect: Defect) -> None:
    found = checked(tree, defect, is_applying=True)
    assert found.applied is not None
    assert (found.applied.deltas, found.applied.unproven, found.applied.observations) == (6, (), ())
