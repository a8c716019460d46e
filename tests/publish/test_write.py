"""The order of writing, what a client sees between any two writes, and what is written at all."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import LEDGER_KEY, Key, Phase
from pipeline.targets.directory import DirectoryTarget
from pipeline.targets.memory import MemoryTarget

from ..client import Client, contents_of, deltas_of, problems, unproven
from ..layouts.builder import Json, LayoutBuilder, on, sha256
from ..runs import MemoryFolder, Shop, WatchedTarget, app, document_key, is_of_ledger, other, stored_ledger
from ..targets.wrappers import RecordingTarget


def _puts(target: RecordingTarget) -> list[str]:
    return [str(call.key) for call in target.calls if call.method == "put" and not is_of_ledger(str(call.key))]


def _kind(key: str) -> str:
    """What a reader would call the key of a repository."""
    folder, _, name = key.rpartition("/")
    if folder.endswith(".web") or name == ".htaccess" or key.startswith("_deltapress"):
        return "server"
    if folder.endswith("/manifests") and ":" not in name:
        return "referrers" if name.startswith("sha256-") else "delta index" if name == "_deltaindex" else "tag"
    return {"blobs": "blob", "manifests": "manifest", "referrers": "referrers"}.get(
        folder.rpartition("/")[2], "listing"
    )


def _order(keys: list[str]) -> list[str]:
    """The kinds in the order in which they begin anew."""
    kinds = [_kind(key) for key in keys if key.startswith(("v2/app/", "index"))]
    kinds = [kind for kind in kinds if kind != "server"]
    return [kind for number, kind in enumerate(kinds) if number == 0 or kinds[number - 1] != kind]


_WHOLE = ["blob", "manifest", "referrers", "delta index", "tag", "listing"]


def test_images_first(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1), "2.0": app(2)})
    _, target = shop.watched_run()
    assert _order(_puts(target)) == [*_WHOLE, "blob", "manifest", "referrers", "delta index", "listing"]


def test_deltas_first(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 2\norder = "deltas-first"')
    shop.images({"latest": app(1)})
    shop.watched_run()
    shop.images({"latest": app(2)})
    _, target = shop.watched_run(1)
    # the delta's blob, then its manifest and listing; the tag moves when they stand
    assert _order(_puts(target)) == ["blob", "manifest", "referrers", "blob", *_WHOLE[1:]]
    puts = _puts(target)
    assert puts.index("v2/app/manifests/_deltaindex") < puts.index("v2/app/manifests/latest")


def test_each_repository_has_its_own_order(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": 'order = "deltas-first"', "now": ""})
    for name, make in (("app", app), ("now", other)):
        shop.images({"1.0": make(1), "2.0": make(2)}, name)
    _, target = shop.watched_run()
    puts = _puts(target)
    [first, second] = [put for put in puts if put.endswith("/manifests/2.0") and put.startswith("v2/")]
    assert (first, second) == ("v2/now/manifests/2.0", "v2/app/manifests/2.0")
    delta = deltas_of(shop.folder.contents, "app")[0]
    assert puts.index(first) < puts.index(f"v2/app/blobs/{delta.digest}") < puts.index(second)


def test_the_ledger_says_pending_before_the_first_write_and_stored_after_the_last(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    target = RecordingTarget(shop.target)
    shop.run(target=target)
    keys = [str(call.key) for call in target.calls if call.method == "put"]
    others = [number for number, key in enumerate(keys) if not is_of_ledger(key)]
    # what it is about to write of itself, the document, and the root that makes it hold
    assert keys[: others[0]] == ["_deltapress/ledger/journal/1", keys[1], LEDGER_KEY]
    stored = ["_deltapress/ledger/journal/1", document_key(shop.folder, "app"), LEDGER_KEY]
    assert keys[others[-1] + 1 :] == [*stored, LEDGER_KEY]  # at last, that nothing is left to do
    assert not any(record.is_pending for record in stored_ledger(shop.target).keys.values())


def _scenario(build: LayoutBuilder) -> list[dict[str, Json]]:
    """Tags that move, change their type, roll back, come and go; artifacts; all kinds of media types."""

    def image(number: int, compression: str = "gzip", *, docker: bool = False) -> Json:
        return build.image(other(0), app(number), compression=compression, docker=docker)

    arm = build.image(app(30), architecture="arm64")
    index = build.index(on(image(1), "linux/amd64"), on(arm, "linux/arm64"), build.attestation(image(1)))
    docker_list = build.index(on(image(4, docker=True), "linux/amd64"), docker=True)
    return [
        {"1.0": image(1), "latest": image(1), "edge": image(1)},
        {"1.0": image(1), "1.1": image(2), "latest": image(2), "edge": index},
        {"1.1": image(2, "zstd"), "latest": docker_list, "edge": image(2, docker=True)},
        {"1.0": image(1), "latest": image(1), "edge": docker_list, "chart": build.artifact(data=b"a chart")},
        {"2.0": image(5, ""), "latest": image(5), "edge": index, "none": build.image()},
        {"latest": image(1), "edge": image(6)},
    ]


@pytest.mark.parametrize("order", ["images-first", "deltas-first"])
@pytest.mark.parametrize("kind", [MemoryFolder, MemoryTarget])
def test_at_every_moment_a_client_finds_what_it_is_led_to(
    tmp_path: Path, order: str, kind: Callable[[], MemoryTarget]
) -> None:
    target = kind()
    policy = f'versions = 2\nkeep = 3\ngrace = "2d"\nmax_delete = 1.0\norder = "{order}"'
    shop = Shop(tmp_path, target, policy=policy)
    headers = target.headers if target.properties.stores_headers else None

    def look() -> None:
        assert problems(target.contents, headers) == []

    for number in range(len(_scenario(LayoutBuilder()))):
        build = LayoutBuilder()
        tags = _scenario(build)[number]
        build.entry(build.artifact(subject=tags["latest"], data=b"signature %d" % number))
        shop.layout(tags, build)
        outcome = shop.run(2 * number, target=WatchedTarget(target, look))
        assert (outcome.exit_code, outcome.delta_failures) == (ExitCode.SUCCESS, ())
        assert problems(target.contents, headers, at_rest=True) == []
        published = {key: data for key, data in target.contents.items() if not is_of_ledger(key)}
        assert unproven(published) == []
        assert {tag: Client(published).tags("app")[tag] for tag in tags} == {
            tag: descriptor["digest"] for tag, descriptor in tags.items()
        }
        assert shop.run(2 * number).written.keys == 0


def test_a_tag_that_changes_its_type_never_has_bytes_of_one_and_the_type_of_the_other(tmp_path: Path) -> None:
    """As nginx sees it: the typed copies are looked up in their order, an index before a manifest."""
    shop = Shop(tmp_path)
    answers: list[tuple[str, bytes]] = []

    def look() -> None:
        for folder in ("oci-index", "docker-list", "oci-manifest", "docker-manifest"):
            key = Key(f"_deltapress/typed/{folder}/v2/app/manifests/edge")
            if key in shop.folder.contents:
                answers.append((folder, shop.folder.contents[key]))
                return

    served: dict[str, str] = {}
    for number in range(4):
        build = LayoutBuilder()
        image = build.image(app(1))
        index = build.index(on(image, "linux/amd64"))
        served |= {image["digest"]: "oci-manifest", index["digest"]: "oci-index"}
        shop.layout({"edge": index if number % 2 else image}, build)
        shop.run(number, target=WatchedTarget(shop.target, look))
    assert {(folder, served[sha256(raw)]) for folder, raw in answers} == {
        ("oci-index", "oci-index"),
        ("oci-manifest", "oci-manifest"),
    }
    changes = [folder for number, (folder, _) in enumerate(answers) if number == 0 or answers[number - 1][0] != folder]
    assert changes == ["oci-manifest", "oci-index", "oci-manifest", "oci-index"]


def _files(root: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_nothing_new_writes_nothing_and_touches_no_file(tmp_path: Path) -> None:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"))
    shop.images({"1.0": app(1), "latest": app(2)})
    shop.run()
    shop.run(1)
    before = _files(tmp_path / "public")
    target = RecordingTarget(shop.target)
    outcome = shop.run(30, target=target)
    assert (outcome.written.keys, outcome.made) == (0, ())
    assert {call.method for call in target.calls} == {"open"}
    assert _files(tmp_path / "public") == before


def test_what_did_not_change_keeps_its_inode_and_its_time(tmp_path: Path) -> None:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"))
    shop.images({"1.0": app(1), "latest": app(1)})
    shop.run()
    before = _files(tmp_path / "public")
    shop.images({"1.0": app(1), "latest": app(2)})
    shop.run(1)
    after = _files(tmp_path / "public")
    same = [name for name in before if name in after and before[name][2] == after[name][2]]
    assert "v2/app/manifests/1.0" in same
    assert "v2/index.html" in same
    assert {name: after[name][:2] for name in same} == {name: before[name][:2] for name in same}
    changed = {name for name in before if name in after and name not in same}
    assert changed == {
        "_deltapress/ledger.json",
        "_deltapress/typed/oci-index/v2/app/manifests/_deltaindex",
        "_deltapress/typed/oci-manifest/v2/app/manifests/latest",
        "index.html",
        "pages/app/_page.html",
        "v2/app/manifests/.htaccess",
        "v2/app/manifests/_deltaindex",
        "v2/app/manifests/latest",
    }


def test_repositories_share_blobs_and_deltas_as_hard_links(tmp_path: Path) -> None:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"), repositories={"app": "", "team/mirror": ""})
    for name in shop.repositories:
        shop.images({"1.0": app(1), "2.0": app(2)}, name)
    outcome = shop.run()
    assert len(outcome.made) == 1
    contents = contents_of(shop.target)
    assert problems(contents, at_rest=True) == []
    [delta] = deltas_of(contents, "team/mirror")
    assert [found.digest for found in deltas_of(contents, "app")] == [delta.digest]
    blobs = list((tmp_path / "public/v2/app/blobs").iterdir())
    assert len(blobs) == 7  # the manifest into which a delta leads is one, too
    for blob in blobs:
        twin = tmp_path / "public/v2/team/mirror/blobs" / blob.name
        assert blob.samefile(twin)
    tag = tmp_path / "public/v2/app/manifests/1.0"
    assert tag.stat().st_nlink == 1


def test_a_repository_that_comes_later_links_to_what_is_there(tmp_path: Path) -> None:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"))
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run()
    shop.repositories["later"] = ""
    shop.images({"1.0": app(1), "2.0": app(2)}, "later")
    outcome = shop.run(1)
    assert outcome.made == ()
    assert problems(contents_of(shop.target), at_rest=True) == []
    for blob in (tmp_path / "public/v2/later/blobs").iterdir():
        assert blob.stat().st_nlink >= 2


def test_a_blob_of_two_repositories_is_read_once(tmp_path: Path) -> None:
    """The second one is put after the first stands, so that a target can link or copy it."""
    shop = Shop(tmp_path, repositories={"app": "", "b": "", "c": ""})
    for name in shop.repositories:
        shop.images({"1.0": app(1)}, name)
    target = RecordingTarget(shop.target)
    shop.run(target=target)
    names = [key.split("/")[1] for key in _puts(target) if "/blobs/" in key]
    firsts = len([name for name in names if name == "app"])
    assert names[:firsts] == ["app"] * firsts
    assert names.count("b") == names.count("c") == firsts


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("kind", ["directory", "memory"])
def test_any_number_of_workers_and_any_place_give_the_same_tree(tmp_path: Path, workers: int, kind: str) -> None:
    def everything(folder: Path, jobs: int, target: MemoryFolder | DirectoryTarget) -> dict[Key, bytes]:
        shop = Shop(folder, target, repositories={"app": "", "lib": ""})
        for number in range(3):
            shop.images({"latest": (other(number), app(number)), "1.0": app(50)})
            shop.images({f"1.{count}": other(count) for count in range(number + 2)}, "lib")
            assert shop.run(number, jobs=jobs).exit_code is ExitCode.SUCCESS
        return contents_of(target, with_ledger=True)

    place = DirectoryTarget(tmp_path / "public") if kind == "directory" else MemoryFolder()
    assert everything(tmp_path / "one", workers, place) == everything(tmp_path / "two", 2, MemoryFolder())


def test_a_blob_that_changes_after_it_was_checked_fails_its_repository_alone(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "other": ""})
    for name in shop.repositories:
        shop.images({"latest": app(1)}, name)
    shop.run()
    shop.images({"latest": app(2)})
    shop.images({"latest": other(2)}, "other")
    outcome = shop.run(1, target=_Disturbed(shop.folder, shop.path / "app", app(2)))
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert list(outcome.failed) == ["app"]
    assert problems(shop.folder.contents, at_rest=True) == []
    client = Client(shop.folder.contents)
    assert client.tags("app") == {"latest": _digest_of(app(1))}
    assert client.tags("other") == {"latest": _digest_of(other(2))}


def test_a_blob_that_goes_away_after_it_was_checked_fails_its_repository_alone(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "other": ""})
    shop.images({"latest": app(1)})
    shop.images({"latest": other(1)}, "other")
    outcome = shop.run(target=_Disturbed(shop.folder, shop.path / "app", app(1), remove=True))
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["app"])
    assert not [key for key in shop.folder.contents if key.startswith(("v2/app/manifests", "v2/app/tags"))]
    shop.images({"latest": app(1)})
    assert shop.run().exit_code is ExitCode.SUCCESS
    shop.images({"latest": app(2)})
    outcome = shop.run(1, target=_Disturbed(shop.folder, shop.path / "app", app(2), remove=True))
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["app"])
    assert "went away" in str(outcome.failed["app"])
    assert Client(shop.folder.contents).tags("app") == {"latest": _digest_of(app(1))}
    assert problems(shop.folder.contents, at_rest=True) == []


class _Disturbed(WatchedTarget):
    """At the first write somebody spoils a layer in the layout."""

    def __init__(self, inner: MemoryFolder, layout: Path, tar: bytes, *, remove: bool = False) -> None:
        path = layout / "blobs" / "sha256" / sha256(gzip.compress(tar, mtime=0))[7:]

        def spoil() -> None:
            if remove:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(b"x" * path.stat().st_size)

        super().__init__(inner, spoil)


def _digest_of(tar: bytes) -> str:
    return str(LayoutBuilder().image(tar)["digest"])


def test_the_phases_of_the_tree_are_those_of_the_keys_in_the_ledger(tmp_path: Path) -> None:
    """Deleting reads them from there."""
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    ledger = shop.run().ledger
    assert {Phase(record.order[0]) for record in ledger.keys.values()} == set(Phase)
    assert ledger.keys[Key("v2/app/manifests/latest")].order == (Phase.TAGS, 0)
