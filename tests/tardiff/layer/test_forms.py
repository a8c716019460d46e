"""Only the forms that all readers of tars take alike make a source: one test for each that they do not."""

import io
import unicodedata

import pytest

from pipeline.tardiff.layer.forms import summary
from pipeline.tardiff.layer.tar import TarError, TarReader
from tests.tars import GNU, POSIX, Member, behind, directory, file, hard_link, patched, pax, symlink, tar

from ..lab import Lab
from .test_tree import contents

A, B, C = b"what is at the path" * 20, b"what another reader puts there" * 20, b"what is far from it" * 20
OTHER = file("other", C)

SPARSE_1_0 = {"GNU__sparse__major": "1", "GNU__sparse__minor": "0", "GNU__sparse__realsize": "9"}
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
PREFIX, SPARSE, SPARSE_EXTENDED, STAR = 345, 386, 482, 508


def global_pax(key: bytes) -> Member:
    content = b"%d %s=1\n" % (len(key) + 6 - (len(key) < 5), key)
    return behind(file("x", B), b"g", content)


@pytest.mark.parametrize(
    "odd",
    [
        patched(file("x", B), (257, GNU), (PREFIX, b"d")),
        patched(file("x", B), (257, b"ustar 00"), (PREFIX, b"d")),
        patched(file("x", B), (257, b"ustar\0\0\0"), (PREFIX, b"d")),
        patched(file("x", B), (257, bytes(8)), (PREFIX, b"d")),
        patched(file("x", B), (257, POSIX), (PREFIX, b"d"), (STAR, b"tar\0")),
        patched(file("d/x", B), (100, b"\x000644\0\0\0")),
        pax(file("decoy", B), **SPARSE_1_0, GNU__sparse__name="d/x"),
        pax(file("d/x", B), **SPARSE_1_0, GNU__sparse__name="decoy"),
        pax(file("d/x", B), SCHILY__realsize="5"),
        pax(file("d/x", B), VENDOR__unknown="1"),
        pax(file("d/x", B), path=""),
        pax(file("d/x", B), hdrcharset="EBCDIC"),
        pax(pax(file("decoy2", B), path="d/x"), path="decoy"),
        pax(pax(file("decoy2", B), path="decoy"), path="d/x"),
        behind(file("decoy", B), b"x", b"12 path=d/x\n14 path=decoy\n"),
        behind(file("d/x", B), b"L", b""),
        behind(file("d/x", B), b"L", b"\0"),
        behind(file("decoy", B), b"L", b"d/x\0more\0"),
        behind(behind(file("decoy2", B), b"L", b"d/x\0"), b"L", b"decoy\0"),
        behind(pax(file("decoy2", B), path="d/x"), b"L", b"decoy\0"),
        pax(behind(file("decoy2", B), b"L", b"d/x\0"), path="decoy"),
        pax(file("d/x", B), path="./" * 2100 + "d/x"),
        patched(file("d/x", B), (20, b"y")),
        patched(file("d/x", B), (257, POSIX), (PREFIX + 131, b"1700000000 ")),
        patched(file("d/x", B), (157, b"other")),
        pax(file("d/x", B), linkpath="other"),
        behind(file("d/x", B), b"K", b"other\0"),
        pax(file("d/x", B), SCHILY__xattr__trusted__overlay__opaque="y"),
        Member(path=b"d/x", type=b"7", data=B),
        Member(path=b"d/x", type=b"A", data=B),
        Member(path=b"d/x", type=b"Z", data=B),
    ],
    ids=str,
)
def test_a_name_that_some_reader_may_see_is_no_source(lab: Lab, odd: Member) -> None:
    tree = lab.tree(tar(directory("d"), file("d/x", A), file("decoy", A), OTHER, odd))
    found = contents(tree)
    assert "d/x" not in found
    assert found["other"] == C
    assert sum(tree.doubts.values()) == 1
    # the name is certain again when an ordinary entry has it
    assert contents(lab.tree(tar(file("d/x", A), odd, file("d/x", A))))["d/x"] == A


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (Member(path=b"d/y/", type=b"5", data=B), "a directory with data"),
        (Member(path=b"d/y", type=b"2", link=b"q", data=B), "a symlink with data"),
        (Member(path=b"d/y", type=b"1", link=b"other", data=B), "a hard link with data"),
        (Member(path=b"d/y", type=b"6", data=B), "a FIFO with data"),
        (Member(path=b"d/y/", type=b"\0", data=B), "a directory with data"),
        (file("d/y/", B), "a directory with data"),
        (Member(path=b"d/y/", type=b"Z", data=B), "a directory with data"),
        (pax(file("d/y", B), path="d/y/"), "a directory with data"),
        (behind(pax(file("d/y", B), path="d/y/"), b"L", b"d/y"), "a pax header beside"),
        (Member(path=b"d/y", type=b"X", data=b"12 path=d/x\n"), "type 'X'"),
        (Member(path=b"d/y", type=b"V"), "type 'V'"),
        (patched(file("d/y", B), (SPARSE_EXTENDED, b"\1")), "sparse map"),
        (patched(Member(path=b"d/y", type=b"S", data=B), (257, POSIX)), "sparse file"),
        (patched(file("d/y", b""), (124, b"\0\00000000000")), "no octal number"),
        (patched(file("d/y", b""), (124, b" " * 12)), "no octal number"),
        (behind(file("d/y", B), b"L", b"d/x\0", magic=bytes(8)), "unknown magic"),
        (behind(file("d/y", B), b"x", b"12 path=d/x\n", magic=b"ustar 00"), "unknown magic"),
        (behind(pax(file("d/y", B), comment="c"), b"g", b"13 comment=c\n"), "global pax header between"),
        (global_pax(b"GNU.sparse.major"), "sets 'GNU.sparse.major'"),
        (global_pax(b"SUN.holesdata"), "sets 'SUN.holesdata'"),
        (pax(file("d/y", B), SUN__holesdata=" 0 4096"), "sparse map"),
        (pax(file("d/y", B), GNU__sparse__name="d/x"), "sparse map"),
        (pax(file("d/y", B), GNU__sparse__map="0,512", GNU__sparse__numblocks="1"), "sparse map"),
        (patched(file("d/y", B), (SPARSE, b"00000010000\0")), "sparse map"),
        (pax(pax(file("d/y", B), size=str(len(B))), comment="c"), "one sets the size"),
        (behind(file("d/y", B), b"x", b"12 size=580\n12 size=580\n"), "one sets the size"),
        (pax(pax(symlink("d/y", "q"), linkpath="r"), linkpath="s"), "several extended headers"),
        (pax(behind(hard_link("d/y", "other"), b"K", b"d/x\0"), linkpath="other"), "pax header beside"),
        (pax(file("d/y", B), size=str(len(B) - 1)), "another size than the header"),
        (pax(Member(path=b"d/y", type=b"0", data=B, stored_size=0), size=str(len(B))), "another size than the header"),
        (pax(hard_link("d/y", "other"), linkpath=DECOMPOSED), "not composed"),
        (file("c:d/x", B), "a drive or a backslash"),
        (file("/c:/d/x", B), "a drive or a backslash"),
        (file("\\d/x", B), "a drive or a backslash"),
        (file("//?/d/x", B), "a drive or a backslash"),
        (hard_link("d/y", "c:other"), "a drive or a backslash"),
        (patched(Member(path=b"d/y", type=b"S", data=bytes(512)), (SPARSE_EXTENDED, b"\1")), "goes on behind its end"),
        (pax(file(".wh.d", b""), VENDOR__unknown="1"), "VENDOR.unknown"),
    ],
    ids=str,
)
def test_where_the_next_entry_or_a_link_may_lead_elsewhere_nothing_is_certain(
    lab: Lab, odd: Member, reason: str
) -> None:
    with pytest.raises(TarError, match=reason):
        lab.tree(tar(directory("d"), file("d/x", A), OTHER, odd))


