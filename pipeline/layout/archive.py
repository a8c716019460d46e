"""An oci-archive: a layout in one plain tar, as podman, skopeo and docker buildx write it.

Rule 1. Nothing is unpacked: blobs are read from their offsets. A compressed archive has no offsets and is refused; the
        layers inside are compressed already, so nobody loses by a plain one.
Rule 2. Only plain members count. A link, a sparse or a special member is remembered as what it is, and refused when a
        blob of that name is wanted.
"""

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..content import Content, FileContent, open_plain
from ..oci.digest import Digest
from .storage import COPY_AGAIN, LayoutError, blob_name

# Far above what a tool writes (a few members an image), low enough for a list in memory. It also ends the loops into
# which broken headers send older versions of tarfile.
MAX_MEMBERS: Final = 100_000
# An extended header of a blob has a few attributes and times. Before Python 3.11.10 tarfile reads them with a pattern
# that takes quadratic time, so that one may have little, and all together too.
MAX_HEADER: Final = 4 * 1024
MAX_HEADERS: Final = 16 * 1024 * 1024

_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStorage:
    """`files` are the plain members by normalised name, `odd` says what the others are."""

    path: Path
    size: int
    files: Mapping[str, FileContent]
    odd: Mapping[str, str]

    @classmethod
    def open(cls, path: Path) -> "ArchiveStorage":
        """Read the headers of the archive at `path`.

        Raises:
            LayoutError: it is not a plain tar, or it cannot be read.
        """
        files: dict[str, FileContent] = {}
        odd: dict[str, str] = {}
        try:
            place = path.resolve()
            size = place.stat().st_size
            with _HeaderReader(place) as headers:
                _refuse_compressed(path, headers.peek(8))
                with tarfile.open(fileobj=headers, mode="r:") as archive:
                    for count, member in enumerate(archive):
                        if count == MAX_MEMBERS:
                            raise LayoutError(path, f"has more than {MAX_MEMBERS:,} members; no oci-archive has.")
                        _note(place, path, member, files, odd)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
            raise LayoutError(
                path, f"is neither a layout directory nor a readable oci-archive tar ({error})."
            ) from error
        except OSError as error:
            raise LayoutError(path, f"cannot be read: {error.strerror or error}.") from error
        return cls(path=path, size=size, files=files, odd=odd)

    def blob(self, digest: Digest) -> Content | None:
        return self.find(blob_name(digest))

    def find(self, name: str) -> Content | None:
        if name in self.odd:
            raise LayoutError(self.path, f"in the archive, {name} must be a plain file, not {self.odd[name]}.")
        content = self.files.get(name)
        if content is not None and content.offset + content.size > self.size:
            raise LayoutError(self.path, f"the archive ends inside {name}.", advice=COPY_AGAIN)
        return content


class _HeaderReader(io.BufferedReader):
    """The archive as tarfile reads it: headers only, so that an invented length cannot ask for gigabytes."""

    def __init__(self, path: Path) -> None:
        super().__init__(open_plain(path))
        self._extended = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes, at most {MAX_HEADER:,} are read")
        if size > tarfile.BLOCKSIZE:
            self._extended += size
            if self._extended > MAX_HEADERS:
                raise tarfile.ReadError(f"extended headers of more than {MAX_HEADERS:,} bytes")
        return super().read(size)


def _refuse_compressed(path: Path, start: bytes) -> None:
    for magic, name in _COMPRESSED.items():
        if start.startswith(magic):
            raise LayoutError(
                path,
                f"is compressed with {name}; an oci-archive is read in place and must be a plain tar.",
                advice=f"Decompress it first, with `{name} -d`.",
            )


def _note(place: Path, path: Path, member: tarfile.TarInfo, files: dict[str, FileContent], odd: dict[str, str]) -> None:
    """`place` is where the archive lies, `path` what the user calls it."""
    name = member.name.removeprefix("./")
    if not (member.isreg() or member.islnk() or member.issym() or member.isdev()):
        return
    if name in {"index.json", "oci-layout"} and (name in files or name in odd):
        # Tar lets the last one win; an appended index may as well be somebody's trick or a half-done update.
        raise LayoutError(
            path, f"has {name} twice, and nothing says which one counts.", advice="Make the archive again."
        )
    files.pop(name, None)
    odd.pop(name, None)
    if member.issparse():
        odd[name] = "a sparse file"
    elif member.isreg():
        files[name] = FileContent(path=place, size=member.size, offset=member.offset_data)
    else:
        odd[name] = "a link" if member.islnk() or member.issym() else "a special file"
