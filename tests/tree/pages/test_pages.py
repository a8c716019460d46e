"""Whole trees: their pages say what is published, lead to what is there, and run nothing of anybody else's."""

import base64
import hashlib
import html
import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.config import Policy
from pipeline.config.values import Site
from pipeline.deltas.plan import Rules, plan_deltas
from pipeline.deltas.savings import Saving, savings
from pipeline.history.ledger import Ledger
from pipeline.keys import PAGE_KEY, Key, Kind, classify, feed_key, page_key, remote_page_key
from pipeline.quantities import format_share, format_size
from pipeline.targets.memory import MemoryTarget
from pipeline.tree.pages import page_files

from ...layouts.builder import Json, LayoutBuilder, on
from ...runs import MemoryFolder, Shop, app, night, other
from .reading import page_at, page_of

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
FLATPAK = '[flatpak]\nname = "ours"\nurl = "https://flatpak.example.org/a"\n'


def full_shop(path: Path, target: MemoryTarget) -> Shop:
    """Repositories of all kinds, two nights old."""
    shop = Shop(
        path,
        target,
        repositories={"app": "", "team/lib": "", "flat": "", "x/index.html": "", "pages": ""},
        site=f'[site]\nurl = "https://registry.example.org"\n{FLATPAK}',
    )
    for number in range(2):
        shop.images({"1.9": app(1), "1.10": app(2), "latest": app(number)})
        build = LayoutBuilder()
        index = build.index(
            on(build.image(other(number)), "linux/amd64"),
            on(build.image(other(number + 5), architecture="arm64"), "linux/arm64/v8"),
        )
        build.entry(build.artifact(subject=index, kind="application/spdx+json"))
        shop.layout({"edge": index}, build, "team/lib")
        build = LayoutBuilder()
        labels = {"org.flatpak.ref": "app/org.test.App/x86_64/stable", "org.flatpak.metadata": "m"}
        shop.layout({"stable": build.image(other(number), labels=labels)}, build, "flat")
        for name in ("x/index.html", "pages"):
            shop.images({"1": other(3)}, name)
        assert not shop.run(number).failed
    return shop


def test_the_pages_say_what_is_there_and_what_a_delta_saves(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "team/lib": ""})
    shop.images({"1.0": app(1), "2.0": app(2)})
    build = LayoutBuilder()
    index = build.index(
        on(build.image(other(1)), "linux/amd64"), on(build.image(other(1), architecture="arm64"), "linux/arm64/v8")
    )
    shop.layout({"latest": index}, build, "team/lib")
    outcome = shop.run()
    [saving] = outcome.savings
    share = format_share(saving.saved, saving.whole)
    assert saving.saved > 0.8 * saving.whole
    front, page = page_of(shop.folder), page_of(shop.folder, "app")
    assert ["app", "2.0", "linux/amd64", "2026-01-01", share] in front.rows
    assert ["team/lib", "latest", "linux/amd64, linux/arm64/v8", "2026-01-01", "–"] in front.rows
    assert f"{format_size(saving.with_deltas)} instead of {format_size(saving.whole)}" in front.text
    assert ["1.0", format_size(saving.whole), format_size(saving.with_deltas), share] in page.rows
    image = LayoutBuilder().image(app(2))
    assert image["digest"] in page.text
    assert "podman pull <span data-host>HOST</span>/app:2.0" in page.raw


def test_every_link_leads_to_something_that_is_there(tmp_path: Path) -> None:
    for target in (MemoryFolder(), MemoryTarget()):
        shop = full_shop(tmp_path / type(target).__name__, target)
        pages = {PAGE_KEY: page_of(target)}
        pages |= {page_key(name): page_of(target, name) for name in shop.repositories}
        pages[remote_page_key("ours")] = page_at(target, remote_page_key("ours"))
        assert pages.keys() == {key for key in target.contents if key == PAGE_KEY or key.startswith("pages/")} - {
            key for key in target.contents if key.endswith("_feed.atom")
        }
        assert len({link for page in pages.values() for link in page.links}) > 15
        for key, page in pages.items():
            assert len(page.ids) == len(set(page.ids))
            for link in page.links:
                parts = urlsplit(link)
                assert not parts.scheme, link
                path = (
                    Key(posixpath.normpath(posixpath.join(posixpath.dirname(key), parts.path))) if parts.path else key
                )
                assert path in target.contents, (key, link)
                assert not parts.fragment or parts.fragment in pages[path].ids
        assert {page_key(name) for name in shop.repositories} < {
            posixpath.normpath(link) for link in pages[PAGE_KEY].links
        }


def test_a_remote_of_flatpak_has_a_page_to_land_on(tmp_path: Path) -> None:
    shop = full_shop(tmp_path, MemoryFolder())
    key = remote_page_key("ours")
    page = page_at(shop.folder, key)
    assert ["org.test.App", "stable", "org.test.App.flatpakref"] in page.rows
    assert {"../../ours.flatpakrepo", "../../org.test.App.flatpakref", "../../index.html"} <= set(page.links)
    assert "flatpak install --user ours org.test.App//stable" in page.text
    assert key in page_of(shop.folder).links
    assert (parsed := classify(key)) is not None
    assert (parsed.kind, parsed.repository) == (Kind.REMOTE_PAGE, None)
    assert classify("pages/_remotes/a/b.html") is None


def test_a_page_states_the_digests_of_the_one_script_and_style_that_it_holds(tmp_path: Path) -> None:
    shop = full_shop(tmp_path, MemoryFolder())
    for name in (None, *shop.repositories):
        page = page_of(shop.folder, name)
        [style], [script] = page.elements("style"), page.elements("script")
        digests = [
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
        ]
        assert page.metas["Content-Security-Policy"] == (
            f"default-src 'none'; style-src {digests[0]}; script-src {digests[1]}; base-uri 'none'; form-action 'none'"
        )
        assert "style" not in page.attributes
        assert not [name for name in page.attributes if name.startswith("on")]
        assert "url(" not in style
        assert not page.tags & {"img", "iframe", "object", "form", "base"}


