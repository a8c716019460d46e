"""What layouts say about themselves is text, wherever it is shown or written: no control of a terminal, no line of a
log, no markup."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.cli import main
from pipeline.deltas.formats.oci_delta import ARTIFACT_TYPE
from pipeline.errors import ExitCode
from pipeline.keys import access_file_key, sidecar_key
from pipeline.text import one_line, printable

from .layouts.builder import REF_NAME, Json, LayoutBuilder, on
from .tars import file, tar
from .vectors.generate import COPY, delta, op, opened

# Each stands for one way in which text becomes something else.
TRICKS: Final = {
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "line": "x\nNothing is wrong.\ndeltapress: forged",
    "other_lines": "a\rb\x0bc\x85d\u2028e\u2029f",
    "direction": "\u202egnp.exe\u2066\u200f",
    "controls": "\x00\x7f\x9b31m\xa0\ufeff\U000e0041",
    "script": "<script>alert(1)</script>",
    "attribute": "\"' onmouseover='alert(1)",
    "link": "javascript:alert(1)",
    "rich": "[red]x[/red] [link=http://evil.invalid]y[/link] [/nothing] :skull:",
    "template": "{{ 7 * 7 }}{% raw %}",
    "format": "%s %(x)s {0} $(id) `id`",
    "long": "l" * 100_000,
}
# What must never reach a terminal as it is.
STEERING: Final = frozenset("\x00\x07\x0b\r\x1b\x7f\x85\x9b\u200f\u2028\u2029\u202e\u2066\ufeff")

Capture = pytest.CaptureFixture[str]
trick = pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A configuration in `folder`, and what it publishes."""

    folder: Path

    def command(self, *arguments: str) -> int:
        return main(["-c", str(self.folder / "deltapress.toml"), *arguments])

    def read(self, key: str) -> bytes:
        return (self.folder / "public" / key).read_bytes()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "deltapress.toml").write_text(
        '[target]\nurl = "public"\n[[repository]]\nname = "app"\nlayout = "layout"\n'
    )
    return Site(folder=tmp_path)


def image(build: LayoutBuilder, text: str, number: int) -> Json:
    """An image that says `text` in every field that is free."""
    flatpak = {"org.flatpak.ref": text, "org.flatpak.metadata": text, text: text}
    built = build.image(
        tar(file("bin/app", bytes(range(256)) * 40 + bytes([number]))),
        os=f"os{text}",
        architecture=f"arch{text}",
        variant=text,
        labels=flatpak,
        annotations={text: text, "org.opencontainers.image.title": text},
    )
    return {**built, "annotations": {text: text}}


def write(site: Site, text: str) -> None:
    """Two versions, and an artifact of the newer one."""
    build = LayoutBuilder()
    for number in (1, 2):
        newest = build.tag(f"{number}.0", image(build, text, number))
    empty = build.blob(b"{}", "application/vnd.oci.empty.v1+json")
    artifact = build.manifest(empty, subject=newest, artifact_type=f"type/{text}", annotations={text: text})
    build.entry({**artifact, "annotations": {text: text}})
    build.entry(build.blob(b"stray", f"text/{text}"))
    build.write(site.folder / "layout")


def check_harmless(shown: str, *, lines: int | None = None) -> None:
    assert not STEERING & set(shown)
    assert not [line for line in shown.splitlines() if line.startswith("deltapress: forged")]
    if lines is not None:
        assert len(shown.splitlines()) == lines


@trick
def test_reports_for_people_stay_in_their_lines(site: Site, text: str, capsys: Capture) -> None:
    write(site, "plain")
    commands = (["plan"], ["publish"], ["publish", "--dry-run"], ["prune"], ["verify"])
    lengths = []
    for command in commands:
        assert site.command(*command) == ExitCode.SUCCESS
        lengths.append(len(capsys.readouterr().out.splitlines()))
    for path in (site.folder / "public").rglob("*"):
        if path.is_file():
            path.unlink()
    write(site, text)
    for command, length in zip(commands, lengths, strict=True):
        assert site.command(*command) == ExitCode.SUCCESS
        captured = capsys.readouterr()
        check_harmless(captured.out, lines=length)
        check_harmless(captured.err)
        assert max(map(len, captured.out.splitlines())) < 2500


