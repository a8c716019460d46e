"""What is wrong with a listing of deltas, as a client of it would find out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.keys import Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.verify import Verification, verify

from ..runs import Shop, app

KEY = Key("v2/app/manifests/_deltaindex")
TARGET = "io.github.containers.delta.target"
OTHER = f"sha256:{'1' * 64}"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, policy='versions = 2\nformats = ["deltaindex"]')
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    return shop


def verified(shop: Shop, spoil: Callable[[Any], object]) -> Verification:
    listing = json.loads(shop.folder.contents[KEY])
    spoil(listing["manifests"])
    shop.folder.contents[KEY] = json.dumps(listing).encode()
    return verify(shop.target, jobs=1, limits=Limits(), progress=Silent())


def test_a_whole_one(shop: Shop) -> None:
    found = verify(shop.target, jobs=1, limits=Limits(), progress=Silent())
    assert (found.problems, found.deltas) == ((), 1)


@pytest.mark.parametrize(
    ("spoil", "problem", "deltas"),
    [
        (lambda entries: entries.append(entries[0]), "twice; clients read the first entry alone", 1),
        (lambda entries: entries[0].pop("annotations"), f"manifests[0].annotations.{TARGET}: '' is not a digest", 0),
        (lambda entries: entries[0]["annotations"].update({TARGET: OTHER}), f"is for {OTHER}, the manifest says", 0),
        (lambda entries: entries[0].update(digest=OTHER), f"lists the delta manifest {OTHER}, which is missing", 0),
    ],
)
def test_a_spoiled_one(shop: Shop, spoil: Callable[[Any], object], problem: str, deltas: int) -> None:
    found = verified(shop, spoil)
    assert [str(entry) for entry in found.problems if entry.key == KEY and problem in entry.problem]
    assert found.deltas == deltas