@pytest.mark.parametrize(
    "usual",
    [
        file("d/x", B),
        file("/d/x", B),
        file("./d/x", B),
        Member(path=b"d/x", type=b"\0", data=B),
        patched(file("d/x", B), (257, POSIX)),
        patched(file("x", B), (257, POSIX), (PREFIX, b"d")),
        patched(file("d/x", B), (257, bytes(8))),
        patched(file("d/x", B), (124, b"%12o" % len(B))),
        patched(file("d/x", B), (124, b"\x80" + len(B).to_bytes(11))),
        patched(file("d/x", B), (100, b"   644 \0")),
        pax(file("decoy", B), path="d/x"),
        pax(file("d/x", B), size=str(len(B)), mtime="1.5", SCHILY__xattr__user="v", LIBARCHIVE__creationtime="1"),
        pax(file("decoy", B), hdrcharset="BINARY", path="d/x"),
        behind(file("decoy", B), b"L", b"d/x\0"),
        behind(file("decoy", B), b"L", b"d/x", magic=POSIX),
        behind(file("d/x", B), b"g", b"13 comment=c\n", magic=POSIX),
    ],
    ids=str,
)
def test_the_forms_of_ordinary_writers_are_sources(lab: Lab, usual: Member) -> None:
    tree = lab.tree(tar(file("d/x", A), OTHER, usual))
    assert contents(tree) == {"d/x": B, "other": C}
    assert tree.doubts == {}


