"""Mirrors between every two kinds of places: what is shown at the source is shown at the target, byte for byte."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from pipeline import serve
from pipeline.errors import ExitCode
from pipeline.history.pointing import PointingError
from pipeline.history.retraction import RetractionError
from pipeline.keys import LEDGER_KEY, Key
from pipeline.limits import Limits
from pipeline.mirror import MirrorError, Selection
from pipeline.mirror.selection import SelectionError, parse_platform
from pipeline.oci.digest import Digest
from pipeline.oci.manifest import MAX_MANIFEST_SIZE
from pipeline.progress import Silent
from pipeline.report import verification_text
from pipeline.targets.base import ReadableTarget, Stored, Target, TargetError
from pipeline.targets.http.options import HTTPOptions
from pipeline.targets.http.target import HTTPTarget
from pipeline.targets.memory import MemoryTarget
from pipeline.targets.s3.target import S3Target
from pipeline.verify import verify

from ..client import Client, deltas_of, problems
from ..interop.s3_servers import Storage
from ..layouts.builder import Json, LayoutBuilder, on
from ..runs import ClocklessDirectory, MemoryFolder, Shop, app, is_of_ledger, other, stored_ledger
from ..targets.http.registry import Registry, running
from ..targets.wrappers import FailingTarget, InjectedError, RecordingTarget
from .copies import mirrored, shown, source_of, verified

POLICY = 'versions = 2\ngrace = "1d"\nmax_delete = 1.0'
EMPTY_LISTING = Key("v2/app/manifests/_deltaindex")


def index_of(build: LayoutBuilder, number: int) -> Json:
    amd, arm = build.image(other(0), app(number)), build.image(app(100 + number), architecture="arm64")
    return build.index(on(amd, "linux/amd64"), on(arm, "linux/arm64"))


def publish(shop: Shop, number: int) -> None:
    """Each night a new `latest` of two platforms with a signature, cosign's tag for it, and a second repository."""
    build = LayoutBuilder()
    index = index_of(build, number)
    build.entry(build.artifact(subject=index))
    cosigned = build.image(app(500 + number))
    tags = {"latest": index, "1.0": build.image(app(0)), f"{index['digest'].replace(':', '-')}.sig": cosigned}
    shop.layout(tags, build, "app")
    shop.images({f"2.{number}": (other(0), app(50 + number)) for number in range(number + 1)}, "team/tool")
    assert shop.run(number).exit_code is ExitCode.SUCCESS


def shop_of(path: Path, target: Target, nights: int = 3) -> Shop:
    shop = Shop(path, target, policy=POLICY, repositories={"app": "", "team/tool": ""})
    for number in range(nights):
        publish(shop, number)
    return shop


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> MemoryFolder:
    """Three nights in memory; tests take copies."""
    return shop_of(tmp_path_factory.mktemp("shop"), MemoryFolder()).folder


@pytest.fixture
def source(published: MemoryFolder) -> MemoryFolder:
    return source_of(published)


