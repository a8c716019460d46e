"""What is wrong inside one repository stays there: wrong files, foreign digests, too much to remember, our mistakes."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.config import Repository
from pipeline.errors import ExitCode, InternalError
from pipeline.history import store
from pipeline.history.documents import Part
from pipeline.history.ledger import Ledger, LedgerError
from pipeline.history.records.repositories import RepositoryRecord
from pipeline.history.scan import Seen, scan_repository
from pipeline.history.store import LedgerStore
from pipeline.keys import Key, blob_key
from pipeline.oci.digest import Digest
from pipeline.oci.fields import FieldError
from pipeline.publish import begin, trial
from pipeline.report import failures
from pipeline.targets.memory import MemoryTarget

from ..client import Client, deltas_of, problems
from ..layouts.builder import LayoutBuilder, blob_path, compressed, sha256, tar_of
from ..runs import MemoryFolder, Shop, app, deleted, other, pairs

JUNK: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda blob: b"junk",
    "empty": lambda blob: b"",
    "text": lambda blob: b"#" * 300,
    "of the same size": lambda blob: bytes(len(blob)),
    "truncated": lambda blob: blob[:-20],
    "another layer": lambda blob: compressed(other(9), "gzip"),
    "a bomb": lambda blob: compressed(bytes(100 << 20), "gzip"),
}


def _layer_file(layout: Path, tar: bytes) -> Path:
    return layout / blob_path(sha256(compressed(tar, "gzip")))


def _stored(shop: Shop, tar: bytes) -> Key:
    return blob_key("app", Digest.of(compressed(tar, "gzip")))


@pytest.mark.parametrize("kind", [MemoryFolder, MemoryTarget], ids=["folder", "bucket"])
@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_wrong_file_in_another_layout_changes_nothing(
    tmp_path: Path, junk: Callable[[bytes], bytes], kind: Callable[[], MemoryTarget]
) -> None:
    shop = Shop(tmp_path, kind(), repositories={"a": "", "app": "", "z": ""})
    for number in (1, 2, 3):
        shop.images({"latest": app(number)})
        for name in ("a", "z"):
            layout = shop.images({"latest": other(1)}, name)
            for version in (1, 2, 3):
                blob = compressed(app(version), "gzip")
                (layout / blob_path(sha256(blob))).write_bytes(junk(blob))
        outcome = shop.run(number)
        assert (outcome.exit_code, outcome.refused) == (ExitCode.SUCCESS, ())
    assert isinstance(shop.target, MemoryTarget)
    listed = [(delta.from_diff_id, delta.to_diff_id) for delta in deltas_of(shop.target.contents, "app")]
    assert sorted(listed) == pairs((app(1), app(3)), (app(2), app(3)))


@pytest.mark.parametrize("kind", [MemoryFolder, MemoryTarget], ids=["folder", "bucket"])
@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_of_a_layer_the_copy_that_is_right_is_read(
    tmp_path: Path, junk: Callable[[bytes], bytes], kind: Callable[[], MemoryTarget]
) -> None:
    """The old layer was spoiled after it was published: once in the layout, once in the target."""
    blob = compressed(app(1), "gzip")
    for number, is_spoiled_in_layout in enumerate((True, False)):
        target = kind()
        shop = Shop(tmp_path / str(number), target)
        shop.images({"1.0": app(1)})
        shop.run()
        layout = shop.images({"1.0": app(1), "2.0": app(2)})
        if is_spoiled_in_layout:
            _layer_file(layout, app(1)).write_bytes(junk(blob))
        else:
            target.contents[_stored(shop, app(1))] = junk(blob)
        outcome = shop.run(1)
        assert (outcome.delta_failures, len(outcome.made)) == ((), 1)


def test_damage_is_reported_and_tried_again_and_never_remembered(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})
    shop.run()
    good = shop.folder.contents[_stored(shop, app(1))]
    shop.folder.contents[_stored(shop, app(1))] = b"#" * len(good)
    shop.images({"latest": app(2)})
    for number in (1, 2):
        outcome = shop.run(number)
        assert (outcome.exit_code, outcome.made, outcome.refused) == (ExitCode.PARTLY_DONE, (), ())
        [failure] = outcome.delta_failures
        assert str(Digest.of(good)) in failure.problem
        assert "the target, repository app: it is damaged" in failure.problem
        assert outcome.ledger.deltas == {}
    shop.folder.contents[_stored(shop, app(1))] = good
    outcome = shop.run(3)
    assert (outcome.exit_code, len(outcome.made)) == (ExitCode.SUCCESS, 1)
    shop.check()


@pytest.mark.parametrize(
    "place", ["pipeline.deltas.layers.extract", "hdiffpatch.diff", "pipeline.deltas.make.prove"], ids=str
)
def test_a_lack_of_memory_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    shop = Shop(tmp_path)
    old = random.Random(1).randbytes(100_000)
    changed = bytearray(old)
    changed[::100] = bytes(len(changed[::100]))
    shop.images({"1.0": tar_of({"lib": old}), "2.0": tar_of({"lib": bytes(changed)})})

    def fail(*args: Any, **kwargs: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        outcome = shop.run()
    assert (outcome.exit_code, outcome.refused, outcome.ledger.deltas) == (ExitCode.PARTLY_DONE, (), {})
    [failure] = outcome.delta_failures
    assert "memory ran out" in failure.problem
    assert len(shop.run(1).made) == 1


def test_an_old_layer_that_really_is_no_tar_is_refused_for_good(tmp_path: Path) -> None:
    """Its digest and its DiffID are right, so that is a fact."""
    shop = Shop(tmp_path)
    text = b"no tar, but what its DiffID says" * 200
    build = LayoutBuilder()
    shop.layout({"1.0": build.image(text), "2.0": build.image(app(2))}, build)
    outcome = shop.run()
    assert (outcome.exit_code, outcome.made) == (ExitCode.SUCCESS, ())
    [refused] = outcome.refused
    assert "not a readable tar" in (refused.refused or "")
    again = shop.run(1)
    assert (again.made, again.refused, again.delta_failures) == ((), (), ())


SECRET = other(7)


def _shop_with_a_secret(tmp_path: Path) -> tuple[Shop, bytes]:
    """And the stored bytes of its layer."""
    shop = Shop(tmp_path, repositories={"secret/app": "", "z": ""})
    shop.images({"latest": SECRET}, "secret/app")
    shop.images({"latest": other(1)}, "z")
    assert shop.run().exit_code is ExitCode.SUCCESS
    return shop, compressed(SECRET, "gzip")


@pytest.mark.parametrize("is_image", [True, False], ids=["as a layer", "as a blob"])
def test_to_know_a_digest_is_not_to_have_its_bytes(tmp_path: Path, *, is_image: bool) -> None:
    shop, blob = _shop_with_a_secret(tmp_path)
    build = LayoutBuilder()
    if is_image:
        loot = build.image(SECRET)
    else:
        stolen = build.blob(blob, "application/octet-stream")
        loot = build.manifest(build.blob(b"{}", "application/x"), stolen)
    del build.blobs[blob_path(sha256(blob))]
    shop.layout({"latest": build.image(other(1)), "loot": loot}, build, "z")
    for number in (1, 2):
        outcome = shop.run(number)
        assert outcome.exit_code is ExitCode.PARTLY_DONE
        assert blob_key("z", Digest.of(blob)) not in shop.folder.contents
        assert set(Client(shop.folder.contents).tags("z")) == {"latest"}
        assert problems(shop.folder.contents, at_rest=True) == []


def test_who_has_the_bytes_may_publish_them_and_they_are_copied(tmp_path: Path) -> None:
    shop, blob = _shop_with_a_secret(tmp_path)
    build = LayoutBuilder()
    shop.layout({"latest": build.image(SECRET)}, build, "z")
    assert shop.run(1).exit_code is ExitCode.SUCCESS
    assert shop.folder.contents[blob_key("z", Digest.of(blob))] == blob
    # and once it had them, the ledger says so, whatever its layout has by now
    shop.images({"latest": other(1)}, "z")
    del shop.folder.contents[blob_key("z", Digest.of(blob))]
    outcome = shop.run(2, repair=True)
    assert (outcome.exit_code, outcome.lost) == (ExitCode.SUCCESS, ())
    assert shop.folder.contents[blob_key("z", Digest.of(blob))] == blob


def test_what_would_fill_the_ledger_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "many": "", "other": ""})
    shop.images({"latest": app(1)})
    shop.images({"latest": other(1)}, "other")
    shop.images({f"1.{number}": app(number) for number in range(30)}, "many")
    monkeypatch.setattr(trial, "MAX_REPOSITORY_SIZE", 40_000)
    outcome = shop.run()
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["many"])
    assert "repository many would take" in str(outcome.failed["many"])
    assert "of the ledger, one may have 40,000; publish fewer" in str(outcome.failed["many"])
    assert not [key for key in shop.folder.contents if "/many/" in key]
    shop.check()
    shop.images({"1.0": app(1)}, "many")
    assert shop.run(1).exit_code is ExitCode.SUCCESS


@pytest.mark.parametrize("limit", ["MAX_ROOT_SIZE", "MAX_DOCUMENT_SIZE"])
def test_a_ledger_that_nobody_would_read_is_not_written(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    target = MemoryTarget()
    ledgers = LedgerStore(target)
    ledgers.save(Ledger())
    before = dict(target.contents)
    monkeypatch.setattr(store, limit, 10)
    with pytest.raises(LedgerError, match=r"would have .* bytes, at most 10 are read again"):
        ledgers.save(Ledger(repositories={"x": RepositoryRecord()}))
    assert target.contents == before


def test_what_could_not_be_read_again_is_refused_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "odd": ""})
    for name in shop.repositories:
        shop.images({"latest": app(1)}, name)
    parse = Part.parse

    def strict(name: str, raw: bytes) -> Part:
        if name == "odd":
            raise FieldError("record", "is odd")
        return parse(name, raw)

    monkeypatch.setattr(Part, "parse", strict)
    outcome = shop.run()
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["odd"])
    assert "its record could not be read again: record: is odd" in str(outcome.failed["odd"])
    assert set(Client(shop.folder.contents).tags("app")) == {"latest"}


PLACES = ("scan_repository", "advance", "retain", "pinned_images", "try_out")


@pytest.mark.parametrize(
    "error", [KeyError("layers"), RecursionError("too deep"), MemoryError(), OSError("odd")], ids=repr
)
@pytest.mark.parametrize("place", PLACES)
def test_a_mistake_of_ours_stays_inside_its_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    shop = Shop(
        tmp_path,
        policy='grace = "1h"\nmax_delete = 1.0\nversions = 1\nkeep = 2',
        repositories={"app": "", "bad": 'pins = ["latest"]'},
    )
    for number in range(4):
        shop.images({"latest": app(number)})
        shop.images({"latest": other(number)}, "bad")
        shop.run(number)
    before = {key: data for key, data in shop.folder.contents.items() if "/bad/" in key}
    function = getattr(begin, place)

    def failing(*args: Any, **kwargs: Any) -> object:
        # the first two name the repository, the others are given its record and what was seen
        named = args[0] if place in {"scan_repository", "try_out"} else args
        if "'bad'" in repr(named) or Digest.of(compressed(other(5), "gzip")).hex in repr(named):
            raise error
        return function(*args, **kwargs)

    shop.images({"latest": app(5)})
    shop.images({"latest": other(5)}, "bad")
    monkeypatch.setattr(begin, place, failing)
    outcome, target = shop.watched_run(6)
    assert (outcome.exit_code, list(outcome.failed)) == (ExitCode.PARTLY_DONE, ["bad"])
    problem = outcome.failed["bad"]
    assert isinstance(problem, InternalError)
    assert problem.__cause__ is error
    assert f"internal error: {type(error).__name__}" in "\n".join(failures(outcome))
    assert deleted(target) == []
    assert {key: data for key, data in shop.folder.contents.items() if "/bad/" in key} == before
    monkeypatch.undo()
    healed = shop.run(7)
    assert healed.exit_code is ExitCode.SUCCESS
    shop.check()


def test_a_mistake_in_the_only_repository_is_no_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(tmp_path)
    shop.images({"latest": app(1)})

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(begin, "scan_repository", fail)
    assert shop.run().exit_code is ExitCode.PARTLY_DONE
    assert shop.dry_run().exit_code is ExitCode.PARTLY_DONE


@pytest.mark.parametrize("is_verbose", [True, False])
def test_where_the_mistake_is_shows_whoever_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_verbose: bool
) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "bad": ""})
    for name in shop.repositories:
        shop.images({"latest": app(1)}, name)
    (tmp_path / "deltapress.toml").write_text(
        '[target]\nurl = "public"\n'
        + "".join(f'[[repository]]\nname = "{name}"\nlayout = "{name}"\n' for name in shop.repositories)
    )

    def failing(repository: Repository, **kwargs: Any) -> Seen:
        if repository.name == "bad":
            raise KeyError("layers")
        return scan_repository(repository, **kwargs)

    monkeypatch.setattr(begin, "scan_repository", failing)
    arguments = ["publish", "-c", str(tmp_path / "deltapress.toml"), *(["-v"] if is_verbose else [])]
    assert main(arguments) == ExitCode.PARTLY_DONE
    shown = capsys.readouterr().err
    assert "deltapress: internal error: KeyError: 'layers'; please report it, with what -v adds\n" in shown
    assert "Repository bad was not published." in shown
    assert ('raise KeyError("layers")' in shown) == is_verbose
    assert (tmp_path / "public/v2/app/manifests/latest").exists()
