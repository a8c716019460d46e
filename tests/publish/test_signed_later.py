"""Images are often signed after they were published, when the layout has the next one already."""

import json
from pathlib import Path

import pytest

from pipeline.keys import Key

from ..layouts.builder import Json, LayoutBuilder
from ..runs import Shop, app, other


def _referrers(shop: Shop, digest: str) -> list[str]:
    found = json.loads(shop.folder.contents[Key(f"v2/app/referrers/{digest}")])["manifests"]
    return [entry["digest"] for entry in found]


def _first_night(shop: Shop) -> Json:
    build = LayoutBuilder()
    first = build.image(app(0))
    shop.layout({"latest": first}, build)
    shop.run()
    return first


def test_a_signature_of_yesterdays_image_is_attached(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='versions = 2\nkeep = 3\nformats = ["deltaindex"]')
    first = _first_night(shop)
    build = LayoutBuilder()
    second = build.image(app(1))
    signature, seal = build.artifact(subject=first), build.artifact(subject=second)
    of_signature = build.artifact(subject=signature)
    for entry in (of_signature, signature, seal):
        build.entry(entry)
    shop.layout({"latest": second}, build)
    outcome, _ = shop.watched_run(1)
    assert outcome.notes == ()
    assert _referrers(shop, first["digest"]) == [signature["digest"]]
    assert _referrers(shop, signature["digest"]) == [of_signature["digest"]]
    assert _referrers(shop, second["digest"]) == [seal["digest"]]
    assert shop.run(2).written.keys == 0
    # it stays when its layout has lost it, and goes with its image
    shop.images({"latest": app(2)})
    shop.run(3)
    assert _referrers(shop, first["digest"]) == [signature["digest"]]
    for number in (3, 4):
        shop.images({"latest": app(number)})
        outcome = shop.run(number + 1)
    assert first["digest"] not in {str(digest) for digest in outcome.ledger.repositories["app"].images}
    assert signature["digest"] not in {str(digest) for digest in outcome.ledger.repositories["app"].images}
    shop.check()


@pytest.mark.parametrize("tags", ["", 'tags = ["latest"]'], ids=["all tags", "some"])
def test_cosigns_tag_of_yesterdays_image_comes_too(tmp_path: Path, tags: str) -> None:
    shop = Shop(tmp_path, policy="versions = 1\nkeep = 2", repositories={"app": tags})
    first = _first_night(shop)
    build = LayoutBuilder()
    name = f"{first['digest'].replace(':', '-')}.sig"
    shop.layout({"latest": build.image(app(1)), name: build.image(other(0))}, build)
    outcome = shop.run(1)
    assert Key(f"v2/app/manifests/{name}") in shop.folder.contents
    assert name in outcome.ledger.repositories["app"].tags
    shop.images({"latest": app(2)})
    assert name not in shop.run(2).ledger.repositories["app"].tags, "its image is among the two newest no more"
    shop.check()


def test_what_is_attached_to_nothing_that_is_published_is_left_out_and_named(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    build.entry(build.artifact(subject=LayoutBuilder().image(app(7))))
    shop.layout({"latest": build.image(app(1))}, build)
    [note] = shop.run().notes
    assert "has a subject that is not published" in note
