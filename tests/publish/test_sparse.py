"""An index of which the layout does not have every manifest, as `docker save` of one platform writes it."""

import json
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY, Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.verify import verify

from ..client import Client
from ..layouts.builder import Json, LayoutBuilder, blob_path, on
from ..runs import Shop, app, other

PLATFORMS = {"amd64": app, "arm64": other}


class Sparse:
    """An index of two platforms in several versions, and layouts that have some of the platforms."""

    def __init__(self, version: int = 1) -> None:
        self.build = LayoutBuilder()
        self.children = {name: self.build.image(make(version), architecture=name) for name, make in PLATFORMS.items()}
        self.index = self.build.index(*(on(child, f"linux/{name}") for name, child in self.children.items()))

    def without(self, *names: str, manifests_too: bool = True) -> LayoutBuilder:
        """The layout that lacks these platforms, all of them or all but their manifests."""
        build = LayoutBuilder()
        build.blobs = dict(self.build.blobs)
        for name in names:
            for path in _files(build, self.children[name]):
                if manifests_too or path != blob_path(self.children[name]["digest"]):
                    del build.blobs[path]
        return build

    def digests(self, *names: str) -> set[str]:
        return {self.children[name]["digest"] for name in names}


def _files(build: LayoutBuilder, child: Json) -> list[str]:
    manifest = json.loads(build.blobs[blob_path(child["digest"])])
    return [blob_path(part["digest"]) for part in (child, manifest["config"], *manifest["layers"])]


def served(shop: Shop, descriptor: Json) -> bool:
    return Key(f"v2/app/manifests/{descriptor['digest']}") in shop.folder.contents


def complaints(shop: Shop) -> list[str]:
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    return [str(problem) for problem in found.problems]


@pytest.mark.parametrize("manifests_too", [True, False], ids=["nothing", "the_manifest_alone"])
def test_what_is_there_is_published_and_what_is_not_is_named(tmp_path: Path, manifests_too: bool) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    shop.layout({"1.0": sparse.index}, sparse.without("arm64", manifests_too=manifests_too))
    outcome = shop.run()
    assert outcome.exit_code is ExitCode.SUCCESS
    digest = sparse.children["arm64"]["digest"]
    [note] = outcome.notes
    assert "tag 1.0" in note
    assert f"linux/arm64 ({digest[:19]}…)" in note
    assert shop.folder.contents[Key("v2/app/manifests/1.0")] == sparse.build.blobs[blob_path(sparse.index["digest"])]
    assert served(shop, sparse.children["amd64"])
    assert not served(shop, sparse.children["arm64"])
    assert Client(shop.folder.contents, absent={digest}).problems(at_rest=True) == []
    assert complaints(shop) == []
    assert shop.run(1).written.keys == 0


def test_deltas_are_made_for_the_platforms_that_are_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        sparse = Sparse(number)
        shop.layout({"nightly": sparse.index}, sparse.without("arm64"))
        shop.run(number)
    assert len(shop.listed()) == 1
    assert complaints(shop) == []


