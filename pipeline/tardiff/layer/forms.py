"""Which forms of an entry all readers of tars take alike, and what is in doubt about any other.

A delta copies from the files that a client has unpacked, and clients unpack with different readers: GNU tar, libarchive
(flatpak, ostree), Go's archive/tar (podman, docker, containerd, umoci), Rust's tar. Where two of them see another name,
another size or another content, what one of them proves is wrong for another. So only what stands here makes a source:

Magic       ustar and version 00 with nothing behind the prefix; GNU's with nothing behind its device numbers; or none
            at all, and nothing where it would be. Go reads a prefix behind GNU's, libarchive one behind any ustar, and
            both sparse maps in files of type 0.
Types       0, NUL, 1 to 6. Readers make a file of an unknown type, or nothing, or stop; Solaris' X is a pax header for
            libarchive alone, and GNU's D, M, N and V mean something to some.
Before it   nothing, one `x`, or one `L` and one `K`. Of several, or of both kinds, readers let the first, the last or
            the strongest win; a `g` among them ends what stands before it for Go.
`L`, `K`    a name, of a link's target in `K`, and at most one NUL, at its end. libarchive has none where the name is
            empty, Rust one with NULs.
`x`         each key that means something once, and none that changes what the file is: some read GNU's and Sun's sparse
            maps, some do not. An empty path means the header's own name, or an empty one. Paths are composed UTF-8
            (NFC), unless declared to be binary: libarchive composes them, so flatpak has them under another name. A
            size is that of the header, or more than fits there: some readers in Rust know no other.
`g`         comments and times. Some apply it to all that follows, some to nothing.
Size        octal digits, behind blanks at most, or base 256; none where there is no data. Readers skip the data of a
            link or a directory, or take it for headers; a directory is for most what has a slash at its end.
Mode        octal digits.
Names       nothing behind the NUL that ends them, and a target only in links.
Path        4,096 bytes at most: some fail, some shorten it first. No drive and no backslash in front: bsdtar takes them
            away.
The start   a magic, and a name that cannot begin a compressed file: libarchive looks for compression again when it has
            decompressed, and for formats that resemble a header without magic.

What stands in another form makes every name that some reader may have for it unclear. Where it may be unclear to some
where the next entry begins, or where a link leads, nothing in the layer is certain: the doubt is total.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..format import MAX_PATH

PaxRecords = Sequence[tuple[bytes, bytes]]
"""Keys and values of one pax header, in its order."""

_POSIX = b"ustar\x0000"
_GNU = b"ustar  \0"
_ZEROS = bytes(512)
_DATALESS = {
    b"1": "a hard link",
    b"2": "a symlink",
    b"3": "a device",
    b"4": "a device",
    b"5": "a directory",
    b"6": "a FIFO",
}
_PRIVATE = (b"X", b"D", b"M", b"N", b"V")
_TYPES = _DATALESS.keys() | {b"0", b"\0", b"S"}
_SIZE = re.compile(rb" *[0-7]+[ \0]*|\0+|\x80[\0-\xff]*")
_MODE = re.compile(rb" *[0-7]+[ \0]*|\0+")
_DRIVE = re.compile(rb"[/.]*(?:[A-Za-z]:|\\|(?<=/)\?/)")
_PRINTED = re.compile(rb"[^\0-\x1f\x7f]+")
_COMPRESSED = (b"BZh", b"begin")  # bzip2 and uuencode; all others begin with what no name has
_LARGEST_OCTAL = 8**11 - 1
_DECISIVE = frozenset({b"path", b"linkpath", b"size"})
_HARMLESS = frozenset(
    {b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname", b"comment", b"charset", b"SCHILY.dev"}
    | {b"SCHILY.ino", b"SCHILY.nlink", b"SCHILY.fflags", b"SCHILY.devmajor", b"SCHILY.devminor"}
)
_OVERLAY = re.compile(rb"(?:SCHILY|LIBARCHIVE)\.xattr\.(?:trusted|user)\.overlay\.")  # hide what lies below
_HARMLESS_KINDS = (b"SCHILY.xattr.", b"SCHILY.acl.", b"LIBARCHIVE.", b"RHT.security.", b"MSWINDOWS.", b"APK-TOOLS.")
_SPARSE = (b"GNU.sparse.", b"SUN.holesdata")
_SPARSE_1_0 = {b"GNU.sparse.major", b"GNU.sparse.minor", b"GNU.sparse.name", b"GNU.sparse.realsize"}
_GNU_PREFIX_END = 386  # where a GNU header has its sparse map
_BINARY = b"BINARY"
_CHARSETS = (_BINARY, b"ISO-IR 10646 2000 UTF-8")  # pax, "hdrcharset": names stay the bytes that they are
_STAR_PREFIX = 131  # star keeps times where ustar has the end of its prefix
_WHITEOUT = b".wh."
_SHOWN = 5  # constructs in one line

usual = re.compile(
    rb"(?s)(?![/.]*(?:[A-Za-z]:|[\\?]))([^\0]{1,100})\0*"  # the length of all others leaves 100 bytes for this field
    rb"([0-7]{7})\0.{16}(?:([0-7]{11})[\0 ].{20}0|0{11}[\0 ].{20}5)\0{100}ustar"
    rb"(?:\x0000.{80}(?![/.]*(?:[A-Za-z]:|[\\?]))([^\0]{0,155})\0{12,}|  \0.{80}\0{167})"
).fullmatch
"""Matches the headers of files and directories as nearly all writers make them, in which alone nothing is in doubt:
the name, the mode, the size (of files), the prefix (of ustar)."""


class Extension(NamedTuple):
    """A header in front of an entry: its type (`L`, `K`, `x` or `g`), its magic with the version, its content; of a pax
    header also the records."""

    flag: bytes
    magic: bytes
    content: bytes
    records: PaxRecords = ()


class Doubt(NamedTuple):
    """Why readers differ about an entry: `reason` names the construct, `names` are those that it may have for one of
    them. `is_total`: nothing is certain about the layer any more."""

    reason: str
    names: tuple[bytes, ...]
    is_total: bool


def doubt_of(
    block: bytes, extensions: Sequence[Extension], *, path: bytes, link: bytes, header_size: int, size: int
) -> Doubt | None:
    """What is in doubt about the entry of the header `block` behind `extensions`, of which we read `path`, `link` and
    `size`; `header_size` is what the header itself says.

    None for nearly all entries, and quickly.
    """
    flag = block[156:157]
    total = _total(block, flag, extensions, size, is_folder=path.endswith(b"/"))
    if total is None and (_DRIVE.match(path) or (flag == b"1" and _DRIVE.match(link))):
        total = "a path with a drive or a backslash in front"
    if total is None and size != header_size and size <= _LARGEST_OCTAL:
        total = "a pax header with another size than the header"
    reason = total or _odd_header(block, flag) or _odd_extensions(extensions)
    if reason is None and len(path) > MAX_PATH:
        reason = f"a path of more than {MAX_PATH:,} bytes"
    if reason is None and link and flag not in (b"1", b"2"):
        reason = "a link target of what is no link"
    if reason is None:
        return None
    names = tuple(dict.fromkeys(_names(block, extensions, path)))
    is_total = (
        total is not None
        # what is written through a link lands where it leads, and so does what a whiteout removes
        or flag in (b"1", b"2")
        or any(_WHITEOUT in name or (size and name.endswith(b"/")) for name in names)
    )
    return Doubt(reason, names, is_total)


def is_harmless(extension: Extension) -> bool:
    """Whether it is a pax header that says nothing about names, sizes or contents."""
    return (
        extension.flag == b"x"
        and extension.magic in (_POSIX, _GNU)
        and _HARMLESS.issuperset([key for key, _ in extension.records])
    )


def doubt_of_start(block: bytes) -> Doubt | None:
    """What is in doubt about all entries of the tar that begins with the header `block`."""
    name = block[:100].rstrip(b"\0")
    if block[257:265] not in (_POSIX, _GNU):
        return Doubt("a tar that begins with a header without magic", (), is_total=True)
    if name.startswith(_COMPRESSED) or not _PRINTED.fullmatch(name) or not _begins_as_utf8(name):
        return Doubt("a tar that begins as a compressed file may", (), is_total=True)
    return None


def summary(doubts: Mapping[str, int]) -> str:
    """How many entries are no sources, and for which constructs, the most frequent first: one line for people."""
    count = sum(doubts.values())
    constructs = sorted(doubts.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{reason} ({number:,})" for reason, number in constructs[:_SHOWN])
    more = f" and {len(constructs) - _SHOWN:,} more" if len(constructs) > _SHOWN else ""
    entries = "1 entry" if count == 1 else f"{count:,} entries"
    return f"readers of tars differ about {entries} of old layers, which give no sources: {shown}{more}"


def _total(block: bytes, flag: bytes, extensions: Sequence[Extension], size: int, *, is_folder: bool) -> str | None:
    """A construct behind which readers find the next header in different places, or apply something to all entries."""
    if size and (is_folder or flag in _DATALESS):
        return f"{_DATALESS.get(flag, 'a directory')} with data"
    if not _SIZE.fullmatch(block[124:136]):
        return "a size that is no octal number"
    if flag in _PRIVATE:
        return f"an entry of type {_shown(flag)}"
    if flag == b"S":
        if block[257:265] != _GNU:
            return "a sparse file in a header that is not GNU's"
        if block[482] and (block[482] != 1 or not block[386]):
            return "a sparse map that goes on behind its end"
    elif block[257:265] == _GNU and block[_GNU_PREFIX_END:] != _ZEROS[_GNU_PREFIX_END:]:
        return "a sparse map in a header of another type"
    for position, extension in enumerate(extensions):
        if extension.magic not in (_POSIX, _GNU):
            return f"a header of type {_shown(extension.flag)} with an unknown magic"
        if extension.flag == b"g":
            if position and any(before.flag != b"g" for before in extensions[:position]):
                return "a global pax header between an entry and what belongs to it"
            if odd := [key for key, _ in extension.records if key not in _HARMLESS]:
                return f"a global pax header that sets {_shown(odd[0])}"
        elif (sparse := {key for key, _ in extension.records if key.startswith(_SPARSE)}) and sparse != _SPARSE_1_0:
            return "a sparse map of an old form"  # libarchive loses its place where it cannot read one
    sizes = sum(key == b"size" for extension in extensions for key, _ in extension.records)
    if sizes > 1 or (sizes and sum(extension.flag != b"g" for extension in extensions) > 1):
        return "several extended headers, of which one sets the size"
    return None


def _odd_header(block: bytes, flag: bytes) -> str | None:
    magic = block[257:265]
    if b"\0" in block[:100].rstrip(b"\0") or b"\0" in block[157:257].rstrip(b"\0"):
        return "bytes behind the end of a name"
    if magic == _POSIX:
        if block[500:] != _ZEROS[:12] or b"\0" in block[345:500].rstrip(b"\0"):
            return "text behind the prefix of a ustar header"
    elif flag == b"S":
        return "a sparse file"
    elif magic == _GNU:
        if block[345:] != _ZEROS[:167]:
            return "a prefix or a sparse map in a GNU header"
    elif block[257:] != _ZEROS[:255]:
        return "an unknown magic"
    if flag not in _TYPES:
        return f"an entry of type {_shown(flag)}"
    if not _MODE.fullmatch(block[100:108]):
        return "a mode that is no octal number"
    return None


def _odd_extensions(extensions: Sequence[Extension]) -> str | None:
    flags = [extension.flag for extension in extensions if extension.flag != b"g"]
    if not flags:
        return None
    if len(flags) > len(set(flags)):
        return "several extended headers of one kind"
    if len(flags) > 1 and b"x" in flags:
        return "a pax header beside a long name"
    for extension in extensions:
        if extension.flag == b"x":
            if (reason := _odd_records(extension.records)) is not None:
                return reason
        elif extension.flag != b"g":
            name = extension.content.removesuffix(b"\0")
            if not name:
                return "an empty long name"
            if b"\0" in name:
                return "a long name with a NUL in it"
    return None


def _odd_records(records: PaxRecords) -> str | None:
    seen = set()
    is_binary = (b"hdrcharset", _BINARY) in records
    for key, value in records:
        if key in _DECISIVE:
            if not is_binary and not value.isascii() and value != _composed(value):
                return f"a pax header with a {_shown(key)} that is not composed UTF-8"
            if key in seen:
                return f"a pax header that sets {_shown(key)} twice"
            if not value:
                return f"a pax header with an empty {_shown(key)}"
            seen.add(key)
        elif key == b"hdrcharset":
            if value not in _CHARSETS:
                return f"a pax header in the charset {_shown(value)}"
        elif key in _SPARSE_1_0:
            return "a sparse file"
        elif (key not in _HARMLESS and not key.startswith(_HARMLESS_KINDS)) or _OVERLAY.match(key):
            return f"a pax header that sets {_shown(key)}"
        elif key == b"SCHILY.realsize":
            return "a sparse file"
    return None


def _names(block: bytes, extensions: Iterable[Extension], path: bytes) -> Iterable[bytes]:
    """Every name that some reader may have for the entry."""
    yield path
    name, prefix = (field.partition(b"\0")[0] for field in (block[:100], block[345:500]))
    yield name
    if prefix:
        yield prefix + b"/" + name
        yield prefix[:_STAR_PREFIX] + b"/" + name
    for extension in extensions:
        if extension.flag == b"L":
            yield extension.content.partition(b"\0")[0]
        for key, value in extension.records:
            if key in (b"path", b"GNU.sparse.name"):
                yield value
                yield _composed(value)


def _begins_as_utf8(name: bytes) -> bool:
    """Whether the bytes that a magic may have are text; what a field cut off does not matter."""
    try:
        codecs.utf_8_decode(name[:8])
    except UnicodeDecodeError:
        return False
    return True


def _composed(text: bytes) -> bytes:
    """As libarchive reads it where the locale is UTF-8, in which it also takes pairs of surrogates (CESU-8) for what
    they mean; nothing where it has no name for it."""
    try:
        paired = text.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        return b""
    return unicodedata.normalize("NFC", paired).encode()


def _shown(text: bytes) -> str:
    """As it can stand in a message: untrusted bytes."""
    return repr(text[:40].decode("ascii", "backslashreplace"))