# --- every two kinds


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A published source, how it is read, and the same tree as its publisher sees it."""

    source: ReadableTarget
    own: Target
    has_ledger: bool


@contextmanager
def over_http(root: Path) -> Iterator[HTTPTarget]:
    """What `serve` serves."""
    with running(Registry(root=root)) as registry:
        yield HTTPTarget(registry.url, HTTPOptions(attempts=1))


@pytest.fixture(params=["directory", "directory without a ledger", "http", "moto"])
def origin(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[Origin]:
    with ExitStack() as stack:
        own: Target = ClocklessDirectory(tmp_path / "public")
        if request.param == "moto":
            storage: Storage = request.getfixturevalue("moto")
            own = S3Target(storage.bucket, f"{prefix}source/", storage.options())
        shop_of(tmp_path, own)
        seen: ReadableTarget = own
        if request.param == "http":
            seen = stack.enter_context(over_http(tmp_path / "public"))
        yield Origin(source=seen, own=own, has_ledger=request.param in {"directory", "moto"})


@pytest.fixture(params=["directory", "moto"])
def target(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Target:
    if request.param == "moto":
        storage: Storage = request.getfixturevalue("moto")
        return S3Target(storage.bucket, f"{prefix}target/", storage.options())
    return ClocklessDirectory(tmp_path / "mirror")


def test_the_mirror_shows_what_the_source_shows(origin: Origin, target: Target) -> None:
    """And a second run reads no blob, and writes nothing."""
    outcome = mirrored(origin.source, target, has_ledger=origin.has_ledger)
    assert (outcome.exit_code, outcome.failed, outcome.broken) == (ExitCode.SUCCESS, {}, {})
    there, here = shown(origin.own), shown(target)
    assert {key for key in here if key in there and here[key] != there[key]} == set()
    more = {key for key in here if key not in there}
    # a listing of deltas that is not made here is kept under its digest, too
    listings = {f"{Digest.of(here[Key(f'v2/{name}/manifests/_deltaindex')])}" for name in ("app", "team/tool")}
    assert {key.rpartition("/")[2] for key in more} == listings
    missing = {key for key in there if key not in here}
    if origin.has_ledger:
        assert missing == set()
    else:
        # nobody tells of images that no tag leads to, and of what is attached to them
        assert not {key for key in missing if key in _found_by_name(there)}
    verified(target)
    assert _deltas(here)
    seen = _Recording(origin.source)
    assert mirrored(seen, target, 11, has_ledger=origin.has_ledger).written.keys == 0
    assert not [key for key in seen.asked if "/blobs/" in key or "/manifests/sha256:" in key]
    if origin.has_ledger:
        assert all(map(is_of_ledger, seen.asked))
        assert len(seen.asked) == 1 + 1 + 2, "its root, its journal, and a document for each repository"


def _found_by_name(contents: dict[Key, bytes]) -> set[Key]:
    """The listings, the tags that they list, and cosign's tag of one of those."""
    found = {Key("v2/_catalog"), Key("index/static")}
    for name in ("app", "team/tool"):
        tags = [*json.loads(contents[Key(f"v2/{name}/tags/list")])["tags"], "_deltaindex"]
        found |= {Key(f"v2/{name}/tags/list"), *(Key(f"v2/{name}/manifests/{tag}") for tag in tags)}
    latest = str(Digest.of(contents[Key("v2/app/manifests/latest")]))
    signature = Key(f"v2/app/manifests/{latest.replace(':', '-')}.sig")
    assert signature in contents
    return found | {signature, Key(f"v2/app/referrers/{latest}")}


def _deltas(contents: dict[Key, bytes]) -> list[str]:
    found = []
    for name in ("app", "team/tool"):
        found += [delta.digest for delta in deltas_of(contents, name)]
    return found


class _Recording(RecordingTarget):
    """For a source that is only read."""

    def __init__(self, inner: ReadableTarget) -> None:
        super().__init__(inner)  # type: ignore[arg-type]

    @property
    def asked(self) -> list[Key]:
        return [call.key for call in self.calls if call.key is not None]


