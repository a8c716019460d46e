"""The tar reader, beside the standard library's where both should agree, and alone where it is stricter."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.tardiff.layer import tar as tar_module
from pipeline.tardiff.layer.tar import Entry, Kind, TarError, TarReader
from tests.tars import Member, device, directory, fifo, file, hard_link, patched, pax, sparse, symlink, tar


class Dribble(io.RawIOBase):
    """A stream that hands out a few bytes at a time, and cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._pieces = iter([content[at : at + 7] for at in range(0, len(content), 7)])

    def read(self, size: int = -1, /) -> bytes:
        piece = next(self._pieces, b"")
        if size < len(piece):
            self._pieces = _first(piece[size:], self._pieces)
            piece = piece[:size]
        return piece


def _first(piece: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield piece
    yield from rest


def entries(content: bytes) -> list[Entry]:
    return list(TarReader(io.BytesIO(content)))


def library_tar(style: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=style) as archive:
        for name, kind, link, data in [
            ("dir", tarfile.DIRTYPE, "", b""),
            ("dir/file", tarfile.REGTYPE, "", b"content" * 100),
            ("dir/" + "long" * 50, tarfile.REGTYPE, "", b"x"),
            ("link", tarfile.SYMTYPE, "target/" * 30, b""),
            ("hard", tarfile.LNKTYPE, "dir/file", b""),
            ("empty", tarfile.REGTYPE, "", b""),
            ("device", tarfile.CHRTYPE, "", b""),
            ("fifo", tarfile.FIFOTYPE, "", b""),
            ("grüße", tarfile.REGTYPE, "", b"y" * 512),
        ]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mode = kind, link, len(data), 0o640
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
def test_it_reads_what_the_standard_library_writes(style: int) -> None:
    content = library_tar(style)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = archive.getmembers()
    expected = [(m.name, m.linkname, m.size, m.offset_data, m.mode) for m in members]
    found = [(e.path.decode().rstrip("/"), e.link.decode(), e.size, e.data, e.mode) for e in entries(content)]
    assert found == expected
    assert [e.header for e in entries(content)] == [m.offset for m in members]


def test_kinds() -> None:
    members = (file("f"), hard_link("h", "f"), symlink("s", "f"), directory("d"), device("c"), fifo("p"))
    odd = (Member(path=b"o", type=b"V"), Member(path=b"old/", type=b"\0"), Member(path=b"oldfile", type=b"\0"))
    kinds = [Kind.FILE, Kind.HARD_LINK, Kind.SYMLINK, Kind.DIRECTORY, Kind.SPECIAL, Kind.SPECIAL]
    kinds += [Kind.UNKNOWN, Kind.DIRECTORY, Kind.FILE]
    assert [entry.kind for entry in entries(tar(*members, *odd))] == kinds


def test_data_is_read_in_pieces_or_skipped() -> None:
    content = tar(file("a", b"a" * 600_000), file("b", b"bb"), file("c", b"ccc"))
    reader = TarReader(io.BytesIO(content))
    data = {entry.path: b"".join(reader.data()) for entry in reader if entry.path != b"b"}
    assert data == {b"a": b"a" * 600_000, b"c": b"ccc"}
    reader.drain()
    assert reader.offset == len(content)


def test_a_stream_may_come_in_crumbs() -> None:
    content = tar(file("a", b"a" * 600), file("n" * 200, b"bb"))
    reader = TarReader(Dribble(content))  # type: ignore[arg-type] # has what is needed of BinaryIO
    assert [(entry.path, b"".join(reader.data())) for entry in reader] == [(b"a", b"a" * 600), (b"n" * 200, b"bb")]


@pytest.mark.parametrize("records", [{"GNU.sparse.major": "1"}, {"GNU.sparse.map": "0,1"}], ids=str)
def test_sparse_files_are_recognised(records: dict[str, str]) -> None:
    member = pax(file("placeholder", b"x"), **records, GNU__sparse__name="real")
    (entry,) = entries(tar(member))
    assert (entry.is_sparse, entry.path) == (True, b"real")
    (entry,) = entries(tar(sparse("s", b"data")))
    assert (entry.is_sparse, entry.kind) == (True, Kind.FILE)


def test_the_further_blocks_of_a_sparse_map_are_no_data() -> None:
    content = bytearray(tar(sparse("s", b"data"), file("f", b"x")))
    content[482] = 1
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + sum(content[156:512]) + 8 * 32)
    more = bytearray(1024)
    more[504] = 1
    content[512:512] = more
    first, second = entries(bytes(content))
    assert (first.data, second.header, second.path) == (512 + 1024, 512 + 1024 + 512, b"f")


