"""A tree that somebody has copied, following its links: it is served as before, and published into again."""

import shutil
from pathlib import Path

import pytest

from pipeline.keys import Key
from pipeline.targets.base import TargetError
from pipeline.targets.directory import DirectoryTarget

from ..client import contents_of, problems
from ..runs import Shop, app

LINK = Path("_deltapress/tags/v2/app/manifests/latest")


@pytest.fixture
def copied(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, DirectoryTarget(tmp_path / "public"))
    shop.images({"latest": app(0)})
    shop.run()
    shutil.copytree(tmp_path / "public", tmp_path / "copy")  # follows links
    assert not (tmp_path / "copy" / LINK).is_symlink()
    return Shop(tmp_path, DirectoryTarget(tmp_path / "copy"))


def test_a_tag_moves_in_a_copied_tree(copied: Shop, tmp_path: Path) -> None:
    copied.images({"latest": app(1)})
    copied.run(1)
    assert (tmp_path / "copy" / LINK).is_symlink()
    assert problems(contents_of(copied.target), at_rest=True) == []


def test_a_folder_with_anything_else_in_it_is_left_alone(copied: Shop, tmp_path: Path) -> None:
    (tmp_path / "copy" / LINK / "mine").touch()
    copied.images({"latest": app(1)})
    with pytest.raises(TargetError, match="a folder where it needs a file"):
        copied.run(1)
    assert (tmp_path / "copy" / LINK / "mine").exists()
    assert Key(str(LINK)) not in contents_of(copied.target)