def test_where_tags_have_pointed_is_known_from_a_ledger(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    there, here = (stored_ledger(tree).repositories["app"].tags["latest"] for tree in (source, target))
    assert here.moves == there.moves
    assert here.has_moved
    mirrored(source, target, 11, selection=Selection(repositories=("app",), tags=("latest",)))
    [move] = stored_ledger(target).repositories["app"].tags["latest"].moves
    assert move == there.moves[-1], "the others are not mirrored"


def test_how_many_requests_an_unchanged_registry_gets(tmp_path: Path) -> None:
    """One for the catalog; per repository the list of tags, the listing of deltas; one a tag; one for the referrers of
    each document, and three for what cosign may have named by it, as long as no such tag is listed."""
    shop_of(tmp_path, ClocklessDirectory(tmp_path / "public"))
    target = MemoryFolder()
    with running(Registry(root=tmp_path / "public")) as registry:
        reader = HTTPTarget(registry.url, HTTPOptions(attempts=1))
        mirrored(reader, target, has_ledger=False)
        registry.asked.clear()
        mirrored(reader, target, 11, has_ledger=False)
        paths = [asked.path for asked in registry.asked]
    tags = sum(len(json.loads(target.contents[Key(f"v2/{name}/tags/list")])["tags"]) for name in ("app", "team/tool"))
    documents = sum("/referrers/" in path for path in paths)
    companions = sum(path.endswith((".sig", ".att", ".sbom")) for path in paths)
    assert len(paths) == 1 + 2 * 2 + tags + documents + companions
    assert not [path for path in paths if "/blobs/" in path]


def test_a_published_tree_behind_serve(tmp_path: Path) -> None:
    root = tmp_path / "public"
    shop_of(tmp_path, ClocklessDirectory(root))
    target = MemoryTarget()
    with serve.serve(root) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            mirrored(HTTPTarget(server.url, HTTPOptions(attempts=1)), target, has_ledger=False)
        finally:
            server.stop()
            thread.join()
    verified(target)
    assert "latest" in stored_ledger(target).repositories["app"].tags


# --- a part


def test_some_tags_and_repositories(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target, selection=Selection(repositories=("team/*",), tags=("2.1", "2.2")))
    assert list(stored_ledger(target).repositories) == ["team/tool"]
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.1", "2.2"]
    verified(target, target.contents)
    mirrored(source, target, 11, selection=Selection(repositories=("app",)))
    assert list(stored_ledger(target).repositories) == ["app", "team/tool"], "what is not selected is left as it is"
    mirrored(source, target, 12)
    assert shown(target).keys() >= shown(source).keys()


def test_deltas_into_what_is_not_mirrored_are_not_listed(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target, selection=Selection(repositories=("team/tool",), tags=("2.0", "2.1")))
    assert deltas_of(source.contents, "team/tool")
    assert deltas_of(target.contents, "team/tool") == []
    assert not any("oci-delta" in data.decode("utf-8", "replace") for data in shown(target).values())
    verified(target, target.contents)


def test_deltas_from_what_is_not_mirrored_are_said_not_to_be_tried(source: MemoryFolder) -> None:
    """They are for those who have it; both formats list the one delta, and one of them cannot tell from what it is."""
    target = MemoryFolder()
    mirrored(source, target, selection=Selection(repositories=("team/tool",), tags=("2.2",)))
    found = verify(target, jobs=1, limits=Limits(), progress=Silent())
    assert deltas_of(target.contents, "team/tool")
    assert (found.problems, found.applied) == ((), 0)
    assert found.deltas >= 1
    assert len(found.unproven) > found.deltas
    assert "Applied 0 deltas.\n" in verification_text(found)


@pytest.mark.parametrize("has_ledger", [True, False])
def test_one_platform_of_an_index(source: MemoryFolder, has_ledger: bool) -> None:
    target = MemoryFolder()
    selection = Selection(platforms=(parse_platform("linux/arm64"),))
    outcome = mirrored(source, target, selection=selection, has_ledger=has_ledger)
    assert outcome.exit_code is ExitCode.SUCCESS
    tag = Key("v2/app/manifests/latest")
    assert target.contents[tag] == source.contents[tag], "its digest is that of the tag"
    [arm] = [platform for image in _images(target) for platform in image if str(platform.platform) == "linux/arm64"][:1]
    assert Key(f"v2/app/manifests/{arm.manifest}") in target.contents
    assert "1.0" not in stored_ledger(target).repositories["app"].tags, "an image for another platform alone"
    assert "team/tool" not in stored_ledger(target).repositories
    listed = deltas_of(target.contents, "app")
    assert listed
    assert {delta.target for delta in listed} == {str(arm.manifest)}
    assert target.contents[EMPTY_LISTING] != source.contents[EMPTY_LISTING]
    _whole_but_absent(target)
    assert mirrored(source, target, 11, selection=selection, has_ledger=has_ledger).written.keys == 0
    mirrored(source, target, 12, has_ledger=has_ledger)
    assert target.contents[EMPTY_LISTING] == source.contents[EMPTY_LISTING]
    assert problems(target.contents, at_rest=True) == []


def _images(target: MemoryFolder) -> list[tuple]:  # type: ignore[type-arg]
    record = stored_ledger(target).repositories["app"]
    return [record.images[record.tags["latest"].image].platforms]


def _whole_but_absent(target: MemoryFolder) -> None:
    absent = {
        str(digest) for image in stored_ledger(target).repositories["app"].images.values() for digest in image.absent
    }
    assert absent
    assert Client(target.contents, absent=absent).problems(at_rest=True) == []
    verified(target)


def test_no_deltas(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    assert deltas_of(target.contents, "team/tool")
    for _ in range(2):
        mirrored(source, target, 11, selection=Selection(deltas=False))
        assert deltas_of(target.contents, "team/tool") == []
        assert deltas_of(target.contents, "app") == []
        verified(target, target.contents)
    listings = [data for key, data in target.contents.items() if "/referrers/" in key]
    assert not any(b"oci-delta" in data for data in listings)
    assert any(b"artifactType" in data for data in listings), "the signature stays"


@pytest.mark.parametrize("text", ["linux", "linux/", "/amd64", "linux/amd64/v8/x", "Linux/amd64", ""])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(SelectionError, match="is no platform; write OS/ARCH"):
        parse_platform(text)


# --- what changes, and what is wrong


def test_what_goes_at_the_source_goes_after_its_grace(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, MemoryFolder())
    target = MemoryFolder()
    mirrored(source_of(shop.folder), target, 10)
    gone = Key("v2/team/tool/manifests/2.0")
    shop.remove("team/tool:2.0", 10)
    outcome = mirrored(source_of(shop.folder), target, 11)
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.1", "2.2"]
    assert gone in target.contents
    mirrored(source_of(shop.folder), target, 19)
    assert gone not in target.contents
    verified(target, target.contents)
    shop.remove("app", 20)
    outcome = mirrored(source_of(shop.folder), target, 20)
    assert "app: is at the source no longer, and is published no longer" in outcome.notes
    assert list(stored_ledger(target).repositories) == ["team/tool"]


def test_a_choice_that_fits_nothing_takes_nothing_away(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    before = target.copy()
    outcome = mirrored(source, target, 11, selection=Selection(repositories=("app",), tags=("typo",)))
    assert outcome.exit_code is ExitCode.BAD_INPUT
    assert "if that is right, remove it with `deltapress remove app`" in str(outcome.failed["app"])
    assert target.published() == before.published()
    outcome = mirrored(source, MemoryFolder(), 11, selection=Selection(tags=("2.*",)))
    assert outcome.exit_code is ExitCode.SUCCESS
    assert "app: has no tag that is chosen, and no image for the platforms" in outcome.notes


def test_a_source_that_shows_nothing_takes_nothing_away(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    before = target.copy()
    source.contents = {Key("v2/_catalog"): b'{"repositories":[]}'}
    with pytest.raises(MirrorError, match="shows none of the 2 repositories that are mirrored from it"):
        mirrored(source, target, 11)
    source.contents = {Key("v2/_catalog"): b'{"repositories":["unknown"]}'}
    with pytest.raises(MirrorError, match="shows none of the 2 repositories that are mirrored from it"):
        mirrored(source, target, 11)
    source.contents = {}
    with pytest.raises(TargetError, match=r"does not list its repositories .* name each with --repository"):
        mirrored(source, target, 11)
    assert target.contents == before.contents


def test_a_corrupt_layer_keeps_its_image_out_and_no_other(source: MemoryFolder) -> None:
    whole = source.copy()
    record = stored_ledger(source).repositories["team/tool"]
    [platform] = record.images[record.tags["2.1"].image].platforms
    layer = Key(f"v2/team/tool/blobs/{platform.layers[1].digest}")
    source.contents[layer] = source.contents[layer][:-1] + b"x"
    target = MemoryFolder()
    outcome = mirrored(source, target)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    [broken] = outcome.broken["team/tool"]
    assert broken.tag == "2.1"
    assert str(platform.layers[1].digest) in broken.problem
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.0", "2.2"]
    assert "latest" in stored_ledger(target).repositories["app"].tags
    verified(target, target.contents)
    source.contents = whole.contents
    assert mirrored(source, target, 11).exit_code is ExitCode.SUCCESS
    assert shown(target).keys() >= shown(source).keys()
    verified(target, target.contents)


def test_a_tag_whose_new_image_is_corrupt_stays_where_it_was(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, MemoryFolder())
    target = MemoryFolder()
    mirrored(source_of(shop.folder), target)
    before = stored_ledger(target).repositories["app"].tags["latest"].image
    publish(shop, 3)
    source = source_of(shop.folder)
    record = stored_ledger(source).repositories["app"]
    config = record.images[record.tags["latest"].image].platforms[0].layers[1].digest
    del source.contents[Key(f"v2/app/blobs/{config}")]
    outcome = mirrored(source, target, 30, force=True)
    assert {broken.tag for broken in outcome.broken["app"]} >= {"latest"}
    assert "is not at the source (any more)" in outcome.broken["app"][0].problem
    assert stored_ledger(target).repositories["app"].tags["latest"].image == before
    assert outcome.prune_problem is None or "could not be read" in outcome.prune_problem
    assert not outcome.is_pruned or outcome.prune.remove == ()
    verified(target, target.contents)


def test_a_corrupt_delta_is_not_listed_and_the_images_are(source: MemoryFolder) -> None:
    delta = deltas_of(source.contents, "team/tool")[0]
    source.contents[Key(f"v2/team/tool/blobs/{delta.digest}")] = b"x" * delta.size
    target = MemoryFolder()
    outcome = mirrored(source, target)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert [broken.tag for broken in outcome.broken["team/tool"]] == [None]
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.0", "2.1", "2.2"]
    assert delta.digest not in [listed.digest for listed in deltas_of(target.contents, "team/tool")]
    verified(target, target.contents)


def test_a_manifest_that_is_not_what_its_name_says(source: MemoryFolder) -> None:
    record = stored_ledger(source).repositories["team/tool"]
    key = Key(f"v2/team/tool/manifests/{record.tags['2.2'].image}")
    source.contents[key] = source.contents[key].replace(b"schemaVersion", b"schemaversion")
    target = MemoryFolder()
    outcome = mirrored(source, target)
    assert next(broken.tag for broken in outcome.broken["team/tool"]) == "2.2"
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.0", "2.1"]
    verified(target, target.contents)


def test_a_manifest_that_is_no_small_document_is_not_read(source: MemoryFolder) -> None:
    record = stored_ledger(source).repositories["team/tool"]
    key = Key(f"v2/team/tool/manifests/{record.tags['2.2'].image}")
    source.contents[key] += b" " * MAX_MANIFEST_SIZE
    seen, target = _Recording(source), MemoryFolder()
    outcome = mirrored(seen, target)
    [broken] = [broken for broken in outcome.broken["team/tool"] if broken.tag == "2.2"]
    assert "at most 4,194,304 are read" in broken.problem
    assert ("open", key) not in [(call.method, call.key) for call in seen.calls]
    assert json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"] == ["2.0", "2.1"]


class _Changing(RecordingTarget):
    """Calls `change` before the call of a number."""

    def __init__(self, inner: Target, at: int, change: Callable[[], None]) -> None:
        super().__init__(inner)
        self._at, self._change = at, change

    def open(self, key: Key) -> BinaryIO:
        self._tick()
        return super().open(key)

    def stat(self, key: Key) -> Stored | None:
        self._tick()
        return super().stat(key)

    def _tick(self) -> None:
        if len(self.calls) == self._at:
            self._change()


@pytest.mark.parametrize("has_ledger", [True, False])
def test_the_source_changes_while_it_is_mirrored(tmp_path: Path, has_ledger: bool) -> None:
    """At each of its calls: what the mirror lists is whole, and the next run shows what the source shows."""
    shop = shop_of(tmp_path, MemoryFolder())
    before = source_of(shop.folder)
    for number in (3, 4):  # the grace is over: what the mirror is about to read goes
        publish(shop, 2 * number)
    after = source_of(shop.folder)
    first = MemoryFolder()
    mirrored(before, first)
    for start, least in ((MemoryFolder(), 50), (first, 1)):
        for at in range(0, 10_000, 5):
            source, target = source_of(before), start.copy()

            def change(source: MemoryFolder = source) -> None:
                source.contents = dict(after.contents)

            changing = _Changing(source, at, change)
            outcome = mirrored(changing, target, 11, has_ledger=has_ledger)
            if source.contents != after.contents:
                break
            assert outcome.exit_code in {ExitCode.SUCCESS, ExitCode.PARTLY_DONE}
            assert problems(target.contents, at_rest=True) == [], at
            mirrored(changing, target, 12, has_ledger=has_ledger)
            assert problems(target.contents, at_rest=True) == [], at
            for key in ("v2/app/manifests/latest", "v2/app/manifests/_deltaindex", "v2/team/tool/tags/list"):
                assert target.contents[Key(key)] == after.contents[Key(key)], at
        assert at >= least


def test_a_run_that_was_killed_goes_on_where_it_stopped(source: MemoryFolder) -> None:
    """What has arrived is not read again."""
    target = MemoryFolder()
    failing = FailingTarget(target, fail_at=60, stays_down=True)
    with pytest.raises(InjectedError):
        mirrored(source, failing)
    arrived = {key.rpartition("/")[2] for key in target.contents if "/blobs/" in key}
    assert len(arrived) > 5
    again = RecordingTarget(source)
    assert mirrored(again, target, 11).exit_code is ExitCode.SUCCESS
    read = {call.key.rpartition("/")[2] for call in again.calls if call.key and "/blobs/" in call.key}
    assert not read & arrived
    assert shown(target).keys() >= shown(source).keys()


# --- an ordinary target


def test_a_dry_run_writes_nothing(source: MemoryFolder) -> None:
    target = MemoryFolder()
    outcome = mirrored(source, target, is_dry=True)
    assert outcome.writes
    assert target.contents == {}


def test_what_was_removed_from_the_mirror_stays_out(source: MemoryFolder, tmp_path: Path) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    mirror = Shop(tmp_path, target, policy=POLICY, repositories={"unused": ""})
    image = stored_ledger(target).repositories["team/tool"].tags["2.2"].image
    mirror.remove(f"team/tool@{image}", 11)
    mirror.remove("app", 11)
    outcome = mirrored(source, target, 12)
    assert "app" not in stored_ledger(target).repositories
    assert any("`deltapress remove --undo app`" in note for note in outcome.notes)
    assert "2.2" not in stored_ledger(target).repositories["team/tool"].tags
    assert deltas_of(target.contents, "team/tool") == []
    verified(target, target.contents)
    mirror.remove(f"team/tool@{image}", 13, is_undo=True)
    mirror.remove("app", 13, is_undo=True)
    mirrored(source, target, 13)
    assert shown(target).keys() >= shown(source).keys()


def test_what_is_published_from_layouts_is_not_overwritten(source: MemoryFolder, tmp_path: Path) -> None:
    target = MemoryFolder()
    shop = Shop(tmp_path, target, policy=POLICY)
    shop.images({"1.0": app(0), "1.1": app(1)})
    shop.run(1)
    before = shop.listed()
    assert before
    outcome = mirrored(source, target)
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    assert "is published here from a layout; mirror it into another target" in str(outcome.failed["app"])
    assert shop.listed() == before
    assert "team/tool" in stored_ledger(target).repositories
    verified(target, target.contents)
    outcome = shop.run(11)
    assert outcome.written.keys == 0, "and a publish leaves alone what is mirrored"
    assert outcome.exit_code is ExitCode.SUCCESS
    shop.repositories["team/tool"] = ""
    shop.images({"1.0": app(0)}, "team/tool")
    outcome = shop.run(12)
    assert "is mirrored here from memory:source; publish it to another target" in str(outcome.failed["team/tool"])
    assert outcome.written.keys == 0


def test_tags_are_pointed_where_they_are_published(source: MemoryFolder, tmp_path: Path) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    before = dict(target.contents)
    mirror = Shop(tmp_path, target, policy=POLICY, repositories={"unused": ""})
    [tag, *_] = json.loads(target.contents[Key("v2/team/tool/tags/list")])["tags"]
    with pytest.raises(PointingError, match=f"is mirrored from memory:source, whose tags it has; point {tag} there"):
        mirror.tag(f"team/tool:{tag}", tag, 11)
    assert target.contents == before


def test_deltas_are_retracted_where_they_are_published(source: MemoryFolder, tmp_path: Path) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    mirror = Shop(tmp_path, target, policy=POLICY, repositories={"unused": ""})
    with pytest.raises(RetractionError, match="is mirrored from memory:source, with the deltas that are listed there"):
        mirror.retract("team/tool", number=11)
    notes = mirror.retract(None, number=11, is_all=True).notes
    assert "team/tool: is mirrored, and keeps its deltas; retract them at memory:source" in notes
    before = deltas_of(target.contents, "team/tool")
    shop = Shop(tmp_path, source, policy=POLICY, repositories={"app": "", "team/tool": ""})
    shop.retract("team/tool", number=11)
    mirrored(source, target, 12)
    assert before
    assert deltas_of(target.contents, "team/tool") == []


def test_a_source_that_fails_for_one_blob_does_so_for_one_image(source: MemoryFolder) -> None:
    record = stored_ledger(source).repositories["team/tool"]
    [platform] = record.images[record.tags["2.1"].image].platforms
    target = MemoryFolder()
    outcome = mirrored(_Failing(source, {str(platform.layers[1].digest)}), target)
    assert [broken.tag for broken in outcome.broken["team/tool"]] == ["2.1"]
    assert "could not be read at the source: is on a bad disk" in outcome.broken["team/tool"][0].problem
    verified(target, target.contents)
    everything = {
        str(layer.digest) for record in stored_ledger(source).repositories.values() for layer in record.layers()
    }
    with pytest.raises(TargetError, match="is on a bad disk"):
        mirrored(_Failing(source, everything), MemoryFolder())


class _Failing(RecordingTarget):
    """Cannot read some blobs."""

    def __init__(self, inner: Target, bad: set[str]) -> None:
        super().__init__(inner)
        self._bad = bad

    def open(self, key: Key) -> BinaryIO:
        if "/blobs/" in key and key.rpartition("/")[2] in self._bad:
            raise TargetError("is on a bad disk", key=key)
        return super().open(key)


def test_a_source_that_has_moved(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    source.url = "memory:elsewhere"
    outcome = mirrored(source, target, 11)
    assert outcome.exit_code is ExitCode.BAD_INPUT
    assert "is mirrored here from memory:source; mirror it into another target" in str(outcome.failed["app"])
    assert mirrored(source, target, 12, force=True).exit_code is ExitCode.SUCCESS
    assert mirrored(source, target, 13).written.keys == 0
    assert stored_ledger(target).repositories["app"].mirrored_from == "memory:elsewhere"


def test_the_source_is_not_the_target(source: MemoryFolder) -> None:
    with pytest.raises(MirrorError, match="is the source and the target"):
        mirrored(source, source)


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("public", "link", "is the source and the target"),
        ("public", "x/../public", "is the source and the target"),
        ("public", "link/v2/copy", "lie in each other"),
        ("link/v2/copy", "public", "lie in each other"),
    ],
)
def test_neither_lies_in_the_other_by_whatever_name(tmp_path: Path, one: str, other: str, said: str) -> None:
    (tmp_path / "public").mkdir()
    (tmp_path / "link").symlink_to("public")
    with pytest.raises(MirrorError, match=said):
        mirrored(ClocklessDirectory(tmp_path / one), ClocklessDirectory(tmp_path / other))
    assert not list((tmp_path / "public").iterdir())


def test_a_lost_ledger_of_the_mirror(source: MemoryFolder) -> None:
    target = MemoryFolder()
    mirrored(source, target)
    del target.contents[LEDGER_KEY]
    outcome = mirrored(source, target, 11)
    assert outcome.exit_code is ExitCode.SUCCESS
    assert shown(target).keys() >= shown(source).keys()
    verified(target, target.contents)


def test_a_mirror_of_a_mirror(source: MemoryFolder) -> None:
    first, second = MemoryFolder(), MemoryFolder()
    first.url = "memory:first"
    mirrored(source, first)
    mirrored(first, second)
    assert shown(second) == shown(first)
    verified(second, second.contents)
