"""Our idea of an old tree beside that of real readers of tars: what we call a source is there for every one of them.

A reader that refuses a layer as a whole is no contradiction: its client never had the image and needs no delta from
it.
"""

import gzip
import io
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.tardiff.layer.tar import TarError
from pipeline.tardiff.layer.tree import extract
from tests.conftest import examples, require_tool
from tests.layouts.builder import LayoutBuilder
from tests.tars import GNU, POSIX, Member, behind, directory, file, hard_link, patched, pax, symlink, tar

from .clients import ClientError, run

pytestmark = pytest.mark.interop

LAYERS = examples(100)
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
PATHS = ["usr/bin/x", "usr/bin/y", "usr/x", "opt/x", "x", "decoy", COMPOSED, DECOMPOSED]
PREFIX, SPARSE, HOLES = 345, 386, 482

Reader = Callable[[Path, Path], Path]
"""Unpacks the tar at the first path below the second, and says where."""


def gnu_tar(archive: Path, scratch: Path) -> Path:
    return _unpacked(scratch, require_tool("tar"), "--no-same-owner", "-xf", str(archive))


def libarchive(archive: Path, scratch: Path) -> Path:
    return _unpacked(scratch, require_tool("bsdtar"), "--no-same-owner", "-xf", str(archive))


def flatpak_s(archive: Path, scratch: Path) -> Path:
    """libarchive as ostree, and so flatpak, use it."""
    ostree, repository, place = require_tool("ostree"), f"--repo={scratch / 'repo'}", scratch / "files"
    run(scratch, ostree, repository, "init", "--mode=bare-user-only")
    options = ["--tar-autocreate-parents", "--no-xattrs", "--canonical-permissions", f"--tree=tar={archive}"]
    run(scratch, ostree, repository, "commit", "-b", "t", *options)
    run(scratch, ostree, repository, "checkout", "-U", "t", str(place))
    return place


def go(archive: Path, scratch: Path) -> Path:
    """Go's archive/tar, as umoci uses it."""
    builder = LayoutBuilder()
    builder.tag("t", builder.image(archive.read_bytes()))
    layout = builder.write(scratch / "layout")
    umoci = require_tool("umoci")
    run(scratch, umoci, "unpack", "--rootless", "--image", f"{layout}:t", str(scratch / "bundle"))
    return scratch / "bundle" / "rootfs"


def _unpacked(scratch: Path, *command: str) -> Path:
    place = scratch / "files"
    place.mkdir()
    run(scratch, command[0], "-C", str(place), *command[1:])
    return place


READERS: list[Reader] = [gnu_tar, libarchive, flatpak_s, go]


def data(random_: random.Random) -> bytes:
    """Bytes, or an entry: whoever takes data for headers finds that."""
    content = random_.randbytes(random_.choice([40, 512, 700, 1500]))
    return tar(file(random_.choice(PATHS), content), end=b"") if random_.random() < 0.3 else content


