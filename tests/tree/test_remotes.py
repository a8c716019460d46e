"""The files on which people click: which there are, what they say, and whose they are."""

import configparser
from collections.abc import Iterable
from pathlib import Path

from pipeline.keys import PAGE_KEY, Key

from ..client import problems
from ..layouts.builder import LayoutBuilder
from ..runs import MemoryFolder, Shop, app
from .test_flatpak import REF, flatpak


def flatpak_files_of(shop: Shop) -> dict[str, configparser.SectionProxy]:
    found = {}
    for key, data in shop.folder.contents.items():
        if key.endswith((".flatpakrepo", ".flatpakref")):
            parser = configparser.ConfigParser(interpolation=None)
            parser.optionxform = str  # type: ignore[assignment,method-assign]  # the case of keys matters here
            parser.read_string(data.decode())
            [group] = parser.sections()
            assert group == ("Flatpak Repo" if key.endswith("repo") else "Flatpak Ref")
            found[str(key)] = parser[group]
    return found


SITE = '[flatpak]\nname = "ours"\nurl = "https://flatpak.example.org/some/path/"\n'


def app_shop(path: Path, more: str = SITE, target: MemoryFolder | None = None, ids: Iterable[str] = (REF,)) -> Shop:
    """Publishes an image for each of the refs."""
    shop = Shop(path, target=target or MemoryFolder(), site=more)
    build = LayoutBuilder()
    shop.layout({f"t{number}": flatpak(build, number, ref=ref) for number, ref in enumerate(ids)}, build)
    return shop


def test_a_remote_has_files_for_itself_and_its_apps(tmp_path: Path) -> None:
    more = 'title = "Our \\\\ apps"\nbranch = "1.0"\nicon = "https://example.org/i.png"\n'
    more += 'runtime_repo = "https://example.org/r.flatpakrepo"'
    ids = ["app/org.test.A/x86_64/1.0", "app/org.test.A/aarch64/1.0", "app/org.test.A/x86_64/beta"]
    ids += [
        "runtime/org.test.P/x86_64/1.0",
        "app/../x86_64/1.0",
        "app/org.test.A/x86_64/..",
        "app/org.test.a/x86_64/1.0",
    ]
    shop = app_shop(tmp_path, SITE + more, ids=ids)
    shop.watched_run()
    files = flatpak_files_of(shop)
    assert {name: dict(values) for name, values in files.items()} == {
        "ours.flatpakrepo": {
            "Version": "1",
            "Title": "Our \\\\ apps",
            "Url": "oci+https://flatpak.example.org/some/path",
            "Icon": "https://example.org/i.png",
            "DefaultBranch": "1.0",
        },
        "org.test.A.flatpakref": {
            "Version": "1",
            "Title": "org.test.A from Our \\\\ apps",
            "Name": "org.test.A",
            "Branch": "1.0",
            "IsRuntime": "false",
            "Url": "oci+https://flatpak.example.org/some/path",
            "SuggestRemoteName": "ours",
            "RuntimeRepo": "https://example.org/r.flatpakrepo",
        },
        "org.test.A@beta.flatpakref": {
            **dict(files["org.test.A.flatpakref"]),
            "Branch": "beta",
        },
        # on a file system that ignores case, its short name would be that of the first
        "org.test.a@1.0.flatpakref": {
            **dict(files["org.test.A.flatpakref"]),
            "Title": "org.test.a from Our \\\\ apps",
            "Name": "org.test.a",
        },
    }
    page = shop.folder.contents[PAGE_KEY].decode()
    assert all(f'href="{name}"' in page for name in files)
    assert "https://flatpak.example.org/some/path/ours.flatpakrepo" in page
    assert shop.folder.headers[Key("ours.flatpakrepo")].content_type == "application/vnd.flatpak.repo"
    assert shop.folder.headers[Key("org.test.A.flatpakref")].content_type == "application/vnd.flatpak.ref"
    assert shop.run(1).written.keys == 0
    assert shop.reconcile(1).stray == ()


def test_without_an_address_there_are_no_files(tmp_path: Path) -> None:
    shop = app_shop(tmp_path, "")
    shop.run()
    assert flatpak_files_of(shop) == {}


def test_a_remote_that_is_no_longer_configured_goes_after_the_grace_period(tmp_path: Path) -> None:
    shop = app_shop(tmp_path)
    shop.run(1)
    shop.site = SITE.replace("ours", "new")
    shop.run(2)
    assert set(flatpak_files_of(shop)) == {"ours.flatpakrepo", "new.flatpakrepo", "org.test.Hello.flatpakref"}
    assert flatpak_files_of(shop)["org.test.Hello.flatpakref"]["SuggestRemoteName"] == "new"
    shop.run(30)
    assert set(flatpak_files_of(shop)) == {"new.flatpakrepo", "org.test.Hello.flatpakref"}


def test_two_configurations_publish_remotes_into_one_target(tmp_path: Path) -> None:
    target = MemoryFolder()
    one = app_shop(tmp_path / "one", target=target)
    other = app_shop(
        tmp_path / "other", SITE.replace("ours", "theirs"), target, ["app/org.test.Other/x86_64/stable", REF + "2"]
    )
    other.repositories = {"more": ""}
    (tmp_path / "other" / "app").rename(tmp_path / "other" / "more")
    other.policy = "delta_url = true"
    one.run(1)
    other.run(2)
    names = {"ours.flatpakrepo", "org.test.Hello.flatpakref"}
    names |= {"theirs.flatpakrepo", "org.test.Other.flatpakref", "org.test.Hello@stable2.flatpakref"}
    assert set(flatpak_files_of(one)) == names
    assert (one.run(30).written.keys, other.run(31).written.keys) == (0, 0)
    assert set(flatpak_files_of(one)) == names, "what the other configuration wants is no garbage"
    third = Shop(tmp_path / "third", target=target, repositories={"plain": ""})
    third.images({"latest": app(1)}, "plain")
    third.run(32)
    third.run(60)
    assert set(flatpak_files_of(one)) == names, "nor for one that knows nothing of flatpak"
    assert problems(target.contents, at_rest=True) == []


def test_of_one_remote_the_last_configuration_is_right(tmp_path: Path) -> None:
    target = MemoryFolder()
    app_shop(tmp_path / "one", SITE + 'title = "One"', target).run(1)
    other = app_shop(tmp_path / "other", SITE + 'title = "Two"', target)
    (tmp_path / "other" / "app").rename(tmp_path / "other" / "more")
    other.repositories = {"more": ""}
    other.run(2)
    assert flatpak_files_of(other)["ours.flatpakrepo"]["Title"] == "Two"


def test_a_removed_app_has_no_file_any_more(tmp_path: Path) -> None:
    shop = app_shop(tmp_path, ids=[REF, "app/org.test.Other/x86_64/stable"])
    shop.run(1)
    shop.remove("app:t1", 2)
    shop.run(30)
    assert set(flatpak_files_of(shop)) == {"ours.flatpakrepo", "org.test.Hello.flatpakref"}
