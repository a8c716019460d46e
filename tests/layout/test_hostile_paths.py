"""Names, digests and files of a layout that point elsewhere: a publish stays in its layout and in its tree."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.cli import main
from pipeline.errors import ExitCode

from ..layouts.builder import LayoutBuilder, blob_path
from ..runs import app

SECRET: Final = b"what lies outside of the layout"
HEX: Final = "0f" * 32

# Each is made for a path, a URL, a C library or a shell that takes it for something else than a name.
NAMES: Final = {
    "parent": "..",
    "here": ".",
    "hidden": ".htaccess",
    "climbing": "../../../../secret",
    "inner climbing": "a/../../../secret",
    "absolute": "/etc/passwd",
    "backslash": "..\\..\\secret",
    "nul": "1.0\0.html",
    "percent": "%2e%2e%2fsecret",
    "double percent": "%252e%252e",
    "overlong": "\u002e\u002e\uff0fsecret",
    "query": "1.0?x",
    "digest at": f"1.0@sha256:{HEX}",
    "129 characters": "x" * 129,
    "a name of 100,000": "x" * 100_000,
    "space": " 1.0",
}
DIGESTS: Final = {
    "climbing": "sha256:../../../secret",
    "climbing, of the right length": "sha256:" + "../" * 18 + "../secrets",
    "absolute": "sha256:/etc/passwd",
    "algorithm": f"../../..:{HEX}",
    "no algorithm": HEX,
    "percent": "sha256:" + "%2e%2e%2f" * 7 + "a",
    "nul": f"sha256:{HEX[:-1]}\0",
    "line end": f"sha256:{HEX}\n",
    "upper case": f"sha256:{HEX.upper()}",
    "too short": f"sha256:{HEX[:-1]}",
    "of another algorithm": f"sha512:{HEX}",
    "unknown": f"md5:{HEX[:32]}",
    "long": "sha256:" + "0" * 100_000,
}

Write = Callable[[LayoutBuilder, Path], Path]
in_both = pytest.mark.parametrize(
    "write", [LayoutBuilder.write, LayoutBuilder.write_archive], ids=["folder", "archive"]
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a configuration, and with a secret beside the layout and beside the tree."""
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "deltapress.toml").write_text(
        '[target]\nurl = "public"\n[[repository]]\nname = "team/app"\nlayout = "layout"\n'
    )
    return tmp_path


def publish(site: Path) -> int:
    """Publish, and see that nothing but the tree was written, and no secret into that."""
    before = {path for path in site.rglob("*") if not path.is_relative_to(site / "public")}
    outside = sorted(site.parent.iterdir())
    code = main(["-c", str(site / "deltapress.toml"), "publish"])
    assert {path for path in site.rglob("*") if not path.is_relative_to(site / "public")} == before
    assert sorted(site.parent.iterdir()) == outside
    assert (site / "secret").read_bytes() == SECRET
    for path in (site / "public").rglob("*"):
        if path.is_symlink():  # only ours are there, and lead to a folder of ours
            assert path.is_relative_to(site / "public/_deltapress/tags")
            assert path.resolve().is_relative_to(site / "public/_deltapress/digests")
            continue
        assert path.is_dir() or SECRET not in path.read_bytes()
    return code


def images_of(site: Path) -> list[Path]:
    return [path for path in (site / "public").glob("v2/**/manifests/*") if path.is_file()]