def test_another_layout_may_bring_the_rest_of_the_same_index(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    shop.layout({"1.0": sparse.index}, sparse.without("arm64"))
    shop.run()
    shop.layout({"1.0": sparse.index}, sparse.without("amd64"))
    outcome = shop.run(1)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert all(served(shop, child) for child in sparse.children.values())
    [image] = outcome.ledger.repositories["app"].images.values()
    assert image.absent == frozenset()
    assert sorted(found.platform.architecture for found in image.platforms) == ["amd64", "arm64"]
    shop.check()
    assert complaints(shop) == []
    shop.layout({"1.0": sparse.index}, sparse.without("arm64"))  # again: nothing is forgotten
    assert shop.run(2).written.keys == 0


def test_verify_accepts_no_other_hole(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    shop.layout({"1.0": sparse.index}, sparse.without("arm64"))
    shop.run()
    amd = sparse.children["amd64"]["digest"]
    raw = shop.folder.contents.pop(Key(f"v2/app/manifests/{amd}"))
    assert any(f"leads to the manifest {amd}, which is missing" in line for line in complaints(shop))
    shop.folder.contents[Key(f"v2/app/manifests/{amd}")] = raw
    ledger = shop.folder.contents.pop(LEDGER_KEY)
    arm = sparse.children["arm64"]["digest"]
    assert any(f"leads to the manifest {arm}, which is missing" in line for line in complaints(shop))
    shop.folder.contents[LEDGER_KEY] = ledger
    assert complaints(shop) == []


def test_a_whole_index_that_loses_a_manifest_is_damaged(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    shop.layout({"1.0": sparse.index}, sparse.without())
    shop.run()
    arm = sparse.children["arm64"]["digest"]
    del shop.folder.contents[Key(f"v2/app/manifests/{arm}")]
    assert any(f"leads to the manifest {arm}, which is missing" in line for line in complaints(shop))


def test_a_sparse_index_ages_away_as_any_other(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\ngrace = "3d"\nmax_delete = 1.0')
    absent: set[str] = set()
    for number in range(9):
        sparse = Sparse(number)
        absent |= sparse.digests("arm64")
        shop.layout({"nightly": sparse.index}, sparse.without("arm64"))
        assert shop.run(number).exit_code is ExitCode.SUCCESS
        assert complaints(shop) == []
        assert Client(shop.folder.contents, absent=absent).problems(at_rest=True) == []
    assert not served(shop, Sparse(1).index)


def test_a_repair_leaves_it_in_its_grace_period(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 1\nkeep = 2\ngrace = "30d"\nmax_delete = 1.0')
    for number in range(5):
        sparse = Sparse(number)
        shop.layout({"nightly": sparse.index}, sparse.without("arm64"))
        shop.run(number)
    assert not shop.run(5, repair=True).repairs
    assert served(shop, Sparse(0).index)


def test_the_ledger_can_be_rebuilt(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    shop.layout({"1.0": sparse.index}, sparse.without("arm64"))
    shop.run()
    del shop.folder.contents[LEDGER_KEY]
    shop.run(1)
    assert complaints(shop) == []
    assert shop.run(2).written.keys == 0


@pytest.mark.parametrize("with_attestation", [False, True])
def test_an_index_of_which_nothing_is_there_is_broken(tmp_path: Path, with_attestation: bool) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    build = sparse.without("amd64", "arm64")
    index = sparse.index
    if with_attestation:
        entries = [on(child, f"linux/{name}") for name, child in sparse.children.items()]
        index = build.index(*entries, build.attestation(sparse.children["amd64"]))
    shop.layout({"1.0": index, "2.0": build.image(app(2))}, build)
    [broken] = shop.run().broken["app"]
    assert broken.tag == "1.0"
    assert "is missing, and so is each other that the index names" in broken.problem


def test_an_inner_index_of_which_nothing_is_there_is_absent(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    build = sparse.without("arm64")
    inner = build.index(on(sparse.children["arm64"], "linux/arm64"))
    shop.layout({"1.0": build.index(on(sparse.children["amd64"], "linux/amd64"), inner)}, build)
    assert shop.run().exit_code is ExitCode.SUCCESS
    assert not served(shop, inner)
    assert Client(shop.folder.contents, absent={inner["digest"]}).problems(at_rest=True) == []
    assert complaints(shop) == []


def test_a_damaged_platform_is_not_an_absent_one(tmp_path: Path) -> None:
    shop, sparse = Shop(tmp_path), Sparse()
    build = sparse.without()
    build.blobs[blob_path(sparse.children["arm64"]["digest"])] = b"{}"
    shop.layout({"1.0": sparse.index, "2.0": build.image(app(2))}, build)
    [broken] = shop.run().broken["app"]
    assert broken.tag == "1.0"


def test_the_number_of_lines_does_not_grow_with_the_tags(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    tags = {}
    for number in range(30):
        sparse = Sparse(number)
        build.blobs |= sparse.without("arm64").blobs
        tags[f"1.{number}"] = sparse.index
    shop.layout(tags, build)
    notes = shop.run().notes
    assert len(notes) == 6
    assert "25 more indexes" in notes[-1]
