"""The tree as a whole."""

import json
from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.keys import FLATPAK_INDEX_KEY, Key
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.targets.memory import MemoryTarget
from pipeline.verify import verify

from ..layouts.builder import LayoutBuilder
from ..runs import Shop, app


def test_a_target_in_which_nothing_is_published_is_not_right(tmp_path: Path) -> None:
    empty = verify(MemoryTarget(), jobs=1, limits=Limits(), progress=Silent())
    assert [entry.problem for entry in empty.problems] == ["nothing is published here"]
    assert empty.exit_code == ExitCode.VERIFICATION_FAILED
    shop = Shop(tmp_path)
    (tmp_path / "app").mkdir()
    assert shop.run().exit_code == ExitCode.BAD_INPUT
    assert not verify(shop.folder, jobs=1, limits=Limits(), progress=Silent()).manifests
    assert verify(shop.folder, jobs=1, limits=Limits(), progress=Silent()).exit_code == ExitCode.VERIFICATION_FAILED
    shop.images({"latest": app(1)})
    shop.run(1)
    assert verify(shop.folder, jobs=1, limits=Limits(), progress=Silent()).problems == ()


def test_what_the_index_of_flatpak_leads_to_is_missed(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="delta_url = true")
    icon = "data:image/png;base64,iVBORw0KGgo="
    labels = {
        "org.flatpak.ref": "app/a.b/x86_64/c",
        "org.flatpak.metadata": "",
        "org.freedesktop.appstream.icon-64": icon,
    }
    for number in (1, 2):
        build = LayoutBuilder()
        shop.layout({"latest": build.image(app(number), labels=labels)}, build)
        shop.run(number)
    target = shop.folder.copy()
    assert verify(target, jobs=1, limits=Limits(), progress=Silent()).problems == ()
    [lost] = [key for key in target.contents if key.startswith("index/icons/")]
    [named] = [
        image["Labels"]["io.github.containers.DeltaUrl"]
        for result in json.loads(target.contents[FLATPAK_INDEX_KEY])["Results"]
        for image in result["Images"]
    ]
    for key in (lost, Key(named)):
        target.delete(key)
        found = {str(problem) for problem in verify(target, jobs=1, limits=Limits(), progress=Silent()).problems}
        assert f"{FLATPAK_INDEX_KEY}: leads to {key}, which is missing" in found
    shop.target = target
    assert shop.run(3, repair=True).exit_code == ExitCode.SUCCESS
    assert verify(target, jobs=1, limits=Limits(), progress=Silent()).problems == ()
