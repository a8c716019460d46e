"""The tree as a whole."""

from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.limits import Limits
from pipeline.progress import Silent
from pipeline.targets.memory import MemoryTarget
from pipeline.verify import verify

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