def test_what_layouts_say_is_text(tmp_path: Path) -> None:
    shop = Shop(tmp_path, site='[site]\nurl = "https://example.org"')
    build = LayoutBuilder()
    titles = {f"org.opencontainers.image.{name}": EVIL for name in ("title", "description", "licenses")}

    def image(number: int) -> Json:
        return build.image(app(number), os=EVIL, architecture='"&amp;', labels=titles, annotations=titles)

    build.entry(build.artifact(subject=image(2), kind=f"application/spdx+json;{EVIL}"))
    shop.layout({f"{number}.0": image(number) for number in (1, 2)}, build)
    assert not shop.run().failed
    for name in (None, "app"):
        page = page_of(shop.folder, name)
        assert "alert(1)" in page.text
        assert page.raw.count("<script") == 1
        assert "<img" not in page.raw
        assert html.escape(EVIL) in page.raw
    assert page.text.count(EVIL) > 5


def test_a_label_that_is_too_long_is_not_shown(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    labels = {"org.opencontainers.image.title": "A" * 501, "org.opencontainers.image.vendor": "B" * 500, "mine": "C"}
    shop.layout({"1": build.image(app(1), labels=labels)}, build)
    shop.run()
    page = page_of(shop.folder, "app")
    assert "B" * 500 in page.text
    assert "A" * 501 not in page.text
    [image] = shop.run(force=True).ledger.repositories["app"].images.values()
    assert image.platforms[0].labels.keys() == {"org.opencontainers.image.vendor"}


def test_pages_show_no_listings(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image))
    shop.layout({"latest": image, f"{image['digest'].replace(':', '-')}.sig": build.artifact(data=b"x")}, build)
    shop.run()
    for page in (page_of(shop.folder), page_of(shop.folder, "app")):
        assert "_deltaindex" not in page.text
        assert "sha256-" not in page.text


def test_pages_change_when_what_is_published_changes_and_not_otherwise(tmp_path: Path) -> None:
    shop = Shop(tmp_path, repositories={"app": "", "other": ""})
    shop.images({"1.0": app(1)})
    shop.images({"1.0": other(1)}, "other")
    shop.run()
    keys = (PAGE_KEY, page_key("app"), page_key("other"))
    before = [shop.folder.contents[key] for key in keys]
    assert "2026-01-01 00:00 UTC" in page_of(shop.folder).text
    shop.run(9)
    assert [shop.folder.contents[key] for key in keys] == before
    shop.images({"1.0": app(1), "2.0": app(2)})
    shop.run(10)
    after = [shop.folder.contents[key] for key in keys]
    assert [new == old for new, old in zip(after, before, strict=True)] == [False, False, True]
    assert "2026-01-11 00:00 UTC" in page_of(shop.folder).text


def test_a_tree_without_repositories_has_a_page(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.run()  # its layout is missing
    assert "Nothing is published yet" in page_of(shop.folder).text


def test_the_page_of_a_removed_repository_goes_after_the_grace_period(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy='grace = "1d"\nmax_delete = 1.0', site='[site]\nurl = "https://example.org"')
    shop.repositories = {"app": "", "other": ""}
    shop.images({"1.0": app(1)})
    shop.images({"1.0": other(1)}, "other")
    shop.run()
    shop.remove("app", 1)
    assert "app" not in [row[0] for row in page_of(shop.folder).rows]
    assert shop.folder.contents.keys() >= {page_key("app"), feed_key("app")}
    shop.run(3)
    assert not shop.folder.contents.keys() & {page_key("app"), feed_key("app")}
    assert shop.folder.contents.keys() >= {page_key("other"), feed_key("other")}


def test_a_repository_that_is_removed_now_has_no_page_any_more(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="max_delete = 1.0", repositories={"app": "", "other": ""})
    shop.images({"1.0": app(1)})
    shop.images({"1.0": other(1)}, "other")
    shop.run()
    shop.remove("app", 1, is_now=True)
    assert page_key("app") not in shop.folder.contents


class _Counted(tuple[Saving, ...]):
    """Counts how often somebody goes through it."""

    times = 0

    def __iter__(self) -> Iterator[Saving]:
        type(self).times += 1
        return super().__iter__()


def test_a_thousand_repositories_have_a_small_front_page_and_the_same_pages_as_one(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in (1, 2):
        shop.images({"latest": app(number)})
        shop.run(number)
    ledger = shop.run(2, force=True).ledger  # not at rest, when nothing is loaded
    [record] = ledger.repositories.values()
    names = [f"team-{number % 40}/service-{number}" for number in range(1000)]
    many = Ledger(repositories=dict.fromkeys(names, record), deltas=ledger.deltas)
    rules = {name: Rules(policy=Policy(formats=("deltaindex",))) for name in many.repositories}
    wanted = plan_deltas(many, rules, generator="", options="", now=night(9)).wanted
    found = _Counted(savings(many, wanted))
    _Counted.times = 0
    files = page_files(many, found, Site())
    assert _Counted.times == 1
    front = files[PAGE_KEY].decode()
    assert front.count('class="n saved"') == len(wanted) == 1000
    assert len(front) < 300_000
    one = Ledger(repositories={names[7]: record}, deltas=ledger.deltas)
    alone = plan_deltas(one, {names[7]: rules[names[7]]}, generator="", options="", now=night(9)).wanted
    assert page_files(one, tuple(savings(one, alone)), Site())[page_key(names[7])] == files[page_key(names[7])]