@in_both
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_that_is_no_tag_is_refused(
    site: Path, write: Write, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build = LayoutBuilder()
    build.tag(name, build.image(app(1)))
    write(build, site / "layout")
    assert publish(site) == ExitCode.BAD_INPUT
    assert images_of(site) == []
    assert "layout: " in capsys.readouterr().err


@in_both
@pytest.mark.parametrize("name", ["../../../secret:1.0", "/etc/passwd:1.0", "localhost/../..:1.0"])
def test_of_a_whole_reference_only_the_tag_counts(site: Path, write: Write, name: str) -> None:
    build = LayoutBuilder()
    build.tag(name, build.image(app(1)))
    write(build, site / "layout")
    assert publish(site) == ExitCode.SUCCESS
    assert (site / "public/v2/team/app/manifests/1.0").is_file()


@in_both
@pytest.mark.parametrize("where", ["entry", "config", "layer", "child", "subject", "diff_id"])
@pytest.mark.parametrize("digest", DIGESTS.values(), ids=DIGESTS)
def test_a_digest_that_is_none_is_refused(site: Path, write: Write, where: str, digest: str) -> None:
    build = LayoutBuilder()
    image = build.image(app(1), diff_ids=[digest] if where == "diff_id" else None)
    hostile: dict[str, Any] = {"mediaType": image["mediaType"], "digest": digest, "size": len(SECRET)}
    config = build.blob(b"{}", "application/vnd.oci.empty.v1+json")
    match where:
        case "entry":
            image = hostile
        case "config":
            image = build.manifest(hostile)
        case "layer":
            image = build.manifest(config, hostile)
        case "child":
            image = build.index(hostile)
        case "subject":
            image = build.manifest(config, subject=hostile)
    build.tag("1.0", image)
    write(build, site / "layout")
    assert publish(site) == ExitCode.BAD_INPUT
    assert images_of(site) == []


def leave(path: Path) -> None:
    """A link to the very bytes, which lie outside."""
    site = next(parent for parent in path.parents if (parent / "deltapress.toml").exists())
    path.rename(site / "moved")
    path.symlink_to(site / "moved")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.timeout(60)  # a pipe may be waited for, and a device be read, for ever
@pytest.mark.parametrize("which", ["oci-layout", "index.json", "manifest", "config", "layer"])
@pytest.mark.parametrize("trick", [leave, pipe, device, loop])
def test_what_is_no_file_of_the_layout_is_not_read(site: Path, trick: Callable[[Path], None], which: str) -> None:
    build = LayoutBuilder()
    image = build.image(app(1))
    build.tag("1.0", image)
    layout = build.write(site / "layout")
    manifest = json.loads(build.blobs[blob_path(image["digest"])])
    files = {
        "manifest": blob_path(image["digest"]),
        "config": blob_path(manifest["config"]["digest"]),
        "layer": blob_path(manifest["layers"][0]["digest"]),
    }
    trick(layout / files.get(which, which))
    assert publish(site) == ExitCode.BAD_INPUT
    assert images_of(site) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("folder", ["blobs", "blobs/sha256"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_linked_folder_of_blobs_must_stay_in_the_layout(site: Path, folder: str, inside: bool) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    layout = build.write(site / "layout")
    elsewhere = (layout if inside else site) / "elsewhere"
    (layout / folder).rename(elsewhere)
    (layout / folder).symlink_to(elsewhere)
    assert publish(site) == (ExitCode.SUCCESS if inside else ExitCode.BAD_INPUT)
    assert bool(images_of(site)) is inside


@pytest.mark.timeout(60)
@pytest.mark.parametrize("which", ["oci-layout", "index.json", "manifest", "layer"])
@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE]
)
def test_a_member_of_an_archive_that_is_no_file_is_not_read(site: Path, kind: bytes, which: str) -> None:
    build = LayoutBuilder()
    image = build.image(app(1))
    build.tag("1.0", image)
    manifest = json.loads(build.blobs[blob_path(image["digest"])])
    files = {"manifest": blob_path(image["digest"]), "layer": blob_path(manifest["layers"][0]["digest"])}
    with tarfile.open(site / "layout", "w") as archive:
        for name, data in build.files.items():
            member = tarfile.TarInfo(name)
            if name == files.get(which, which):
                member.type, member.linkname = kind, "../secret"
                archive.addfile(member)
            else:
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    is_harmless = (which, kind) == ("oci-layout", tarfile.DIRTYPE)  # a folder more; the file need not be there
    assert publish(site) == (ExitCode.SUCCESS if is_harmless else ExitCode.BAD_INPUT)
    assert bool(images_of(site)) is is_harmless


def test_members_that_climb_out_of_an_archive_go_nowhere(site: Path) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    with tarfile.open(site / "layout", "w") as archive:
        for name, data in [
            *build.files.items(),
            ("../secret", b"!"),
            (str(site / "secret"), b"!"),
            ("a/../../b", b"!"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    assert publish(site) == ExitCode.SUCCESS


@pytest.mark.parametrize(
    "folder", ["public/v2", "public/v2/team/app", "public/v2/team/app/blobs", "public/_deltapress"]
)
def test_a_linked_folder_of_the_tree_is_not_written_through(site: Path, folder: str) -> None:
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    build.write(site / "layout")
    (site / "elsewhere").mkdir()
    (site / folder).parent.mkdir(parents=True)
    (site / folder).symlink_to(site / "elsewhere")
    code = main(["-c", str(site / "deltapress.toml"), "publish"])
    assert code == ExitCode.TARGET_FAILED
    assert list((site / "elsewhere").iterdir()) == []


def test_a_foreign_file_that_took_the_place_of_a_key_is_not_written_through(site: Path) -> None:
    """Neither by the link of a directory entry, nor by its symbolic sister."""
    tree = site / "public/v2/team/app"
    (tree / "manifests").mkdir(parents=True)
    (tree / "tags").mkdir()
    os.link(site / "secret", tree / "manifests/1.0")
    (tree / "tags/list").symlink_to(site / "secret")
    build = LayoutBuilder()
    build.tag("1.0", build.image(app(1)))
    build.write(site / "layout")
    assert publish(site) == ExitCode.SUCCESS
    assert (site / "secret").stat().st_nlink == 1
    assert json.loads((tree / "tags/list").read_bytes())["tags"] == ["1.0"]
