"""What pages show, number by number: beside the ledger."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pipeline.config.values import FlatpakRemote, Site
from pipeline.deltas.savings import distinct, savings
from pipeline.errors import ExitCode
from pipeline.history.moves import last_move
from pipeline.history.records.repositories import Move, RepositoryRecord, TagRecord
from pipeline.keys import PAGE_KEY, feed_key, page_key
from pipeline.oci.flatpak import FlatpakRef
from pipeline.quantities import format_share, format_size
from pipeline.targets.memory import MemoryTarget
from pipeline.tree.pages import page_files
from pipeline.tree.pages.commands import HOST, commands_of
from pipeline.tree.pages.repository import repository_view, tags_in_order
from pipeline.tree.pages.updates import Matrix
from pipeline.tree.templates import OwnTemplateError

from ...browser.shown import shown_ledger
from ...layouts.builder import LayoutBuilder
from ...layouts.signatures import signature, signature_tag
from ...runs import Shop, app, night, other
from .reading import page_of

ATOM = "{http://www.w3.org/2005/Atom}"


def _matrices(shop: Shop, number: float = 0) -> list[Matrix]:
    outcome = shop.run(number)
    view = repository_view("app", outcome.ledger.repositories["app"], outcome.savings, None, url=None)
    return [platform.matrix for version in view.versions for platform in version.platforms if platform.matrix]


def test_numbers_and_bars_are_those_of_the_ledger(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="versions = 3")
    layers = {"1.9": (app(1),), "1.10": (app(2),), "1.11": (app(3), other(1))}
    shop.images(layers)  # type: ignore[arg-type]  # its tuples are of one length or another
    [matrix] = _matrices(shop)
    outcome = shop.run(1, force=True)  # not at rest, when nothing is loaded
    assert [update.name for update in matrix.updates] == ["1.10", "1.9"]
    deltas = outcome.ledger.deltas.values()
    new = next(image for image in outcome.ledger.repositories["app"].platform_images() if len(image.layers) == 2)
    for update in matrix.updates:
        assert update.whole == new.size
        [size] = [
            new.size - layer.size + delta.size
            for delta in deltas
            for layer in new.layers
            if new.size - layer.size + delta.size == update.with_deltas
        ]
        assert update.saved == new.size - size
        assert update.whole_width == 100
        assert update.delta_width == pytest.approx(100 * size / new.size, abs=0.01)
        row = [update.name, format_size(update.whole), format_size(size), format_share(update.saved, update.whole)]
        assert row in page_of(shop.folder, "app").rows
    assert [update.top for update in matrix.updates] == [0, matrix.height / 2]


def test_what_is_pending_is_called_so() -> None:
    ledger, wanted = shown_ledger()
    found = [saving for saving in distinct(savings(ledger, wanted)) if saving.repository == "team/pending"]
    assert [(saving.pending, saving.deltas, saving.refused) for saving in found] == [(1, 0, ())]
    files = page_files(ledger, found, Site())
    target = MemoryTarget()
    target.contents.update(files)
    [row] = [row for row in page_of(target).rows if row[0] == "team/pending"]
    assert row[-1] == "pending"
    page = page_of(target, "team/pending")
    assert ["1.0", format_size(found[0].whole), "pending"] in page.rows
    assert "the delta is pending" in page.text
    assert "%" not in page.text


def test_a_delta_that_was_refused_says_why(tmp_path: Path) -> None:
    shop = Shop(tmp_path, policy="max_ratio = 0.01")
    shop.images({"1": app(1), "2": app(2)})
    [matrix] = _matrices(shop)
    [update] = matrix.updates
    assert update.state == "refused"
    assert "more than the policy allows" in update.refused[0]
    page = page_of(shop.folder, "app")
    assert ["1", format_size(update.whole), "no delta"] in page.rows
    assert [f"No delta: {update.refused[0]}."] in page.rows
    assert "0.0 %" not in page.text
    assert ["app", "2", "linux/amd64", "2026-01-01", "–"] in page_of(shop.folder).rows


def test_an_update_that_belongs_to_several_series_stands_once(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for number in range(2):
        shop.images({"stable": app(number), "edge": app(number)})
        shop.run(number)
    page = page_of(shop.folder, "app")
    assert page.raw.count("<svg") == 1
    assert page.raw.count('class="n saved"') == 1
    assert [row[0] for row in page.rows if len(row) == 4 and "%" in row[3]] == ["2026-01-01 00:00"]


def _record(*tags: str, moved: tuple[str, ...] = ()) -> RepositoryRecord:
    ledger, _ = shown_ledger()
    images = ledger.repositories["team/billing"].images
    digests = [digest for digest, image in images.items() if image.platforms]
    records = {
        tag: TagRecord(moves=(Move(image=digests[number % len(digests)], since=night(number)),))
        for number, tag in enumerate(tags)
    }
    for number, tag in enumerate(moved):
        first, second = (Move(image=digests[-1 - place], since=night(20 + place + number)) for place in (0, 1))
        records[tag] = TagRecord(moves=(first, second))
    return RepositoryRecord(tags=records, images=images)


def test_tags_stand_in_the_order_of_versions_and_the_latest_of_each_series_first() -> None:
    assert tags_in_order(_record("1.9", "1.10", "1.2.3", "1.10.1-rc.1")) == ["1.10.1-rc.1", "1.10", "1.9", "1.2.3"]
    assert tags_in_order(_record("1.9", "1.10", moved=("edge", "nightly"))) == ["1.10", "nightly", "edge", "1.9"]
    assert tags_in_order(_record(moved=("nightly",))) == ["nightly"]
    assert tags_in_order(_record()) == []


def test_a_roll_back_recommends_what_it_leads_back_to() -> None:
    record = _record("1.9", "1.10")
    lost = replace(record.tags["1.10"], lost=night(5))
    assert tags_in_order(replace(record, tags={**record.tags, "1.10": lost})) == ["1.9", "1.10"]


def test_of_very_many_versions_some_are_shown_and_all_are_counted() -> None:
    record = _record(*(f"1.{minor}" for minor in range(1200)))
    view = repository_view("app", record, (), None, url=None)
    assert (len(view.tags), view.more_tags) == (1000, 200)
    assert view.tags[0].tag == "1.1199"
    assert len(view.versions) <= 50


def test_what_is_attached_is_named_with_the_version(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    build = LayoutBuilder()
    image = build.image(app(1))
    build.entry(build.artifact(subject=image, kind="application/spdx+json"))
    build.entry(build.artifact(subject=image, kind="application/vnd.dev.sigstore.bundle.v0.3+json"))
    build.entry(build.artifact(subject=image, kind="text/plain"))
    shop.layout({"1": image, f"{image['digest'].replace(':', '-')}.att": build.artifact(data=b"xyz")}, build)
    record = shop.run().ledger.repositories["app"]
    [version] = repository_view("app", record, (), None, url=None).versions
    found = [(what.called, what.artifact_type, what.size) for what in version.attached]
    assert sorted(found) == [
        ("SBOM", "application/spdx+json", 6 + 2),
        ("artifact", "text/plain", 6 + 2),
        ("attestation", "", 3 + 2),
        ("signature or attestation", "application/vnd.dev.sigstore.bundle.v0.3+json", 6 + 2),
    ]


def test_commands_of_each_client() -> None:
    ref = FlatpakRef(kind="app", id="org.test.App", arch="x86_64", branch="stable")
    remote = FlatpakRemote(name="ours", url="https://f.example.org")

    def texts(url: str | None, **more: FlatpakRemote | FlatpakRef | None) -> dict[str, str]:
        given = {"remote": None, "ref": None, **more}
        return {command.client: command.text for command in commands_of("team/app", "1.0", url=url, **given)}  # type: ignore[arg-type]

    assert texts("https://r.example.org:8443") == {
        "podman": "podman pull r.example.org:8443/team/app:1.0",
        "docker": "docker pull r.example.org:8443/team/app:1.0",
        "skopeo": "skopeo copy docker://r.example.org:8443/team/app:1.0 oci:app:1.0",
        "crane": "crane pull --format=oci r.example.org:8443/team/app:1.0 app",
        "oras": "oras copy r.example.org:8443/team/app:1.0 --to-oci-layout app:1.0",
        "deltapress": "deltapress pull r.example.org:8443/team/app:1.0 --into oci:app",
    }
    assert texts(None)["podman"] == f"podman pull {HOST}/team/app:1.0"
    # below a path clients of registries find nothing
    assert texts("https://example.org/some/path") == {
        "deltapress": "deltapress pull team/app:1.0 --from https://example.org/some/path --into oci:app"
    }
    assert texts(None, ref=ref)["flatpak"].startswith(
        f"flatpak remote-add --user --if-not-exists REMOTE oci+https://{HOST}\n"
    )
    assert texts(None, ref=ref, remote=remote)["flatpak"] == (
        "flatpak remote-add --user --if-not-exists ours oci+https://f.example.org\n"
        "flatpak install --user ours org.test.App//stable"
    )


def test_a_feed_has_what_became_of_the_tags(tmp_path: Path) -> None:
    shop = Shop(tmp_path, site='[site]\nurl = "https://registry.example.org:8443/"')
    shop.images({"1.0": app(0), "latest": app(0)})
    shop.run()
    first = _ids(shop)
    shop.images({"1.0": app(0), "latest": app(1)})
    shop.run(1)
    feed = ElementTree.fromstring(shop.folder.contents[feed_key("app")])
    assert _ids(shop)[1:] == first
    assert len(set(_ids(shop))) == 3
    assert all(text.startswith("tag:registry.example.org,2026:deltapress:app") for text in _ids(shop))
    assert feed.findtext(f"{ATOM}updated") == "2026-01-02T00:00:00Z"
    assert [entry.findtext(f"{ATOM}title") for entry in feed.iter(f"{ATOM}entry")] == [
        "app:latest has moved",
        "app:latest",
        "app:1.0",
    ]
    links = [link.attrib["href"] for link in feed.iter(f"{ATOM}link")]
    assert links[0] == f"https://registry.example.org:8443/{feed_key('app')}"
    ids = page_of(shop.folder, "app").ids
    assert {link.partition("#")[2] for link in links[2:]} <= set(ids)
    assert f'href="{feed_key("app").rpartition("/")[2]}"' in page_of(shop.folder, "app").raw


def test_a_signature_is_no_news_of_a_tag(tmp_path: Path) -> None:
    shop = Shop(tmp_path, site='[site]\nurl = "https://registry.example.org"')
    for number in range(2):
        build = LayoutBuilder()
        image = build.image(app(0))
        signed = {signature_tag(image): signature(build, image)} if number else {}
        shop.layout({"1.0": image, **signed}, build)
        outcome = shop.run(number)
        feed = ElementTree.fromstring(shop.folder.contents[feed_key("app")])
        assert feed.findtext(f"{ATOM}updated") == "2026-01-01T00:00:00Z"
        assert last_move(outcome.ledger.repositories["app"]) == night(0)
        assert len(_ids(shop)) == 1
    assert "signature" in page_of(shop.folder, "app").text


def _ids(shop: Shop) -> list[str]:
    feed = ElementTree.fromstring(shop.folder.contents[feed_key("app")])
    return [entry.findtext(f"{ATOM}id") or "" for entry in feed.iter(f"{ATOM}entry")]


def test_without_an_address_there_is_no_feed(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.images({"1.0": app(0)})
    shop.run()
    assert feed_key("app") not in shop.folder.contents
    assert "atom" not in page_of(shop.folder, "app").raw


@pytest.mark.parametrize(
    ("name", "text", "line", "problem"),
    [
        ("repository.html.j2", "a\n{{ nothing }}", 2, "'nothing' is undefined"),
        ("repository.html.j2", "a\n\n{% if %}", 3, "Expected an expression"),
        ("index.html.j2", "{{ 1 // 0 }}", 1, "division"),
        ("index.html.j2", "{{ repositories.__class__.__mro__ }}", 1, "unsafe"),
        ("base.html.j2", "\n{% include 'gone.html' %}", 2, "gone.html"),
        ("style.css", "a {{ b }}", 1, "'b' is undefined"),
    ],
)
def test_a_mistake_in_an_own_template_is_one_line(
    tmp_path: Path, name: str, text: str, line: int, problem: str
) -> None:
    shop = Shop(tmp_path, site='[site]\ntemplates = "mine"')
    shop.images({"1.0": app(0)})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text(text)
    with pytest.raises(OwnTemplateError) as caught:
        shop.run()
    assert caught.value.exit_code is ExitCode.BAD_CONFIGURATION
    assert f"{tmp_path / 'mine' / name}:{line}: " in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert page_key("app") not in shop.folder.contents
    assert PAGE_KEY not in shop.folder.contents


def test_a_folder_of_templates_that_is_not_there_is_named(tmp_path: Path) -> None:
    shop = Shop(tmp_path, site='[site]\ntemplates = "gone"')
    shop.images({"1.0": app(0)})
    with pytest.raises(OwnTemplateError, match=r"gone: there is no such folder; .* \[site\]"):
        shop.run()