@pytest.mark.parametrize("path", [DECOMPOSED, "\u212b", "a\u0323\u0302", "\u1100\u1161"], ids=ascii)
def test_a_pax_path_that_libarchive_composes_is_no_source_under_either_name(lab: Lab, path: str) -> None:
    composed = unicodedata.normalize("NFC", path)
    odd = pax(file("decoy", B), path=path)
    assert contents(lab.tree(tar(file(composed, A), file(path, A), OTHER, odd))) == {"other": C}
    # other headers, and declared bytes, are left as they are
    assert contents(lab.tree(tar(file(composed, A), file(path, B)))) == {composed: A, path: B}
    binary = pax(file("decoy", B), hdrcharset="BINARY", path=path)
    assert contents(lab.tree(tar(file(composed, A), binary))) == {composed: A, path: B}
    assert contents(lab.tree(tar(pax(file("decoy", B), path=composed)))) == {composed: B}


def test_surrogates_in_a_pax_path_may_be_taken_for_what_they_mean(lab: Lab) -> None:
    pair = pax(file("decoy", B), path=b"\xed\xa0\xbd\xed\xb8\x80")
    assert contents(lab.tree(tar(file("\U0001f600", A), OTHER, pair))) == {"other": C}
    assert contents(lab.tree(tar(pax(file("decoy", B), path="\U0001f600"), OTHER))) == {"\U0001f600": B, "other": C}
    lone = pax(file("decoy", B), path=b"\xed\xa0\xbd")
    assert contents(lab.tree(tar(file("f", A), lone, OTHER))) == {"f": A, "other": C}


def test_a_size_that_no_header_can_hold_may_stand_in_a_pax_header() -> None:
    huge = pax(Member(path=b"f", type=b"0", stored_size=0), size=str(8**11))
    assert next(iter(TarReader(io.BytesIO(tar(huge))))).doubt is None


@pytest.mark.parametrize(
    "first",
    [
        file(b"\x1f\x8b\x08\x04AAAA\x02\x03\xf4\x01", A),
        file("BZh91AY&SY", A),
        file("begin 644 x", A),
        file("x\nbegin 644 x", A),
        file(b"\x28\xb5\x2f\xfd", A),
        patched(file("]", A), (2, b"\0\1\0")),
        patched(file("!<arch>", A), (257, bytes(8))),
        behind(file("x", A), b"g", b"13 comment=c\n", magic=bytes(8)),
    ],
    ids=str,
)
def test_a_tar_that_libarchive_may_take_for_something_else_gives_no_source(lab: Lab, first: Member) -> None:
    with pytest.raises(TarError, match="a tar that begins"):
        lab.tree(tar(first, OTHER))


def test_a_name_that_is_cut_off_within_a_letter_is_a_good_start(lab: Lab) -> None:
    assert contents(lab.tree(tar(patched(file("n", A), (0, b"n" * 99 + b"\xc3")), OTHER))) == {"other": C}


def test_each_construct_is_counted(lab: Lab) -> None:
    odd = patched(file("a", A), (257, b"ustar 00"))
    tree = lab.tree(tar(OTHER, odd, odd.at("b"), pax(file("c", A), path="")))
    assert tree.doubts == {"an unknown magic": 2, "a pax header with an empty 'path'": 1}
    assert summary(tree.doubts) == (
        "readers of tars differ about 3 entries of old layers, which give no sources: "
        "an unknown magic (2), a pax header with an empty 'path' (1)"
    )
    assert summary({str(number): number for number in range(1, 10)}).endswith(
        "9 (9), 8 (8), 7 (7), 6 (6), 5 (5) and 4 more"
    )


def test_the_words_of_an_archive_cannot_pass_for_ours(lab: Lab) -> None:
    odd = pax(file("a", A), **{"\n\x1b[2Jdeltapress__all is well" * 9: "1"})
    [reason] = lab.tree(tar(odd)).doubts
    assert reason.isprintable()
    assert len(reason) < 200
