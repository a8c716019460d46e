"""What somebody had in the target before the first publish is overwritten only when a person says so."""

from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.keys import PAGE_KEY, Headers, Key
from pipeline.publish.adopt import ForeignFilesError
from pipeline.report import plan_text
from pipeline.targets.base import Properties
from pipeline.targets.directory import DirectoryTarget

from ..runs import MemoryFolder, Shop, app

OWN = b"<h1>our site</h1>"
NO_PAGES = 'grace = "1h"\nmax_delete = 1.0\n[site]\npages = false'


@pytest.fixture(params=[True, False], ids=["bucket", "folder"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    shop = Shop(tmp_path, policy='grace = "1h"\nmax_delete = 1.0')
    shop.folder.properties = Properties(stores_headers=request.param)
    shop.images({"latest": app(1)})
    return shop


def put(folder: MemoryFolder, *keys: str, data: bytes = OWN) -> None:
    for key in keys:
        folder.contents[Key(key)] = data
        folder.headers[Key(key)] = Headers(content_type="text/plain", cache_control="")


@pytest.mark.parametrize("keys", [["index.html"], ["v2/index.html"], ["index.html", "v2/index.html"]], ids=",".join)
def test_a_first_publish_overwrites_nothing_that_is_not_ours(shop: Shop, keys: list[str]) -> None:
    put(shop.folder, *keys, "robots.txt")
    before = dict(shop.folder.contents)
    planned = shop.dry_run()
    assert f"publish would refuse this: {', '.join(keys)}: " in plan_text(planned)
    with pytest.raises(ForeignFilesError, match=rf"^{', '.join(keys)}: (is|are) in the target already") as caught:
        shop.run()
    assert (caught.value.exit_code, caught.value.keys) == (ExitCode.BAD_CONFIGURATION, tuple(map(Key, keys)))
    assert "\n" not in str(caught.value)
    assert ("`pages = false`" in str(caught.value)) == ("index.html" in keys)
    assert shop.folder.contents == before

    assert shop.run(adopt=True).exit_code == ExitCode.SUCCESS
    assert OWN not in {shop.folder.contents[Key(key)] for key in keys}
    assert shop.folder.contents[Key("robots.txt")] == OWN
    shop.images({"latest": app(2)})
    assert shop.run(1).exit_code == ExitCode.SUCCESS


def test_what_apache_reads_is_not_overwritten_in_a_folder(tmp_path: Path) -> None:
    root = tmp_path / "public"
    root.mkdir()
    for name in (".htaccess", ".nojekyll"):
        (root / name).write_bytes(OWN)
    shop = Shop(tmp_path, target=DirectoryTarget(root))
    shop.images({"latest": app(1)})
    with pytest.raises(ForeignFilesError, match=r"^\.htaccess, \.nojekyll: are in the target already"):
        shop.run()
    assert (root / ".htaccess").read_bytes() == OWN
    assert not (root / "v2").exists()


def test_many_files_are_one_line(shop: Shop) -> None:
    keys = tuple(Key(f"k{number}") for number in range(7))
    assert str(ForeignFilesError(keys, "public")).startswith("k0, k1, k2, k3, k4 and 2 more: are in")


def test_what_holds_the_bytes_that_we_would_write_is_ours(shop: Shop) -> None:
    shop.run()
    ours = shop.folder.contents[Key("v2/index.html")]
    shop.folder.contents.clear()
    put(shop.folder, "v2/index.html", data=ours)
    assert shop.run().exit_code == ExitCode.SUCCESS


def test_what_comes_to_be_ours_later_is_not_overwritten_either(shop: Shop) -> None:
    shop.policy = NO_PAGES
    shop.run()
    put(shop.folder, "index.html")
    shop.policy = 'grace = "1h"'
    with pytest.raises(ForeignFilesError, match=r"^index\.html: is in the target already"):
        shop.run(1)


def test_without_pages_a_page_of_ones_own_stays(shop: Shop) -> None:
    put(shop.folder, "index.html")
    shop.policy = NO_PAGES
    for number in range(3):
        shop.images({"latest": app(number)})
        assert shop.run(number).exit_code == ExitCode.SUCCESS
        assert shop.folder.contents[PAGE_KEY] == OWN
    assert shop.run(3, repair=True).repairs == ()


@pytest.mark.parametrize("how", ["publish", "repair", "prune"])
def test_a_page_that_took_the_place_of_ours_is_not_deleted(shop: Shop, how: str) -> None:
    shop.run()
    shop.policy = NO_PAGES
    shop.run(1)
    assert PAGE_KEY in shop.folder.contents  # it waits, as all that is not wanted any more
    put(shop.folder, "index.html")
    if how == "prune":
        shop.prune(3)
    else:
        shop.run(3, repair=how == "repair")
    assert shop.folder.contents[PAGE_KEY] == OWN


def test_our_own_page_goes_when_it_is_not_wanted_any_more(shop: Shop) -> None:
    shop.run()
    shop.policy = NO_PAGES
    shop.run(1)
    shop.run(3)
    assert PAGE_KEY not in shop.folder.contents
