"""Layers as files: what GNU tar would have, what whiteouts take away, and that nothing lands outside."""

import io
import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipeline.client.unpack.image import ForeignFolderError, holds, unpack_image
from pipeline.client.unpack.layer import UnpackError, Unpacking
from pipeline.client.unpack.rooted import Root
from pipeline.limits import Limits
from pipeline.oci.digest import Digest
from pipeline.tardiff.layer.tar import TarReader

from ..conftest import require_tool
from ..tars import Member, device, directory, fifo, file, hard_link, opaque, pax, sparse, symlink, tar, whiteout
from ..updates import NEW, OLD
from .lab import Told

IMAGE = Digest.of(b"config")
is_root = os.geteuid() == 0


def unpacked(folder: Path, *layers: Iterable[Member] | bytes) -> Path:
    folder.mkdir()
    with Root(folder) as root:
        unpacking = Unpacking(root, is_root=is_root)
        for layer in layers:
            unpacking.layer(TarReader(io.BytesIO(layer if isinstance(layer, bytes) else tar(*layer))))
        unpacking.finish()
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def described(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that a tar says of files, by path."""
    found: dict[str, tuple[object, ...]] = {}
    inodes: dict[int, str] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        info = path.lstat()
        name = str(path.relative_to(folder))
        first = inodes.setdefault(info.st_ino, name)
        content: object = None
        if stat.S_ISREG(info.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(info.st_mode):
            content = path.readlink()
        elif stat.S_ISBLK(info.st_mode) or stat.S_ISCHR(info.st_mode):
            content = info.st_rdev
        xattrs = {
            key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)
        }
        xattrs.pop("security.selinux", None)
        found[name] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content, first, tuple(xattrs.items()))
    return found


EVERYTHING = (
    directory("d", mode=0o555),
    file("d/f", b"data", mode=0o4755, mtime=1_000_000_000),
    pax(file("d/later", b"x", mode=0o640), mtime="1700000000.123456789", uid="1234", gid="77"),
    hard_link("d/same", "d/f"),
    symlink("d/link", "../x"),
    symlink("abs", "/etc/passwd"),
    fifo("d/fifo"),
    pax(file("d/attribute", b"x"), SCHILY__xattr__user__note=b"v\x01"),
    directory("deep/er", mode=0o700),
    file("deep/er/" + "n" * 200, b"long"),
    file("./dot/file", b"1"),
    directory(".", mode=0o711),
)


@pytest.mark.skipif(not is_root, reason="owners are root's")
def test_one_layer_is_what_gnu_tar_makes_of_it(tmp_path: Path) -> None:
    ours = unpacked(tmp_path / "ours", EVERYTHING)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    command = ["tar", "--xattrs", "--xattrs-include=*", "-xpf", "-", "--numeric-owner", "-C", str(theirs)]
    subprocess.run(command, input=tar(*EVERYTHING), check=True, capture_output=True)
    mine, others = described(ours), described(theirs)
    # a folder that no entry names: tar gives it the time of now, and so do we
    for found in (mine, others):
        for name in ("dot", "deep"):
            found[name] = found[name][:3]
    assert mine == others


@pytest.mark.interop
@pytest.mark.parametrize("tars", [OLD, NEW], ids=["old", "new"])
def test_an_image_is_what_umoci_makes_of_it(tmp_path: Path, tars: tuple[bytes, ...]) -> None:
    umoci = require_tool("umoci")
    from ..layouts.builder import LayoutBuilder

    build = LayoutBuilder()
    build.tag("t", build.image(*tars))
    layout = build.write(tmp_path / "layout")
    theirs = tmp_path / "theirs"
    rootless = [] if is_root else ["--rootless"]
    command = [umoci, "raw", "unpack", *rootless, "--image", f"{layout}:t", str(theirs)]
    subprocess.run(command, check=True, capture_output=True)
    ours = unpacked(tmp_path / "ours", *tars)
    mine, others = described(ours), described(theirs)
    assert mine.keys() == others.keys()
    for name in mine:
        assert mine[name][0] == others[name][0], name
        assert mine[name][4:6] == others[name][4:6], name


def test_whiteouts_take_what_was_below_and_nothing_of_their_own_layer(tmp_path: Path) -> None:
    lower = (
        directory("a"),
        file("a/one", b"1"),
        file("a/two", b"2"),
        directory("b"),
        file("b/x", b"x"),
        file("c", b"c"),
    )
    upper = (file("a/new", b"n"), opaque("a"), whiteout("b"), file("b/y", b"y"), whiteout("c"), whiteout("never"))
    assert names(unpacked(tmp_path / "r", lower, upper)) == {"a", "a/new", "b", "b/y"}
    other = (file("b/y", b"y"), whiteout("b"), file("c", b"new"), whiteout("c"))
    again = unpacked(tmp_path / "s", lower, other)
    assert names(again) == {"a", "a/one", "a/two", "b", "b/y", "c"}
    assert (again / "c").read_bytes() == b"new"


def test_links_on_the_way_stay_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    lower = (
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
        symlink("abs", "/usr"),
        symlink("out", str(outside)),
        symlink("up", "../../../../.."),
        symlink("self", "self"),
    )
    upper = (file("lib/a", b"1"), file("abs/b", b"2"), file("out/c", b"3"), file(f"up{outside}/d", b"4"))
    root = unpacked(tmp_path / "r", lower, upper)
    assert (root / "usr/lib/a").read_bytes() == b"1"
    assert (root / "usr/b").read_bytes() == b"2"
    assert list(outside.iterdir()) == []
    inside = root / str(outside).lstrip("/")
    assert {path.name for path in inside.iterdir()} == {"c", "d"}
    with pytest.raises(UnpackError, match="symbolic links"):
        unpacked(tmp_path / "s", lower, (file("self/x", b"1"),))


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (file("../x", b"1"), "no path inside"),
        (file("a/../../x", b"1"), "no path inside"),
        (hard_link("x", "../../etc/passwd"), "no path inside"),
        (hard_link("x", "gone"), "which is not there"),
        (file("d/.wh.", b""), "names nothing"),
        (file("d/.wh...", b""), "names nothing"),
        (sparse("s", b"1"), "a sparse file"),
        (file("x/" * 3000, b"1"), "no path inside"),
        (file("x/" * 300 + "f", b"1"), "more than 200 folders deep"),
        (file("x" * 300, b"1"), "cannot be unpacked .File name too long"),
        (symlink("s", ""), "cannot be unpacked"),
    ],
    ids=[
        *("up", "up later", "link up", "link to nothing", "whiteout", "whiteout up", "sparse", "long", "deep"),
        *("long name", "empty link"),
    ],
)
def test_what_cannot_be_unpacked_is_told(tmp_path: Path, member: Member, said: str) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(UnpackError, match=said):
        unpacked(tmp_path / "r", (directory("d"), member))
    assert (tmp_path / "secret").exists()


def test_a_hard_link_through_a_link_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(UnpackError, match="which is not there"):
        unpacked(tmp_path / "r", (symlink("out", str(tmp_path)), hard_link("x", "out/secret")))
    root = unpacked(tmp_path / "s", (symlink("l", str(tmp_path / "secret")), hard_link("m", "l")))
    assert (root / "m").is_symlink()


def test_what_is_in_the_way_goes_and_a_link_is_never_written_through(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    lower = (symlink("f", str(tmp_path / "target")), directory("d/e"), file("d/e/f", b"1"), file("x", b"1"))
    upper = (file("f", b"new"), file("d", b"a file now"), file("x/y", b"2"))
    root = unpacked(tmp_path / "r", lower, upper)
    assert (tmp_path / "target").read_text() == "mine"
    assert ((root / "f").read_bytes(), (root / "d").read_bytes(), (root / "x/y").read_bytes()) == (
        b"new",
        b"a file now",
        b"2",
    )


def test_a_whiteout_in_a_folder_that_is_not_there_takes_nothing_away(tmp_path: Path) -> None:
    lower = (file("f", b"1"), symlink("out", "/nowhere"))
    root = unpacked(tmp_path / "r", lower, (whiteout("gone/x"), whiteout("f/x"), whiteout("out/x"), opaque("gone")))
    assert names(root) == {"f", "out"}


@pytest.mark.skipif(not is_root, reason="only root gives files away")
def test_what_no_file_system_can_keep_is_left_out(tmp_path: Path) -> None:
    records = {"uid": str(1 << 33), "mtime": str(1 << 39), "SCHILY.xattr.user." + "n" * 300: "v"}
    long = pax(file("f", b"1"), **records)
    layer, told = tmp_path / "layer", Told()
    layer.write_bytes(tar(long))
    unpack_image([layer], IMAGE, tmp_path / "r", limits=Limits(), progress=told)
    assert (tmp_path / "r/f").read_bytes() == b"1"
    assert [step.partition(": ")[2].partition(" were")[0] for step in told.steps] == [
        "1 extended attributes",
        "1 owners",
    ]


def test_folders_that_come_along_count_as_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.client.unpack.layer.MAX_ENTRIES", 50)
    with pytest.raises(UnpackError, match="more than 50 entries"):
        unpacked(tmp_path / "r", (file("1" + "/d" * 100 + "/f", b"1"), file("g", b"1")))


def test_a_hundred_folders_in_each_other_can_be_removed(tmp_path: Path) -> None:
    deep = "a/" * 150
    root = unpacked(tmp_path / "r", (directory(deep),), (whiteout("a"), file("b", b"1")))
    assert names(root) == {"b"}


def test_what_only_root_can_make_is_told(tmp_path: Path) -> None:
    told = Told()
    layer = tmp_path / "layer"
    layer.write_bytes(tar(device("null"), file("f", b"1")))
    unpack_image([layer], IMAGE, tmp_path / "r", limits=Limits(), progress=told)
    assert (tmp_path / "r/f").exists()
    assert ((tmp_path / "r/null").exists()) == (not told.steps)


def test_the_old_files_stay_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    place, layer, told = tmp_path / "r", tmp_path / "layer", Told()
    layer.write_bytes(tar(file("f", b"1")))
    unpack_image([layer], IMAGE, place, limits=Limits(), progress=told)
    assert holds(place, IMAGE)
    layer.write_bytes(tar(file("f", b"2"), file("../g", b"2")))
    with pytest.raises(UnpackError):
        unpack_image([layer], Digest.of(b"other"), place, limits=Limits(), progress=told)
    assert (place / "f").read_bytes() == b"1"
    assert holds(place, IMAGE)
    assert {path.name for path in tmp_path.iterdir()} == {"layer", "r", ".r.deltapress"}
    layer.write_bytes(tar(file("g", b"2")))
    unpack_image([layer], Digest.of(b"other"), place, limits=Limits(), progress=told)
    assert names(place) == {"g"}
    assert {path.name for path in tmp_path.iterdir()} == {"layer", "r", ".r.deltapress"}


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    place, layer = tmp_path / "home", tmp_path / "layer"
    place.mkdir()
    (place / "letter").write_text("dear")
    layer.write_bytes(tar(file("f", b"1")))
    with pytest.raises(ForeignFolderError, match="was not unpacked by deltapress"):
        unpack_image([layer], IMAGE, place, limits=Limits(), progress=Told())
    assert names(place) == {"letter"}


def test_what_is_called_whole_has_reached_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = tmp_path / "layer"
    layer.write_bytes(tar(file("a", b"content")))
    synced: list[bool] = []

    def sync() -> None:
        assert not holds(tmp_path / "root", IMAGE)
        synced.append(any(path.name == "a" for path in tmp_path.rglob("*")))

    monkeypatch.setattr(os, "sync", sync)
    unpack_image([layer], IMAGE, tmp_path / "root", limits=Limits(), progress=Told())
    assert synced == [True]
    assert holds(tmp_path / "root", IMAGE)