def test_a_sparse_map_that_some_readers_end_elsewhere_is_refused() -> None:
    more = bytearray(512)
    more[504] = 2
    content = tar(patched(sparse("s", b"data"), (482, b"\1")), file("f", b"x"))
    with pytest.raises(TarError, match="another mark than 1"):
        entries(content[:512] + bytes(more) + content[512:])


def test_pax_records_override() -> None:
    long = "p" * 3000
    (entry,) = entries(tar(pax(replace(file("x", b"12345"), stored_size=0), path=long, size="5", mtime="1.25")))
    assert (entry.path, entry.size, entry.header, entry.data % 512) == (long.encode(), 5, 0, 0)
    (entry,) = entries(tar(pax(symlink("s", "t"), linkpath="elsewhere")))
    assert entry.link == b"elsewhere"
    (entry,) = entries(tar(pax(file("name"), path="")))
    assert entry.path == b"name"


def test_base_256_sizes() -> None:
    content = bytearray(tar(file("f", b"12345")))
    content[124:136] = b"\x80" + (5).to_bytes(11, "big")
    content[148:156] = b"%06o\0 " % (sum(content[:148]) + sum(content[156:512]) + 8 * 32)
    assert entries(bytes(content))[0].size == 5


def test_ustar_prefixes() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("p" * 90 + "/" + "n" * 90))
    assert entries(out.getvalue())[0].path == b"p" * 90 + b"/" + b"n" * 90


def test_an_end_between_entries_is_an_end() -> None:
    content = tar(file("f", b"x"), end=b"")
    assert len(entries(content)) == 1
    assert len(entries(content[:513])) == 1  # its padding may be missing
    assert len(entries(content + bytes(512))) == 1
    assert entries(b"") == []


def header(**fields: bytes) -> bytes:
    """A header with some fields set to odd values, its checksum right."""
    block = bytearray(tar(file("f"), end=b""))
    for name, (start, stop) in {"mode": (100, 108), "size": (124, 136), "checksum": (148, 156)}.items():
        if name in fields:
            block[start:stop] = fields[name].ljust(stop - start, b"\0")
    if "checksum" not in fields:
        block[148:156] = b"%06o\0 " % (sum(block[:148]) + sum(block[156:512]) + 8 * 32)
    return bytes(block)


def global_header(content: bytes) -> Member:
    return Member(path=b"g", type=b"g", data=content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"x" * 512, "bad checksum"),
        (header(checksum=b"1"), "checksum of a header is wrong"),
        (header(size=b"9"), "bad size"),
        (header(size=b"\xff" * 12), "negative size"),
        (header(size=b"\xbf" * 12), "beyond 62 bits"),
        (header(mode=b"rwx"), "bad mode"),
        (header()[:300], "inside a header"),
        (bytes(512) + b"x" * 512, "behind a block of zeros"),
        (tar(file("f", b"x" * 1000), end=b"")[:700], "inside the data"),
        (tar(file("n" * 300), end=b"")[: 512 + 512], "behind a long name"),
        (tar(Member(path=b"L", type=b"L", stored_size=(1 << 20) + 1)), "1,048,577 bytes is refused"),
        (tar(Member(path=b"x", type=b"x", stored_size=1 << 32)), "refused"),
        (tar(pax(file("f"), size="-5")), "bad size"),
        (tar(pax(file("f"), path="a\0b")), "a NUL in its path"),
        (tar(Member(path=b"x", type=b"x", data=b"99 path=f\n"), file("f")), "malformed record"),
        (tar(Member(path=b"x", type=b"x", data=b"11 path=abc"), file("f")), "malformed record"),
        (tar(Member(path=b"x", type=b"x", data=b"7 path\n"), file("f")), "malformed record"),
        (tar(Member(path=b"x", type=b"x", data=b"0 path=abc\n"), file("f")), "malformed record"),
        (tar(Member(path=b"x", type=b"x", data=b"abc"), file("f")), "malformed record"),
        (tar(global_header(b"10 path=f\n"), file("f")), "global pax header"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_cannot_be_understood_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(TarError, match=reason):
        entries(content)


def test_entries_before_a_bad_header_stand() -> None:
    reader = TarReader(io.BytesIO(tar(file("f", b"x"), end=b"!" * 512)))
    found: list[bytes] = []
    with pytest.raises(TarError) as caught:
        found.extend(entry.path for entry in reader)
    assert (found, caught.value.offset) == ([b"f"], 1024)


def test_a_harmless_global_header_is_skipped() -> None:
    assert [entry.path for entry in entries(tar(global_header(b"17 comment=12345\n"), file("f")))] == [b"f"]


def test_extensions_up_to_the_limit_are_read() -> None:
    name = b"n" * (tar_module.MAX_EXTENSION - 1)
    assert entries(tar(file(name)))[0].path == name