@trick
def test_reports_for_programs_are_json_that_says_the_truth(site: Site, text: str, capsys: Capture) -> None:
    write(site, text)
    platform = f"os{text}/arch{text}/{text}"
    for command in (["plan"], ["publish"]):
        assert site.command(*command, "--json") == ExitCode.SUCCESS
        out = capsys.readouterr().out
        check_harmless(out)
        assert out.isascii()
        document = json.loads(out)
        assert {saving["platform"] for saving in document["savings"]} <= {platform}
    assert document["savings"]


class Elements(HTMLParser):
    """All tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data


PAGES = ("index.html", "pages/app/_page.html")


@trick
def test_the_page_has_the_same_elements_whatever_is_published(site: Site, text: str) -> None:
    write(site, "plain")
    assert site.command("publish") == ExitCode.SUCCESS
    plain = [Elements(site.read(page).decode()) for page in PAGES]
    (site.folder / "public/_deltapress/ledger.json").unlink()
    for path in (site.folder / "public").rglob("*"):
        if path.is_file():
            path.unlink()
    write(site, text)
    assert site.command("publish") == ExitCode.SUCCESS
    for page, before in zip((Elements(site.read(page).decode()) for page in PAGES), plain, strict=True):
        assert page.tags == before.tags
        # ours lead to keys, whose grammar has nothing of a text
        assert all(re.fullmatch("[a-z0-9_./:-]+(#[a-z0-9-]+)?|#[a-z0-9-]+", link) for link in page.links)
        if text.isprintable():
            assert f"os{text}/arch{text}/{text}" in page.text


@trick
def test_clients_read_the_very_text(site: Site, text: str) -> None:
    """Labels and annotations come through unchanged, in documents that stay what they are."""
    write(site, text)
    assert site.command("publish") == ExitCode.SUCCESS
    [result] = json.loads(site.read("index/static"))["Results"]
    [listed] = result["Images"]
    assert listed["Labels"][text] == text
    assert (listed["OS"], listed["Architecture"]) == (f"os{text}", f"arch{text}")
    listings = [json.loads(path.read_bytes()) for path in (site.folder / "public/v2/app/referrers").iterdir()]
    entries = [entry for listing in listings for entry in listing["manifests"]]
    [entry] = [entry for entry in entries if entry["artifactType"] != ARTIFACT_TYPE]
    assert entry["artifactType"] == f"type/{text}"
    assert entry["annotations"][text] == text


@trick
def test_what_web_servers_read_is_the_same_whatever_is_published(site: Site, text: str) -> None:
    def configurations() -> dict[str, bytes]:
        public = site.folder / "public"
        found = [*(public / "_deltapress/servers").iterdir(), public / ".htaccess"]
        found += [public / access_file_key("app"), public / sidecar_key("app", "2.0")]
        return {str(path): path.read_bytes() for path in found}

    write(site, "plain")
    assert site.command("publish") == ExitCode.SUCCESS
    plain = configurations()
    write(site, text)
    assert site.command("publish") == ExitCode.SUCCESS
    after = configurations()
    assert len(after) == 8
    assert {name: _lines(data) for name, data in after.items()} == {name: _lines(data) for name, data in plain.items()}


def _lines(data: bytes) -> set[bytes]:
    """The lines, in which one digest is like another."""
    return set(re.sub(b"sha256[:-][0-9a-f]{64}", b"DIGEST", data).splitlines())


@trick
@pytest.mark.parametrize("where", ["manifest", "descriptor"])
def test_a_media_type_that_is_none_of_ours_is_not_published(site: Site, text: str, where: str, capsys: Capture) -> None:
    """It would stand in server configurations and headers."""
    build = LayoutBuilder()
    config = build.blob(b"{}", "application/vnd.oci.empty.v1+json")
    media_type = f"application/vnd.oci.image.manifest.v1+json{text}"
    document = {"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": []}
    if where == "descriptor":
        del document["mediaType"]
    build.tag("1.0", build.blob(json.dumps(document).encode(), media_type))
    build.write(site.folder / "layout")
    assert site.command("publish") == ExitCode.BAD_INPUT
    captured = capsys.readouterr()
    check_harmless(captured.out + captured.err)
    assert not (site.folder / "public/v2/app").exists()


def _hostile(text: str) -> Iterator[tuple[str, LayoutBuilder]]:
    """A layout for each place where an error quotes what it found."""
    for place in ("ref", "digest", "media type", "annotation", "annotation key", "label", "version", "created"):
        build = LayoutBuilder()
        built = build.image(tar(file("a", b"1")))
        entry = build.tag("1.0", built)
        match place:
            case "ref":
                entry["annotations"][REF_NAME] = text
            case "digest":
                entry["digest"] = f"sha256:{text}"
            case "media type":
                entry["mediaType"] = text
            case "annotation":
                entry["annotations"]["a"] = [text]
            case "annotation key":
                entry["annotations"][text] = 1
            case "label":
                build = LayoutBuilder()
                labels: Any = {text: [text]}
                build.tag("1.0", on(build.image(tar(file("a", b"1")), labels=labels), text))
            case "version":
                build.marker = json.dumps({"imageLayoutVersion": text}).encode()
            case "created":
                build = LayoutBuilder()
                build.tag("1.0", build.image(tar(file("a", b"1")), created=text, diff_ids=[text]))
        yield place, build


@trick
def test_errors_quote_it_in_one_line(site: Site, text: str, capsys: Capture) -> None:
    for number, (place, build) in enumerate(_hostile(text)):
        layout = build.write(site.folder / f"layout{number}")
        config = (site.folder / "deltapress.toml").read_text().replace('"layout"', f'"{layout.name}"')
        (site.folder / f"{number}.toml").write_text(config)
        assert main(["-c", str(site.folder / f"{number}.toml"), "publish"]) == ExitCode.BAD_INPUT, place
        captured = capsys.readouterr()
        check_harmless(captured.out)
        check_harmless(captured.err)
        assert len(captured.err) < 8000, place
        # the error, perhaps with advice, and that the repository was not published
        assert 2 <= len(captured.err.splitlines()) <= 3, (place, captured.err)


@trick
def test_what_a_tree_was_spoiled_with_is_told_in_one_line(site: Site, text: str, capsys: Capture) -> None:
    write(site, "plain")
    assert site.command("publish") == ExitCode.SUCCESS
    (site.folder / "public/v2/app/tags/list").write_text(json.dumps({"name": "app", "tags": [text]}))
    index = {"schemaVersion": 2, "manifests": [{"annotations": {text: 1}}]}
    (site.folder / "public/v2/app/manifests/_deltaindex").write_text(json.dumps(index))
    capsys.readouterr()
    assert site.command("verify") == ExitCode.VERIFICATION_FAILED
    captured = capsys.readouterr()
    check_harmless(captured.out)
    check_harmless(captured.err)
    assert all(line.startswith("deltapress: ") for line in captured.err.splitlines())
    assert site.command("verify", "--json") == ExitCode.VERIFICATION_FAILED
    assert json.loads(capsys.readouterr().out)["problems"]


@trick
def test_a_delta_names_files_as_it_likes(tmp_path: Path, text: str, capsys: Capture) -> None:
    path = text.replace("\0", "").encode()[:4000]
    (tmp_path / "delta").write_bytes(delta(opened(path), op(COPY, 5)))
    (tmp_path / "tree").mkdir()
    assert main(["patch", str(tmp_path / "delta"), str(tmp_path / "tree"), str(tmp_path / "out")]) == ExitCode.BAD_INPUT
    check_harmless(capsys.readouterr().err, lines=1)


@trick
def test_names_in_a_tar_are_not_shown_as_they_are(tmp_path: Path, text: str, capsys: Capture) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo(text.replace("\0", ""))
        member.size = 3
        archive.addfile(member, io.BytesIO(b"abc"))
    (tmp_path / "old").write_bytes(out.getvalue()[:-9000])
    (tmp_path / "new").write_bytes(tar(file("a", b"1")))
    main(["-v", "diff", str(tmp_path / "old"), str(tmp_path / "new"), str(tmp_path / "out")])
    captured = capsys.readouterr()
    check_harmless(captured.out)
    check_harmless(captured.err)


@trick
def test_escapes_are_complete_and_can_be_read(text: str) -> None:
    assert one_line(text).isprintable()
    assert all(line.isprintable() for line in printable(text).split("\n"))
    assert one_line(text).encode("latin-1").decode("unicode_escape") == text
    assert len(one_line(text, most=50)) <= 50 * len("\\U0010ffff") + 1