def odd(path: str, other: str, content: bytes, random_: random.Random) -> Member:
    """One of the forms in which readers were found to differ, or might."""
    name = path.rpartition("/")[2]
    prefix = path.rpartition("/")[0].encode()
    plain = file(path, content)
    forms: list[Member] = [
        patched(file(name, content), (257, random_.choice([GNU, b"ustar 00", bytes(8), POSIX])), (PREFIX, prefix)),
        patched(plain, (257, GNU), (SPARSE, b"%011o\0" % 512 + b"%011o\0" % 512)),
        patched(plain, (257, POSIX), (500, b"star"), (508, b"tar\0")),
        patched(plain, (100, random_.choice([b"\x000644\0\0\0", b"0000644x", b"+000644\0"]))),
        patched(file(path), (124, random_.choice([b" " * 12, b"\0" + b"0" * 11, b"00000000000+"]))),
        pax(plain, **{random_.choice(["GNU__sparse__name", "path"]): random_.choice([other, "", "./" + other])}),
        pax(pax(plain, path=other), path=random_.choice([path, "x"])),
        pax(behind(plain, b"L", other.encode() + b"\0"), path=random_.choice([path, "x"])),
        behind(pax(plain, path=path), b"L", other.encode()),
        behind(plain, b"L", random_.choice([b"", b"\0", other.encode() + b"\0\0", b"x\0" + other.encode()])),
        behind(pax(plain, path=other), b"g", b"13 comment=c\n", magic=POSIX),
        behind(plain, random_.choice([b"X", b"K", b"g"]), b"13 comment=c\n", magic=random_.choice([GNU, POSIX])),
        behind(plain, b"x", b"%d path=%s\n" % (len(other) + 9 - (len(other) < 2), other.encode()), magic=bytes(8)),
        pax(plain, SUN__holesdata=" 0 512", comment="c"),
        pax(plain, GNU__sparse__major="1", GNU__sparse__minor="0", GNU__sparse__name=other, GNU__sparse__realsize="9"),
        pax(plain, GNU__sparse__size="9000", GNU__sparse__numblocks="1", GNU__sparse__map="0,40"),
        patched(
            Member(path=path.encode(), type=b"S", data=content), (SPARSE, b"%011o\0" % 0 + b"%011o\0" % len(content))
        ),
        pax(plain, SCHILY__realsize="7"),
        pax(plain, path="./" * 2100 + other),
        pax(file("short", content), size=str(len(content)), path=other),
        Member(path=path.encode(), type=random_.choice([b"7", b"A", b"D", b"M", b"V", b"Z", b"\0"]), data=content),
        Member(path=path.encode(), type=random_.choice([b"1", b"2", b"5", b"6"]), link=other.encode(), data=content),
        hard_link(path, random_.choice([other, "/" + other, "./" + other, other + "/", "missing", "c:" + other])),
        symlink(path, random_.choice(["usr", "/usr", "bin", "../x"])),
        file(random_.choice(["/", "./", "//", "opt/../", "c:", "/c:/", "\\", "//?/", "../"]) + path, content),
        file(path + random_.choice(["/", "/.", "//"]), random_.choice([content, b""])),
        Member(path=path.encode() + b"/", type=random_.choice([b"\0", b"7", b"Z", b"D"]), data=content),
        pax(plain, path=random_.choice([COMPOSED, DECOMPOSED])),
        pax(plain, path=DECOMPOSED, hdrcharset=random_.choice(["BINARY", "ISO-IR 10646 2000 UTF-8"])),
        pax(hard_link(path, other), linkpath=random_.choice([COMPOSED, DECOMPOSED])),
        pax(plain, linkpath=other),
        behind(plain, b"K", other.encode() + b"\0"),
        patched(plain, (157, other.encode())),
        pax(replace(plain, stored_size=0), size=str(len(content))),
        patched(plain, (60, b"y")),
        patched(plain, (124, b"%o \0" % len(content))),
        directory(random_.choice(["/usr/", "opt/x", "/", "usr/bin/"])),
    ]
    if random_.random() < 0.3:
        bytes_ = [b"\0", b" ", b"0", b"1", b"/", b"\x80", b"x"]
        spoiled = [(random_.randrange(512), random_.choice(bytes_)) for _ in range(random_.randint(1, 3))]
        return patched(random_.choice(forms[:12]) if random_.random() < 0.5 else plain, *spoiled)
    return random_.choice(forms)


def layer(seed: int) -> bytes:
    """Files at few paths, several times, in usual forms and in one or two odd ones."""
    random_ = random.Random(seed)
    members: list[Member] = [directory("usr"), directory("usr/bin"), directory("opt")]
    members += [file(random_.choice(PATHS), data(random_)) for _ in range(random_.randint(3, 8))]
    for _ in range(random_.choice([1, 1, 2])):
        path, other = random_.sample(PATHS, 2)
        members.insert(random_.randint(3, len(members)), odd(path, other, data(random_), random_))
    if random_.random() < 0.1:
        members.insert(0, disguised(random_))
    return tar(*members)


def disguised(random_: random.Random) -> Member:
    """An entry whose header is also that of a gzip file with another tar in it, which begins with the data."""
    packed = gzip.compress(tar(file(random_.choice(PATHS), data(random_))), mtime=1)
    return file(b"\x1f\x8b\x08\x04AAAA\x02\x03\xf4\x01", packed[10:])


def sources(archive: bytes, directory: Path) -> Iterator[tuple[str, bytes]]:
    """Ours; none of a layer that is refused."""
    with suppress(TarError):
        tree = extract([io.BytesIO(archive)], directory, max_bytes=1 << 30)
        for source in tree.sources:
            yield source.path.decode(), b"".join(tree.region(source).pieces())


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
def test_every_reader_has_what_we_call_a_source(reader: Reader, tmp_path: Path) -> None:
    compared = 0
    for seed in range(LAYERS):
        content = layer(seed)
        scratch = tmp_path / str(seed)
        scratch.mkdir()
        archive = scratch / "layer.tar"
        archive.write_bytes(content)
        ours = scratch / "ours"
        ours.mkdir()
        expected = dict(sources(content, ours))
        if not expected:
            continue
        try:
            place = reader(archive, scratch)
        except ClientError:
            continue
        for path, found in expected.items():
            assert not (place / path).is_symlink(), f"layer {seed}: {path} is a link for {reader.__name__}"
            assert (place / path).read_bytes() == found, f"layer {seed}: {path} is another file for {reader.__name__}"
        compared += 1
    assert compared > LAYERS // 4
