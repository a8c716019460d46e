"""The index page and the server files."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Policy
from pipeline.deltas.plan import Rules, plan_deltas
from pipeline.deltas.savings import Saving, savings
from pipeline.history.ledger import Ledger
from pipeline.keys import IMMUTABLE, PAGE_KEY, Key
from pipeline.quantities import format_share
from pipeline.targets.memory import MemoryTarget
from pipeline.tree.pages import page_files
from pipeline.tree.servers import server_files

from ..layouts.builder import LayoutBuilder, on
from ..runs import Shop, app, night, other


def _page(shop: Shop) -> str:
    return shop.folder.contents[PAGE_KEY].decode()


def _text(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*</style>", "", page, flags=re.DOTALL)))


def test_the_page_says_what_is_there_and_what_a_delta_saves(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "team/lib": ""})
    shop.images({"1.0": app(1), "2.0": app(2)})
    build = LayoutBuilder()
    index = build.index(
        on(build.image(other(1)), "linux/amd64"), on(build.image(other(1), architecture="arm64"), "linux/arm64/v8")
    )
    shop.layout({"latest": index}, build, "team/lib")
    outcome = shop.run()
    text = " ".join(_text(_page(shop)).split())
    image = LayoutBuilder().image(app(2))
    assert image["digest"][:19] in text
    assert "skopeo copy docker://HOST/app:2.0" in text
    assert "podman pull HOST/team/lib:latest" in text
    assert "linux/amd64" in text
    assert "linux/arm64/v8" in text
    [saving] = outcome.savings
    assert format_share(saving.saved, saving.whole) in text
    assert saving.saved > 0.8 * saving.whole
    assert image["digest"] in _page(shop)


def test_the_page_escapes_what_layouts_say(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    evil = "<script>alert(1)</script>"
    images = (build.image(app(number), os=evil, architecture='"&amp;') for number in (1, 2))
    shop.layout({f"{number}.0": image for number, image in enumerate(images)}, build)
    shop.run()
    assert "<script" not in _page(shop)
    assert html.escape(evil) in _page(shop)


def test_the_page_shows_no_listings(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image))
    shop.layout({"latest": image, f"{image['digest'].replace(':', '-')}.sig": build.artifact(data=b"x")}, build)
    shop.run()
    assert "_deltaindex" not in _page(shop)
    assert "sha256-" not in _page(shop)


def test_the_page_changes_when_what_is_published_changes_and_not_otherwise(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(1)})
    shop.run()
    page = _page(shop)
    assert str(night(0).year) not in _text(page)
    shop.run(9)
    assert _page(shop) == page
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run(10)
    assert _page(shop) != page


def test_a_tree_without_repositories_has_a_page(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.run()  # its layout is missing
    assert "Nothing is published yet" in _text(_page(shop))


def test_server_files_name_every_type_and_cache_rule() -> None:
    files = server_files(stores_headers=False)
    names = {Path(key).name for key in files}
    assert names == {".htaccess", ".nojekyll", "nginx.conf", "apache.conf", "Caddyfile", "README", "no-referrers.json"}
    for key, raw in files.items():
        text = raw.decode()
        assert "{{" not in text
        if key in {Key("_deltapress/servers/nginx.conf"), Key("_deltapress/servers/Caddyfile")}:
            for folder in ("oci-index", "docker-list", "oci-manifest", "docker-manifest"):
                assert folder in text, (key, folder)
            assert IMMUTABLE in text


def test_a_bucket_needs_no_files_that_say_headers(tmp_path: Path) -> None:
    target = MemoryTarget()
    shop = Shop(tmp_path, target)
    shop.images({"latest": app(1)})
    shop.run()
    assert not [key for key in target.contents if ".htaccess" in key or "/typed/" in key or ".meta" in key]


class _Counted(tuple[Saving, ...]):
    """Counts how often somebody goes through it."""

    times = 0

    def __iter__(self) -> Iterator[Saving]:
        type(self).times += 1
        return super().__iter__()


def test_the_savings_are_gone_through_once_however_many_repositories_there_are(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    ledger = shop.run(2).ledger
    [record] = ledger.repositories.values()
    many = Ledger(repositories={f"app{number}": record for number in range(20)}, deltas=ledger.deltas)
    rules = {name: Rules(policy=Policy(formats=("deltaindex",))) for name in many.repositories}
    wanted = plan_deltas(many, rules, generator="", options="").wanted
    found = _Counted(savings(many, wanted))
    _Counted.times = 0
    page = page_files(many, found)[PAGE_KEY].decode()
    assert _Counted.times == 1
    assert page.count('class="number saved"') == len(wanted) == 20
